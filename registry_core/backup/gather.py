"""The union of what several sources hold of one log, in an empty store.

Nothing is appended before a signed checkpoint is seen to cover it: a piece is read twice, first to
compute the tree's root from it, then to apply it. A source that contradicts what is there already
is a fork, and ends it; one that is damaged, or lacks entries, is gone round where another has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from registry_core.backup.sources import Piece, Source
from registry_core.domain import limits, merkle
from registry_core.domain.checkpoint import Checkpoint
from registry_core.domain.entry import Entry
from registry_core.domain.policy import Root
from registry_core.errors import RegistryError
from registry_core.ledger import log
from registry_core.ledger.replica import ForkDetected
from registry_core.ledger.store import Store
from registry_core.push.progress import Progress
from registry_core.trust.note import verify_checkpoint

LOG_PHASE = "log entries"  # told in entries; all other phases in bytes


@dataclass(frozen=True, slots=True)
class Until:
    """Where to stop: the last entry at or before both."""

    sequence: int = limits.INTEGER_MAX
    time_ms: int = limits.INTEGER_MAX

    def includes(self, entry: Entry) -> bool:
        return entry.sequence <= self.sequence and entry.time_ms <= self.time_ms


EVERYTHING = Until()


@dataclass
class Gathered:
    """`size` entries are there, of the `known` that some signed checkpoint covers. `cut` if it was
    `until` that ended it."""

    size: int = 0
    known: int = 0
    cut: bool = False
    problems: list[str] = field(default_factory=list)


def gather(
    store: Store, root: Root, sources: Sequence[Source], until: Until, progress: Progress
) -> Gathered:
    """Fill `store`, which is empty, from `sources`, the first ones first."""
    with store.write() as txn:
        log.store_root(txn, root)
    gathering = _Gathering(store, root, until, progress)
    for source in sources:
        gathering.look_at(source)
    while any(gathering.take_from(source) for source in sources):
        pass
    gathering.refuse_forks()
    gathering.done.problems += [
        said for source in sources for said in dict.fromkeys(source.problems)
    ]
    return gathering.done


class _Gathering:
    def __init__(self, store: Store, root: Root, until: Until, progress: Progress) -> None:
        self._store = store
        self._root = root
        self._until = until
        self._progress = progress
        self._newest: list[tuple[str, Checkpoint]] = []
        self.done = Gathered()

    def look_at(self, source: Source) -> None:
        """How far the log went, as far as `source` knows."""
        try:
            note = source.newest()
            if note is not None:
                checkpoint = verify_checkpoint(note, self._root)
                self._newest.append((source.name, checkpoint))
                self.done.known = max(self.done.known, checkpoint.size)
        except RegistryError as error:
            self.done.problems.append(f"{source.name}: {error}")

    def take_from(self, source: Source) -> bool:
        """All that `source` has beyond what is there; whether that was anything."""
        took = False
        try:
            while not self.done.cut and self._take_longest(source):
                took = True
        except RegistryError as error:
            self.done.problems.append(f"{source.name}: {error}")
        return took

    def _take_longest(self, source: Source) -> bool:
        for piece in source.pieces(self.done.size):
            checkpoint = verify_checkpoint(piece.note, self._root)
            if self._root_with(piece) == (checkpoint.size, checkpoint.root):
                self._apply(piece, checkpoint)
                return True
            self.done.problems.append(
                f"{source.name}: what it has beyond entry {self.done.size} is damaged, or of "
                "another history"
            )
        return False

    def refuse_forks(self) -> None:
        """Every checkpoint that was seen, of what is there, must be of this very log."""
        with self._store.read() as txn:
            for name, checkpoint in self._newest:
                if checkpoint.size <= self.done.size:
                    _require_same(name, log.root_at(txn, checkpoint.size), checkpoint.root)

    def _root_with(self, piece: Piece) -> tuple[int, bytes]:
        """(size, root) of the log if `piece` were appended."""
        with self._store.read() as txn:
            frontier, size = log.frontier(txn), log.log_size(txn)
        for record in piece.records():
            if record.sequence != size + 1:
                return size, b""
            merkle.append(frontier, size, record.leaf_hash)
            size += 1
        return size, merkle.frontier_root(frontier)

    def _apply(self, piece: Piece, checkpoint: Checkpoint) -> None:
        records = iter(piece.records())
        while not self.done.cut and (batch := list(islice(records, limits.BATCH_ENTRIES_MAX))):
            with self._store.write() as txn:
                for record in batch:
                    entry = record.entry()
                    if not self._until.includes(entry):
                        self.done.cut = True
                        break
                    log.append(txn, self._root, record, entry)
                self.done.size = log.log_size(txn)
                if self.done.size == checkpoint.size:
                    log.store_checkpoint(txn, piece.note)
            self._progress(LOG_PHASE, self.done.size, self.done.known)


def _require_same(name: str, ours: bytes, theirs: bytes) -> None:
    if ours != theirs:
        raise ForkDetected(
            f"{name} contradicts the other sources: they are of two histories of this registry; "
            "restore from one of them",
            expected=ours.hex(),
            actual=theirs.hex(),
        )
