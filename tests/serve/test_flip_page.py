from __future__ import annotations

import hashlib
import mmap
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from cachd.serve.flip_page import (
    FlipPage,
    FlipPageDamaged,
    FlipPageError,
    FlipPageReader,
    Record,
    page_bytes,
)
from cachd.serve.names import name_tag


def open_reader(path: Path) -> FlipPageReader:
    fd = os.open(path, os.O_RDONLY)
    try:
        return FlipPageReader(fd)
    finally:
        os.close(fd)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "page"


def test_golden_bytes(path: Path) -> None:
    page = FlipPage.create_or_open(str(path), 2, incarnation=7)
    page.claim(1, 0x1122334455667788)
    assert page.flip(1, 0xABC, 5, 0) == 1
    page.store(1, Record(2, 0xDEF, 6, 1, 0x123, 50))
    data = path.read_bytes()
    assert len(data) == 4096
    assert data[:64].hex() == (
        "4341434844465031"  # CACHDFP1
        "01000000"  # layout 1
        "80000000"  # slots of 128 bytes
        "02000000"  # 2 slots
        "00000000"
        "0700000000000000" + "00" * 32  # incarnation
    )
    assert data[64:192] == bytes(128)
    assert data[192:320].hex() == (
        "ef0d000200000000"  # flip 2 << 24 | handle 0xdef
        "8877665544332211"  # tag
        + "00" * 16
        + "0200000000000000ef0d00000000000006000000000000000100000000000000"  # record of flip 2
        + "0100000000000000bc0a00000000000005000000000000000000000000000000"  # record of flip 1
        + "4b5eb6b179f27ca8"  # check of flip 2
        + "fd433ea296d45108"  # check of flip 1
        + "328c0400183caae7"  # split of flip 2: handle 0x123, 50 per mille
        + "000000001897a3d0"  # split of flip 1: none
    )
    assert data[320:] == bytes(4096 - 320)


def test_check_is_fnv_1a_over_words() -> None:
    check = 0xCBF29CE484222325
    for word in (9, 8, 7, 1):
        check = (check ^ word) * 0x100000001B3 % 2**64
    assert Record(9, 8, 7, 1).check == check


def test_name_tag_is_the_head_of_sha256() -> None:
    digest = hashlib.sha256(b"minilm@production").digest()
    assert name_tag("minilm", "production") == struct.unpack("<Q", digest[:8])[0]


def test_flips_count_on_across_reopening(path: Path) -> None:
    first = FlipPage.create_or_open(str(path), 4, incarnation=1)
    first.claim(2, 99)
    first.flip(2, 1, 1, 0)
    reader = open_reader(path).slot(2, 99)
    first.close()
    second = FlipPage.create_or_open(str(path), 4, incarnation=2)
    assert second.tag(2) == 99
    assert second.flip(2, 2, 2, 0) == 2
    assert (reader.read().flip, reader.read().handle) == (2, 2)
    assert reader.word[0] == 2 << 24 | 2


def test_reader_cannot_write_and_refuses_other_slots(path: Path) -> None:
    page = FlipPage.create_or_open(str(path), 4, incarnation=1)
    page.claim(2, 99)
    reader = open_reader(path)
    with pytest.raises(TypeError):
        reader.words[8] = 1
    with pytest.raises(FlipPageError, match="belongs to another model"):
        reader.slot(2, 98)
    with pytest.raises(FlipPageError, match="slot 4"):
        reader.slot(4, 99)


def test_store_refuses_what_is_not_newer_or_does_not_fit(path: Path) -> None:
    page = FlipPage.create_or_open(str(path), 1, incarnation=1)
    page.store(0, Record(5, 1, 1, 0))
    for record in (
        Record(5, 2, 2, 0),
        Record(6, 0, 2, 0),
        Record(6, 1 << 24, 2, 0),
        Record(6, 2, 2, 1, 1 << 24, 5),
        Record(6, 2, 2, 1, 3, 1000),
    ):
        with pytest.raises(FlipPageError):
            page.store(0, record)
    assert page.record(0).handle == 1


