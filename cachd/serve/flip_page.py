"""The flip page: one aligned 64-bit word per model@stage, in a file mapped by daemon and workers.

Layout (docs/FORMATS.md, little-endian): a header of 64 bytes, then slots of 128 bytes:
     0  word: flip << 24 | handle; 0 = nothing served yet
     8  name tag (names.name_tag)
    32  record of even flips, 64 of odd ones: flip, handle, generation, choice
    96  check of the even record, 104 of the odd one
   112  split of the even record, 120 of the odd one: mark << 34 | handle << 10 | per mille
Invariants
- Only the daemon that holds the runtime directory writes; workers map the page read-only.
- The record of flip f is complete before the word shows f; flip f + 1 uses the other record. So a
  reader that finds the word unchanged after reading the record has a record of one flip; the check
  makes that true on machines that reorder stores, too.
- The split of flip f is stored before its check, and its mark is of f: one that does not fit is not
  of this flip. A writer of an earlier release leaves none, and then there is none.
- A store of one aligned word through a memoryview cast to 'Q' is never torn.
- A kill at any instant leaves the word of the last whole flip, and the next daemon counts on
  from there. After a power loss nobody has the page mapped: a damaged one is made anew.
Threads: the writer belongs to one thread; readers may race freely.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys

from cachd.serve.limits import (
    FLIP_MAX,
    HANDLE_BITS,
    HANDLE_MAX,
    PAGE_SLOTS_MAX,
    RECORD_READS_MAX,
    SPLIT_READS_MAX,
    SPLIT_WHOLE,
)

MAGIC = b"CACHDFP1"
LAYOUT_VERSION = 1
HEADER_BYTES = 64
SLOT_BYTES = 128
PAGE_ALIGN = 4096
_HEADER = struct.Struct("<8sIIIIQ32x")
_INCARNATION_WORD = 3  # byte 24
_WORDS_PER_SLOT = SLOT_BYTES // 8
_TAG, _RECORDS, _RECORD_WORDS, _CHECKS, _SPLITS = 1, 4, 4, 12, 14
_SHARE_BITS = 10
_MARK_SHIFT = HANDLE_BITS + _SHARE_BITS
_U64 = (1 << 64) - 1


class FlipPageError(Exception):
    """The page cannot be used. Trying again cannot help; the message says what to do."""


class FlipPageDamaged(FlipPageError):
    """The page has our layout but contradicts itself (power loss, a foreign writer)."""


class Record:
    """What is in force since one flip. All zero: nothing served yet. `split_handle` answers `split`
    per mille of the requests, `handle` all others."""

    __slots__ = ("choice", "flip", "generation", "handle", "split", "split_handle")

    def __init__(
        self,
        flip: int,
        handle: int,
        generation: int,
        choice: int,
        split_handle: int = 0,
        split: int = 0,
    ) -> None:
        self.flip = flip
        self.handle = handle
        self.generation = generation
        self.choice = choice
        self.split_handle = split_handle
        self.split = split

    @property
    def word(self) -> int:
        return self.flip << HANDLE_BITS | self.handle

    @property
    def check(self) -> int:
        """FNV-1a over the four words, so that no mix of two records passes for one."""
        return _fnv_1a(self.flip, self.handle, self.generation, self.choice)

    @property
    def split_word(self) -> int:
        mark = _fnv_1a(self.flip, self.split_handle, self.split) >> _MARK_SHIFT
        return mark << _MARK_SHIFT | self.split_handle << _SHARE_BITS | self.split

    def with_split(self, word: int) -> bool:
        """Take over the split that `word` says; False if it is of another flip."""
        self.split_handle = word >> _SHARE_BITS & HANDLE_MAX
        self.split = word & ((1 << _SHARE_BITS) - 1)
        if self.split_word == word and self.split < SPLIT_WHOLE:
            return True
        self.split_handle = self.split = 0
        return False

    def __repr__(self) -> str:
        split = f", {self.split} per mille handle {self.split_handle}" if self.split else ""
        return f"flip {self.flip}: handle {self.handle}, {self.generation}.{self.choice}{split}"


def _fnv_1a(*words: int) -> int:
    check = 0xCBF29CE484222325
    for word in words:
        check = ((check ^ word) * 0x100000001B3) & _U64
    return check


def page_bytes(slots: int) -> int:
    """Size of the file: whole pages."""
    return -(-(HEADER_BYTES + slots * SLOT_BYTES) // PAGE_ALIGN) * PAGE_ALIGN


class FlipPage:
    """The writer's side. Owns its map from construction to `close()`."""

    def __init__(self, fd: int, slots: int, path: str) -> None:
        self.path = path
        self.slots = slots
        self._map = mmap.mmap(fd, page_bytes(slots), mmap.MAP_SHARED)
        self._words = memoryview(self._map).cast("Q")

    @classmethod
    def create_or_open(cls, path: str, slots: int, *, incarnation: int) -> FlipPage:
        """Open the page at `path`, or make it. FlipPageDamaged: call `replace` if you know what
        was in force. FlipPageError: no page of ours, or one of another size."""
        if not 1 <= slots <= PAGE_SLOTS_MAX:
            raise FlipPageError(f"{slots} slots: a flip page has 1 to {PAGE_SLOTS_MAX}")
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return cls.replace(path, slots, incarnation=incarnation)
        try:
            found = _slots_of(fd, path)
            if found != slots:
                raise FlipPageError(
                    f"{path} has {found} slots, not {slots}: configure {found}, or stop the "
                    "workers of this host and remove the file"
                )
            page = cls(fd, slots, path)
        finally:
            os.close(fd)
        for slot in range(slots):
            page.record(slot)
        page._words[_INCARNATION_WORD] = incarnation
        return page

    @classmethod
    def replace(cls, path: str, slots: int, *, incarnation: int) -> FlipPage:
        """A new empty page in the place of whatever is there; maps of the old one stay valid."""
        temporary = f"{path}.new"
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(temporary, flags, 0o644)
        try:
            header = _HEADER.pack(MAGIC, LAYOUT_VERSION, SLOT_BYTES, slots, 0, incarnation)
            size = page_bytes(slots)
            # Written out, not sparse: a store into a hole of a full file system is a SIGBUS.
            if os.pwrite(fd, header.ljust(size, b"\0"), 0) != size:
                raise FlipPageError(f"no space for {temporary}: free {size} bytes")
            os.rename(temporary, path)
            return cls(fd, slots, path)
        finally:
            os.close(fd)

    def claim(self, slot: int, tag: int) -> None:
        """Mark the slot as belonging to the name with this tag."""
        self._words[_base(slot) + _TAG] = tag

    def tag(self, slot: int) -> int:
        return self._words[_base(slot) + _TAG]

    def record(self, slot: int) -> Record:
        return _read_record(self._words, _base(slot))

    def flip(self, slot: int, handle: int, generation: int, choice: int) -> int:
        """Put a handle in force under the slot's next flip number, which is returned."""
        flip = (self._words[_base(slot)] >> HANDLE_BITS) + 1
        self.store(slot, Record(flip, handle, generation, choice))
        return flip

    def store(self, slot: int, record: Record) -> None:
        """Put in force exactly this record: flips only ever count upwards."""
        base = _base(slot)
        fits = 1 <= record.handle <= HANDLE_MAX and record.flip <= FLIP_MAX
        if not fits or record.split >= SPLIT_WHOLE or record.split_handle > HANDLE_MAX:
            raise FlipPageError(f"{record!r} does not fit a word of the flip page")
        if record.flip <= self._words[base] >> HANDLE_BITS:
            raise FlipPageError(f"{record!r} is not newer than the page: another writer?")
        odd = record.flip & 1
        at = base + _RECORDS + _RECORD_WORDS * odd
        self._words[at] = record.flip
        self._words[at + 1] = record.handle
        self._words[at + 2] = record.generation
        self._words[at + 3] = record.choice
        self._words[base + _SPLITS + odd] = record.split_word
        self._words[base + _CHECKS + odd] = record.check
        self._words[base] = record.word

    def close(self) -> None:
        self._words.release()
        self._map.close()


