"""GGUF, built by hand from ggml's docs/gguf.md: where tensors lie, and damaged headers."""

from __future__ import annotations

import itertools
import random
import struct
import time
from pathlib import Path

import pytest

from registry_core.domain.gguf_layout import HeaderIncomplete, tensor_spans
from registry_core.errors import InvalidModelFiles
from registry_core.push.layout import spans_of

MUTANTS = 3_000
F32, Q4_0, Q8_0, UNKNOWN = 0, 2, 8, 999


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def pair(key: bytes, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def tensor(name: bytes, dimensions: list[int], kind: int, offset: int) -> bytes:
    shape = struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
    return text(name) + shape + struct.pack("<IQ", kind, offset)


def gguf(
    pairs: list[bytes], tensors: list[bytes], data: bytes, *, alignment: int = 32, version: int = 3
) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(pairs))
    head += b"".join(pairs) + b"".join(tensors)
    return head + bytes(-len(head) % alignment) + data if data else head


PAIRS = [
    pair(b"general.architecture", 8, text(b"llama")),
    pair(b"u8", 0, b"\1"), pair(b"i8", 1, b"\1"), pair(b"u16", 2, bytes(2)),
    pair(b"i16", 3, bytes(2)), pair(b"u32", 4, bytes(4)), pair(b"i32", 5, bytes(4)),
    pair(b"f32", 6, bytes(4)), pair(b"bool", 7, b"\1"), pair(b"u64", 10, bytes(8)),
    pair(b"i64", 11, bytes(8)), pair(b"f64", 12, bytes(8)),
    pair(b"tokens", 9, struct.pack("<IQ", 8, 3) + text(b"a") + text(b"") + text("ü".encode())),
    pair(b"scores", 9, struct.pack("<IQ", 6, 2) + bytes(8)),
    pair(b"nested", 9, struct.pack("<IQ", 9, 2) + (struct.pack("<IQ", 4, 1) + bytes(4)) * 2),
]  # fmt: skip
TENSORS = [
    tensor(b"blk.0.weight", [8, 4], F32, 0),  # 128 bytes
    tensor(b"blk.1.weight", [32, 3], Q4_0, 128),  # 54 bytes, padded to 64
    tensor(b"blk.2.weight", [64], Q8_0, 192),  # 68 bytes
]
WHOLE = gguf(PAIRS, TENSORS, bytes(192 + 68))
DATA_START = len(WHOLE) - 260


@pytest.mark.parametrize("version", [2, 3])
def test_spans(version: int) -> None:
    data = gguf(PAIRS, TENSORS, bytes(260), version=version)
    header, spans = tensor_spans(data, len(data))
    assert header == DATA_START
    assert [(a - header, b - header) for a, b in spans] == [(0, 128), (128, 192), (192, 260)]


def test_the_file_may_end_with_padding() -> None:
    data = WHOLE + bytes(28)
    _, spans = tensor_spans(data, len(data))
    assert spans[-1] == (DATA_START + 192, len(data))


def test_other_alignment() -> None:
    pairs = [pair(b"general.alignment", 4, struct.pack("<I", 64))]
    data = gguf(pairs, [tensor(b"t", [4], F32, 0)], bytes(16), alignment=64)
    header, spans = tensor_spans(data, len(data))
    assert header % 64 == 0
    assert spans == [(header, header + 16)]


def test_vocabulary_without_tensors() -> None:
    bare = gguf(PAIRS, [], b"")
    assert tensor_spans(bare, len(bare)) == (len(bare), [])
    padded = bare + bytes(-len(bare) % 32) + b"more"
    header, spans = tensor_spans(padded, len(padded))
    assert spans == [(header, len(padded))], "what follows is a part of the file all the same"


def test_a_short_head_asks_for_more() -> None:
    for length in range(DATA_START - 32):
        with pytest.raises(HeaderIncomplete):
            tensor_spans(WHOLE[:length], len(WHOLE))