@pytest.mark.parametrize(
    ("offset", "data", "error", "text"),
    [
        (0, b"X", FlipPageError, "no flip page"),
        (8, b"\x02", FlipPageError, "same release"),
        (12, b"\x40", FlipPageError, "same release"),
        (16, b"\x03", FlipPageError, "3 slots, not 2"),
        (16, b"\xff", FlipPageDamaged, "size"),
    ],
)
def test_foreign_pages_are_refused(
    path: Path, offset: int, data: bytes, error: type[Exception], text: str
) -> None:
    FlipPage.create_or_open(str(path), 2, incarnation=1).close()
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
    with pytest.raises(error, match=text):
        FlipPage.create_or_open(str(path), 2, incarnation=2)


def test_a_damaged_split_and_that_of_an_earlier_release_are_none(path: Path) -> None:
    page = FlipPage.create_or_open(str(path), 1, incarnation=1)
    page.store(0, Record(1, 3, 1, 1, 4, 500))
    page.close()
    whole = path.read_bytes()
    assert FlipPage.create_or_open(str(path), 1, incarnation=1).record(0).split == 500
    for offset in range(64 + 120, 64 + 128):
        damaged = bytearray(whole)
        damaged[offset] ^= 0x10
        path.write_bytes(damaged)
        record = FlipPage.create_or_open(str(path), 1, incarnation=2).record(0)
        assert (record.handle, record.split_handle, record.split) == (3, 0, 0)
    path.write_bytes(whole[: 64 + 112] + bytes(16) + whole[64 + 128 :])
    assert FlipPage.create_or_open(str(path), 1, incarnation=2).record(0).split == 0


def test_every_damaged_byte_of_a_live_slot_is_noticed(path: Path) -> None:
    page = FlipPage.create_or_open(str(path), 1, incarnation=1)
    page.flip(0, 3, 1, 0)
    page.close()
    whole = path.read_bytes()
    live = [*range(64, 72), *range(128, 160), *range(168, 176)]  # word, odd record, odd check
    for offset in live:
        damaged = bytearray(whole)
        damaged[offset] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(FlipPageDamaged):
            FlipPage.create_or_open(str(path), 1, incarnation=2)


READER = """
import os, sys
from cachd.serve.flip_page import FlipPageReader
slot = FlipPageReader(os.open(sys.argv[1], os.O_RDONLY)).slot(0, 77)
print("reading", flush=True)
last = reads = seen = 0
while last < int(sys.argv[2]):
    record = slot.read()
    assert record.flip >= last, (record, last)
    if record.flip:
        assert (record.handle, record.generation, record.choice) == (
            record.flip * 7 % 9973 + 1, record.flip * 3, record.flip & 1), record
    seen += record.flip != last
    reads += 1
    last = record.flip
print(reads, seen)
"""


def test_another_process_never_reads_a_mixed_record(path: Path) -> None:
    page = FlipPage.create_or_open(str(path), 1, incarnation=1)
    page.claim(0, 77)
    flips = 100_000
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(path), str(flips)], stdout=subprocess.PIPE, text=True
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == "reading\n"
    for flip in range(1, flips + 1):
        page.flip(0, flip * 7 % 9973 + 1, flip * 3, flip & 1)
        if flip % 8 == 0:
            os.sched_yield()
    out, _ = reader.communicate(timeout=60)
    assert reader.returncode == 0
    reads, seen = map(int, out.split())
    print(f"{reads} reads saw {seen} of {flips} flips")
    assert seen > 10


def test_page_size_is_whole_pages() -> None:
    assert page_bytes(1) == 4096
    assert page_bytes(1024) == 33 * 4096
    assert page_bytes(1024) % mmap.PAGESIZE == 0