class FlipPageReader:
    """The workers' side: read-only. Keeps the map for as long as any slot of it is referenced."""

    __slots__ = ("identity", "incarnation", "slots", "words")

    def __init__(self, fd: int) -> None:
        self.slots = _slots_of(fd, "the flip page")
        status = os.fstat(fd)
        self.identity = (status.st_dev, status.st_ino)
        page = mmap.mmap(fd, page_bytes(self.slots), mmap.MAP_SHARED, mmap.PROT_READ)
        self.words = memoryview(page).cast("Q")
        self.incarnation = self.words[_INCARNATION_WORD]

    def slot(self, slot: int, tag: int) -> SlotReader:
        """The slot of the name with this tag; FlipPageError if it is another name's."""
        if not 0 <= slot < self.slots:
            raise FlipPageError(f"slot {slot} of a page of {self.slots}: restart the daemon")
        if self.words[_base(slot) + _TAG] != tag:
            raise FlipPageError(f"slot {slot} belongs to another model: restart the daemon")
        return SlotReader(self.words, slot)


class SlotReader:
    """One slot: `word[0]` is the hot path, `read()` what it means."""

    __slots__ = ("_base", "_words", "word")

    def __init__(self, words: memoryview[int], slot: int) -> None:
        self._words = words
        self._base = _base(slot)
        self.word = words[self._base : self._base + 1]

    def read(self) -> Record:
        return _read_record(self._words, self._base)