def test_truncated_at_every_byte() -> None:
    for length in range(len(WHOLE)):
        with pytest.raises(InvalidModelFiles, match="truncated"):
            tensor_spans(WHOLE[:length], length)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"GGML" + WHOLE[4:], "is not GGUF"),
        (b"GGUF" + struct.pack("<I", 1) + WHOLE[8:], "is not GGUF"),
        (b"GGUF" + struct.pack(">I", 3) + WHOLE[8:], "is not GGUF"),
        (WHOLE[:8] + b"\xff" * 8 + WHOLE[16:], "tensors"),
        (WHOLE[:16] + b"\xff" * 8 + WHOLE[24:], "metadata keys"),
        (WHOLE[:24] + b"\xff" * 8 + WHOLE[32:], "bytes in a string"),
        (gguf([pair(b"k", 13, b"")], [], b""), "unknown type 13"),
        (gguf([pair(b"k", 9, struct.pack("<IQ", 4, 1 << 60))], [], b""), "items in an array"),
        (gguf([pair(b"k", 9, struct.pack("<IQ", 9, 1) * 9)], [], b""), "unknown type 9"),
        (gguf([pair(b"general.alignment", 4, bytes(4))], TENSORS, b"x"), "alignment 0"),
        (gguf([pair(b"general.alignment", 4, struct.pack("<I", 12))], [], b"x"), "alignment 12"),
        (gguf([], [tensor(b"t", [1] * 9, F32, 0)], bytes(64)), "9 dimensions"),
        (gguf([], [tensor(b"t", [4], F32, 8)], bytes(64)), "not aligned"),
        (gguf([], [tensor(b"t", [4], F32, 32)], bytes(64)), "not at the start"),
        (gguf([], [tensor(b"t", [4], F32, 1 << 60)], bytes(64)), "as an offset"),
        (gguf([], [tensor(b"t", [1 << 60], F32, 0)], bytes(64)), "weights in a dimension"),
        (gguf([], [tensor(b"t", [1 << 50] * 8, F32, 0)], bytes(64)), "is truncated"),
        (gguf([], [tensor(b"t", [17], F32, 0)], bytes(64)), "is truncated"),
        (gguf([], [tensor(b"t", [4], UNKNOWN, 64)], bytes(64)), "is truncated"),
    ],
)  # fmt: skip
def test_damaged(data: bytes, message: str) -> None:
    with pytest.raises(InvalidModelFiles, match=message):
        tensor_spans(data, len(data))


def test_mutated_headers(seed: int) -> None:
    rng = random.Random(seed)
    passed = 0
    for _ in range(MUTANTS):
        data = bytearray(WHOLE)
        for _ in range(rng.choice((1, 1, 2, 6))):
            at = rng.randrange(DATA_START)
            if rng.random() < 0.6:
                data[at] = rng.choice((0, 1, 8, 9, 0xFF, rng.randrange(256)))
            elif rng.random() < 0.5:
                del data[at : at + rng.randrange(1, 12)]
            else:
                data[at:at] = rng.randbytes(rng.randrange(1, 12))
        began_s = time.monotonic()
        try:
            header, spans = tensor_spans(bytes(data), len(data))
        except InvalidModelFiles:
            continue
        passed += 1
        assert time.monotonic() - began_s < 2
        edges = [header, *(edge for span in spans for edge in span), len(data)]
        assert edges == sorted(edges), "spans are in order, after the header, within the file"
        assert all(a[1] == b[0] for a, b in itertools.pairwise(spans))
    assert passed > 0


def test_a_header_larger_than_the_first_read(tmp_path: Path) -> None:
    tokens = struct.pack("<IQ", 8, 200_000) + text(b"token") * 200_000
    data = gguf([pair(b"tokens", 9, tokens)], [tensor(b"t", [4], F32, 0)], bytes(16))
    path = tmp_path / "m.gguf"
    path.write_bytes(data)
    with path.open("rb") as file:
        spans = spans_of(file.fileno(), "m.gguf", len(data), 1 << 20)
    assert spans[-1] == (len(data) - 16, len(data))
    assert spans[0][0] == 0


def test_a_file_that_shrinks_while_it_is_read_ends_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(WHOLE[: DATA_START // 2])
    with path.open("rb") as file, pytest.raises(InvalidModelFiles, match="became shorter"):
        spans_of(file.fileno(), "m.gguf", len(WHOLE), 1 << 20)
