"""Processes that hammer one slot of a flip page: `python -m tests.serve.page_hammer …`.

    write PATH            flip as fast as it goes, until stdin ends; says how many flips
    write-torn PATH       the same by a writer that is wrong: it stores the word in two halves
    read PATH READS       judge so many words and a tenth as many records; says what was wrong

Everything a flip stores follows from its number, so a reader knows a mixture when it sees one.
"""

from __future__ import annotations

import json
import os
import select
import struct
import sys

from cachd.serve.flip_page import FlipPage, FlipPageDamaged, FlipPageReader, Record
from cachd.serve.limits import HANDLE_BITS, HANDLE_MAX

TAG = 77
_SLOT_AT = 64
_WORDS_PER_RECORD = 10
_STRIDE = 7919


def record_of(flip: int) -> Record:
    split_handle = flip * 31 % HANDLE_MAX + 1
    return Record(
        flip, flip * _STRIDE % HANDLE_MAX + 1, flip * 3, flip ^ 0x5A5A5A5A, split_handle,
        flip % 998 + 1,
    )  # fmt: skip


def write(path: str, *, torn: bool) -> None:
    page = FlipPage.create_or_open(path, 1, incarnation=2)
    flip = page.record(0).flip
    while not select.select([sys.stdin], [], [], 0)[0]:
        for _ in range(200):
            flip += 1
            if torn:
                _store_torn(page, record_of(flip))
            else:
                page.store(0, record_of(flip))
    print(json.dumps({"flips": flip}))


def _store_torn(page: FlipPage, record: Record) -> None:
    """As `FlipPage.store`, but for the last line: two stores of four bytes."""
    store_word = page._words
    page._words = memoryview(bytearray(page._map[:])).cast("Q")  # a copy, to make the record in
    page.store(0, record)
    whole = bytes(page._words)
    page._words = store_word
    page._map[_SLOT_AT + 8 : _SLOT_AT + 128] = whole[_SLOT_AT + 8 : _SLOT_AT + 128]
    low, high = struct.unpack_from("<II", whole, _SLOT_AT)
    struct.pack_into("<I", page._map, _SLOT_AT + 4, high)
    struct.pack_into("<I", page._map, _SLOT_AT, low)


def read(path: str, reads: int) -> None:
    slot = FlipPageReader(os.open(path, os.O_RDONLY)).slot(0, TAG)
    faults: list[str] = []
    last, words, records, switches = 0, 0, 0, 0
    while words < reads and len(faults) < 5:
        for _ in range(_WORDS_PER_RECORD):
            word = slot.word[0]
            flip, handle = word >> HANDLE_BITS, word & HANDLE_MAX
            if handle != flip * _STRIDE % HANDLE_MAX + 1 or flip < last:
                faults.append(f"word {flip}:{handle} after {last}")
            switches += flip != last
            last = max(last, flip)
        words += _WORDS_PER_RECORD
        records += 1
        try:
            record = slot.read()
        except FlipPageDamaged as error:
            faults.append(str(error))
            continue
        meant = record_of(record.flip)
        if record.flip < last or repr(record) != repr(meant) or record.check != meant.check:
            faults.append(f"{record!r} after {last}")
        last = max(last, record.flip)
    said = {"words": words, "records": records, "switches": switches, "faults": faults}
    print(json.dumps(said))


if __name__ == "__main__":
    if sys.argv[1] == "read":
        read(sys.argv[2], int(sys.argv[3]))
    else:
        write(sys.argv[2], torn=sys.argv[1] == "write-torn")
