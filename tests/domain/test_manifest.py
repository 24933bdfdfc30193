"""Manifests, packs and hints from untrusted bytes: exactly what was written, or a clear error."""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_core.domain import canonical, limits
from registry_core.domain.identifiers import ChunkId
from registry_core.domain.manifest import Chunk, Manifest, ModelFile
from registry_core.domain.packs import (
    decode_hint,
    pack_trailer,
    plan_packs,
    read_pack_index,
)
from registry_core.errors import IntegrityError, InvalidInput, RegistryError
from tests.domain.test_golden import CHUNK_A, HINT, MANIFEST, PACK_TRAILER

DOC: Any = canonical.decode(MANIFEST, bytes_max=10_000, what="golden")
PACK_BYTES = b"hellocachd!" + bytes.fromhex(PACK_TRAILER)


def changed(change: Callable[[Any], object]) -> bytes:
    doc = copy.deepcopy(DOC)
    change(doc)
    return canonical.encode(doc)


@pytest.mark.parametrize(
    "change",
    [
        lambda doc: doc.update(format="cachd.manifest/2"),
        lambda doc: doc.update(more=1),
        lambda doc: doc.pop("files"),
        lambda doc: doc.update(files={}),
        lambda doc: doc.update(files=[]),
        lambda doc: doc.update(files=["x"]),
        lambda doc: doc["files"].reverse(),
        lambda doc: doc["files"].append(doc["files"][-1]),
        lambda doc: doc["files"][0].update(more=1),
        lambda doc: doc["files"][0].update(size=12),
        lambda doc: doc["files"][0].update(size=True),
        lambda doc: doc["files"][0].update(size=-1),
        lambda doc: doc["files"][0].update(sha256="00"),
        lambda doc: doc["files"][0].update(sha256=doc["files"][0]["sha256"].upper()),
        lambda doc: doc["files"][0].update(chunks=None),
        lambda doc: doc["files"][0]["chunks"].pop(),
        lambda doc: doc["files"][0]["chunks"][0].append(0),
        lambda doc: doc["files"][0]["chunks"].append([CHUNK_A, 0]),
        lambda doc: doc["files"][0]["chunks"][0].__setitem__(1, True),
        lambda doc: doc["files"][0]["chunks"][0].__setitem__(0, "xyz"),
        lambda doc: doc["files"][0].update(size=12, chunks=[[CHUNK_A, 5], [CHUNK_A, 7]]),
        lambda doc: doc["files"][0].update(
            size=limits.CHUNK_MAX + 1, chunks=[[CHUNK_A, limits.CHUNK_MAX + 1]]
        ),
        *(
            lambda doc, path=path: doc["files"][0].update(path=path)
            for path in ("../w", "a/../../w", "/w", "a\0b", "a\\b", "..", "", ".", "EMPTY", 5)
        ),
    ],
)
def test_manifests_that_are_refused(change: Callable[[Any], object]) -> None:
    with pytest.raises(InvalidInput):
        Manifest.parse(changed(change))


def marked() -> Manifest:
    """Of one file of two chunks, of which the first has marks."""
    length = limits.CHUNK_PART * 2 + 1
    chunks = (
        Chunk(ChunkId.parse_hex(CHUNK_A), length, bytes(range(2 * limits.CHUNK_MARK))),
        Chunk(ChunkId(bytes(32)), 5),
    )
    return Manifest.build([ModelFile("w", length + 5, bytes(32), chunks)])


def test_a_manifest_with_marks_says_so_and_is_another_version() -> None:
    made = marked()
    assert (
        made.encoded
        == f'{{"files":[{{"chunks":[["{CHUNK_A}",65537,"000102030405060708090a0b0c0d0e0f"],'
        f'["{"00" * 32}",5]],"path":"w","sha256":"{"00" * 32}","size":65542}}],'
        '"format":"cachd.manifest/2"}'.encode()
    )
    assert Manifest.parse(made.encoded) == made
    assert [chunk.marks for chunk in Manifest.parse(made.encoded).files[0].chunks] == [
        bytes(range(16)), b"",
    ]  # fmt: skip
    plain = Manifest.build(
        [
            ModelFile(file.path, file.size, file.sha256, tuple(
                Chunk(chunk.id, chunk.length) for chunk in file.chunks
            ))
            for file in made.files
        ]
    )  # fmt: skip
    assert plain.digest != made.digest
    assert plain.files[0].chunk_root == made.files[0].chunk_root, "what the publisher signs"


@pytest.mark.parametrize(
    "marks", ["", "00", "0001020304050607", "000102030405060708090A0B0C0D0E0F", 5, None, "zz" * 16]
)
def test_marks_that_are_refused(marks: Any) -> None:
    doc: Any = canonical.decode(marked().encoded, bytes_max=10_000, what="made")
    doc["files"][0]["chunks"][0][2] = marks
    with pytest.raises(InvalidInput, match="marks"):
        Manifest.parse(canonical.encode(doc))


