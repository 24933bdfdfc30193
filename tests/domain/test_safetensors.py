"""safetensors: what the reference library writes, and what it would refuse.

The promise under test: a file that passes here loads there, and nothing else ever happens than
success or InvalidModelFiles.
"""

from __future__ import annotations

import json
import random
import time
from typing import Any

import numpy as np
import pytest
import safetensors
from safetensors.numpy import save

from registry_core.domain import safetensors_layout
from registry_core.errors import InvalidModelFiles

MUTANTS = 4_000
_TOKENS = [b"0", b"-1", b"9" * 18, b"1e9", b"null", b"[]", b"{}", b'""', b"NaN", b"\xff",
           b"\\ud800", b'"F32"', b'"F4"', b",", b"}", b"[", b"true", b" ", b"\0"]  # fmt: skip


def reference_file(metadata: dict[str, str] | None = None) -> bytes:
    rng = np.random.default_rng(7)
    return save(
        {
            "b": rng.standard_normal((4, 5), dtype=np.float32),
            "a": np.arange(7, dtype=np.int64),
            "scalar": np.full((), 3, dtype=np.float16),
            "empty": np.zeros((0, 8), dtype=np.uint8),
        },
        metadata=metadata,
    )


def parse(data: bytes) -> list[tuple[int, int]]:
    """As a push does it: first the length of the header, then the spans."""
    length = safetensors_layout.header_bytes(data[:8], len(data))
    return safetensors_layout.tensor_spans(data[:length], len(data))


def file_of(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def tensor(dtype: Any = "U8", shape: Any = (4,), offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize("metadata", [None, {"format": "np", "note": "ü"}])
def test_spans_are_those_of_the_reference(metadata: dict[str, str] | None) -> None:
    data = reference_file(metadata)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    header.pop("__metadata__", None)
    base = 8 + int.from_bytes(data[:8], "little")
    expected = sorted(
        (base + begin, base + end)
        for begin, end in (item["data_offsets"] for item in header.values())
        if end > begin
    )
    assert parse(data) == expected
    assert (expected[0][0], expected[-1][1]) == (base, len(data))


def test_a_file_without_tensors_has_no_spans() -> None:
    assert parse(save({})) == []


def test_truncated_at_every_byte() -> None:
    data = reference_file()
    for length in range(len(data)):
        with pytest.raises(InvalidModelFiles, match=r"is too short|damaged|is truncated"):
            parse(data[:length])


def test_what_follows_the_last_tensor_is_refused() -> None:
    with pytest.raises(InvalidModelFiles, match="3 bytes after its last tensor"):
        parse(reference_file() + b"abc")


@pytest.mark.parametrize(
    "header",
    [
        [], "x", 1, None, b"{", b"\xff\xfe", b"{} {}", b"",
        {"t": 1}, {"t": None}, {"t": []}, {"t": {}},
        {"t": tensor(dtype="F99")}, {"t": tensor(dtype=["U8"])}, {"t": tensor(dtype=None)},
        {"t": tensor(shape=4)}, {"t": tensor(shape="4")}, {"t": tensor(shape=[4.0])},
        {"t": tensor(shape=[True, 4])}, {"t": tensor(shape=[-4])}, {"t": tensor(shape=[5])},
        {"t": tensor(shape={})}, {"t": tensor(shape=[2**60])},
        {"t": tensor(shape=[1] * 1_000_000)}, {"t": tensor(shape=[2**49] * 1_000_000)},
        {"t": tensor(offsets=[0])}, {"t": tensor(offsets=[0, 4, 8])}, {"t": tensor(offsets=[4, 0])},
        {"t": tensor(offsets=["0", "4"])}, {"t": tensor(offsets=[-4, 0])},
        {"t": tensor(offsets=[1, 5])}, {"t": tensor(), "u": tensor()},
        {"t": tensor(), "u": tensor(offsets=[3, 7])}, {"t": tensor(dtype="F4", shape=[3])},
        {"t": tensor(shape=[2**50, 2**50, 0], offsets=[0, 0])}, {"t": tensor() | {"more": 1}},
        {"__metadata__": {"a": 1}, "t": tensor()}, {"__metadata__": ["a"], "t": tensor()},
        {"\ud800": tensor()}, b' {"t": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}',
        b'{"t": 1, "t": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}',
        b'{"t": {"dtype": "U8", "dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}',
    ],
)  # fmt: skip
def test_damaged_headers(header: Any) -> None:
    began_s = time.monotonic()
    with pytest.raises(InvalidModelFiles, match="damaged safetensors header"):
        parse(file_of(header, bytes(4)))
    assert time.monotonic() - began_s < 5


def test_a_header_that_claims_more_than_the_file_is_not_read() -> None:
    for length in (5, 2**40, 2**63, 2**64 - 1):
        with pytest.raises(InvalidModelFiles, match="claims"):
            parse(length.to_bytes(8, "little") + b"{}")


def test_mutated_headers(seed: int) -> None:
    """Only success or InvalidModelFiles; and whatever passes, the reference loads."""
    rng = random.Random(seed)
    original = reference_file({"format": "np"})
    header_end = 8 + int.from_bytes(original[:8], "little")
    passed = 0
    for number in range(MUTANTS):
        mutant = _mutate(rng, original, header_end)
        try:
            spans = parse(mutant)
        except InvalidModelFiles:
            continue
        passed += 1
        assert all(0 < start < end <= len(mutant) for start, end in spans)
        try:
            safetensors.deserialize(mutant)  # type: ignore[no-untyped-call]  # has no stubs
        except safetensors.SafetensorError as error:
            pytest.fail(f"mutant {number} passes here and not there: {error}: {mutant[:300]!r}")
    assert passed > 0, "some changes are harmless (a tensor's name), so some must pass"


def _mutate(rng: random.Random, original: bytes, header_end: int) -> bytes:
    data = bytearray(original)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        at = rng.randrange(header_end)
        kind = rng.randrange(5)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at] = rng.randrange(32, 127)
        elif kind == 2:
            token = rng.choice(_TOKENS)
            data[at : at + rng.randrange(4)] = token
        elif kind == 3:
            del data[at : at + rng.randrange(1, 9)]
        else:
            other = rng.randrange(header_end)
            data[at:at] = data[other : other + rng.randrange(1, 30)]
    if rng.random() < 0.8:  # let the length be right, so that what is inside gets parsed
        length = len(data) - (len(original) - header_end) - 8
        data[:8] = max(length, 0).to_bytes(8, "little")
    return bytes(data)
