"""Why a version is in memory, and who gives way when there is not enough of it."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Standing(IntEnum):
    """From the first to give way to those that never do."""

    SPARE = 0
    """Nobody needs it any more: it leaves by itself."""
    WARM = 1
    """The other version of a stage's move, past its grace: it stays while nobody needs the memory,
    and may be reclaimed."""
    PREFETCHED = 2
    """Brought by a wish, and named by no stage yet."""
    GRACE = 3
    """Was in force; the move that is desired now does not lead back to it."""
    ROLLBACK = 4
    """The other version of a stage's move, within its grace."""
    LEASED = 5
    """A worker holds it still: its memory is free once that lets go."""
    NEEDED = 6
    """In force, coming into force, or pinned."""

    @property
    def text(self) -> str:
        return self.name.lower()


class MemoryPolicy(StrEnum):
    """What gives way for a version that does not fit. Never: what a worker holds or a stage serves,
    what is pinned, and whatever stands as high as the version that is coming."""

    REFUSE = "refuse"
    """Nothing that is within its time: it waits until memory is free."""
    SHORTEN_GRACE = "shorten-grace"
    """What is in grace and no rollback needs, oldest first."""
    EVICT = "evict"
    """Prefetched versions, then what is in grace, then what rollbacks need."""

    @property
    def gives_up(self) -> frozenset[Standing]:
        return _GIVES_UP[self]


_GIVES_UP = {
    MemoryPolicy.REFUSE: frozenset({Standing.WARM}),
    MemoryPolicy.SHORTEN_GRACE: frozenset({Standing.WARM, Standing.GRACE}),
    MemoryPolicy.EVICT: frozenset(
        {Standing.WARM, Standing.PREFETCHED, Standing.GRACE, Standing.ROLLBACK}
    ),
}