def test_marks_of_a_large_chunk_are_refused() -> None:
    """A node keeps chunks with marks in memory for each follower that is slow."""
    length = limits.CHUNK_SMALL + 1
    chunk = Chunk(ChunkId(bytes(32)), length, bytes(8 * limits.CHUNK_MARK))
    made = Manifest.build([ModelFile("w", length, bytes(32), (chunk,))])
    with pytest.raises(InvalidInput, match="marks"):
        Manifest.parse(made.encoded)


@pytest.mark.parametrize("number", [1, 2])
def test_a_manifest_has_one_format_only(number: int) -> None:
    doc: Any = canonical.decode(marked().encoded, bytes_max=10_000, what="made")
    if number == 2:
        del doc["files"][0]["chunks"][0][2]
    doc["format"] = f"cachd.manifest/{number}"
    with pytest.raises(InvalidInput, match="format"):
        Manifest.parse(canonical.encode(doc))


def test_any_flipped_bit_is_refused_or_another_identity(seed: int) -> None:
    rng = random.Random(seed)
    original = Manifest.parse(MANIFEST)
    for _ in range(2_000):
        mutant = bytearray(MANIFEST)
        mutant[rng.randrange(len(mutant))] ^= 1 << rng.randrange(8)
        try:
            parsed = Manifest.parse(bytes(mutant))
        except InvalidInput:
            continue
        assert parsed.encoded == bytes(mutant)
        assert parsed.digest != original.digest


def test_a_hint_that_is_cut_or_changed_is_refused_or_decoded(seed: int) -> None:
    rng = random.Random(seed)
    for number in range(2_000):
        mutant = bytearray(HINT)
        if number % 3:
            mutant[rng.randrange(len(mutant))] = rng.randrange(256)
        else:
            del mutant[rng.randrange(len(mutant)) :]
        try:
            locations = decode_hint(bytes(mutant))
        except RegistryError:
            continue
        for place in locations.values():
            assert 0 <= place.offset <= place.offset + place.length <= limits.PACK_MAX


@pytest.mark.parametrize(
    "doc",
    [
        [], {"format": "cachd.packs/2", "packs": []}, {"format": "cachd.packs/1"},
        {"format": "cachd.packs/1", "packs": [{"pack": "00"}]},
        {"format": "cachd.packs/1", "packs": [{"pack": CHUNK_A, "chunks": [[CHUNK_A, -1, 5]]}]},
        {"format": "cachd.packs/1", "packs": [{"pack": CHUNK_A, "chunks": [[CHUNK_A, 0, 0]]}]},
        {"format": "cachd.packs/1",
         "packs": [{"pack": CHUNK_A, "chunks": [[CHUNK_A, limits.PACK_MAX, 1]]}]},
        {"format": "cachd.packs/1", "packs": [{"pack": CHUNK_A, "chunks": [[CHUNK_A, "0", 5]]}]},
        {"format": "cachd.packs/1", "packs": 5},
    ],
)  # fmt: skip
def test_hints_that_are_refused(doc: Any) -> None:
    with pytest.raises(InvalidInput):
        decode_hint(canonical.encode(doc))


def test_damaged_packs() -> None:
    read_pack_index(PACK_BYTES)
    for length in range(len(PACK_BYTES)):
        with pytest.raises(IntegrityError):
            read_pack_index(PACK_BYTES[:length])
    for bad in (PACK_BYTES + b"x", b"x" + PACK_BYTES, PACK_BYTES[:-1] + b"2"):
        with pytest.raises(IntegrityError):
            read_pack_index(bad)


@given(st.lists(st.integers(1, limits.CHUNK_MAX), max_size=60))
def test_packs_hold_all_chunks_in_order_and_no_more_than_fit(lengths: list[int]) -> None:
    chunks = [Chunk(ChunkId(bytes([n]) * 32), length) for n, length in enumerate(lengths)]
    groups = list(plan_packs(chunks))
    assert list(itertools.chain(*groups)) == chunks
    sizes = [sum(c.length for c in group) + len(pack_trailer(group)) for group in groups]
    assert all(size <= limits.PACK_MAX for size in sizes)
    for size, following in zip(sizes, groups[1:], strict=False):
        assert size + following[0].length + 36 > limits.PACK_MAX, "a pack is filled before the next"


def test_what_was_parsed_encodes_as_it_came() -> None:
    parsed = Manifest.parse(MANIFEST)
    assert parsed.encoded == MANIFEST
    assert parsed.encoded == Manifest.build(list(parsed.files)).encoded


def test_a_hint_that_is_kept_cannot_be_changed() -> None:
    locations: Any = decode_hint(HINT)
    with pytest.raises(TypeError):
        locations[ChunkId(bytes(32))] = None
    assert ChunkId(bytes(32)) not in decode_hint(HINT)
