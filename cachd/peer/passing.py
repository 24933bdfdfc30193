"""A chunk that goes to followers while it comes from the origin: of its beginning, what is proven.

It has memory of its own, where it stays until the last who was being sent it has all. So a follower
that takes little holds one of them, of at most `CHUNK_SMALL` bytes: larger chunks have no marks.
"""

from __future__ import annotations


class PassingChunk:
    """One thread fills `data` and raises `there`, another sends; neither waits for the other.
    `there`: bytes that may be sent. `given_up`: there will be no more."""

    def __init__(self, number: int, length: int) -> None:
        self.number = number
        self.data = memoryview(bytearray(length))
        self.there = 0
        self.given_up = False

    def __len__(self) -> int:
        return len(self.data)