def _base(slot: int) -> int:
    return HEADER_BYTES // 8 + _WORDS_PER_SLOT * slot


def _read_record(words: memoryview[int], base: int) -> Record:
    tries, last = 0, -1
    while tries < RECORD_READS_MAX:
        word = words[base]
        if word == 0:
            return Record(0, 0, 0, 0)
        tries, last = (tries + 1 if word == last else 0), word
        odd = (word >> HANDLE_BITS) & 1
        at = base + _RECORDS + _RECORD_WORDS * odd
        record = Record(words[at], words[at + 1], words[at + 2], words[at + 3])
        whole = record.word == word and words[base + _CHECKS + odd] == record.check
        known = record.with_split(words[base + _SPLITS + odd]) or tries >= SPLIT_READS_MAX
        if whole and known and words[base] == word:
            return record
    raise FlipPageDamaged("a word of the flip page has no record: restart the daemon to renew it")


def _slots_of(fd: int, path: str) -> int:
    """Number of slots of the page behind `fd`, once everything else about it is as it must be."""
    if sys.byteorder != "little":
        raise FlipPageError("flip pages are little-endian: this machine is not")
    head = os.pread(fd, HEADER_BYTES, 0)
    if len(head) < HEADER_BYTES or head[:8] != MAGIC:
        raise FlipPageError(f"{path} is no flip page: remove it, it is made anew")
    _, version, slot_bytes, slots, _, _ = _HEADER.unpack(head)
    if version != LAYOUT_VERSION or slot_bytes != SLOT_BYTES:
        raise FlipPageError(
            f"{path} has layout {version} with slots of {slot_bytes} bytes, this release knows "
            f"layout {LAYOUT_VERSION}: use the same release of cachd in daemon and workers"
        )
    if not 1 <= slots <= PAGE_SLOTS_MAX or os.fstat(fd).st_size != page_bytes(slots):
        raise FlipPageDamaged(f"{path} has {slots} slots and a size that does not fit them")
    return int(slots)
