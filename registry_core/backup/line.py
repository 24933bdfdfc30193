"""One ledger's segments in an origin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from registry_core.backup.layout import (
    BACKUP,
    Segment,
    parse_segment_key,
    registry_prefix,
    root_key,
    segment_key,
)
from registry_core.backup.segment import SEGMENT_MAX, decode_segment
from registry_core.backup.sources import Piece
from registry_core.domain import limits
from registry_core.domain.entry import LogRecord
from registry_core.domain.policy import Root
from registry_core.errors import IntegrityError, InvalidInput, NotFound, RegistryError
from registry_core.ledger import log
from registry_core.ledger.ledger import Ledger
from registry_core.origin.store import Origin
from registry_core.trust.note import verify_checkpoint


@dataclass
class BackupLine:
    """A source. `modified_ms` is when its newest segment was written, by the origin's clock."""

    origin: Origin
    registry: str
    line: str
    segments: list[Segment] = field(default_factory=list)
    modified_ms: int = 0
    problems: list[str] = field(default_factory=list)
    """Segments that could not be read."""

    @property
    def name(self) -> str:
        return f"backup line {self.line} in {self.origin.url}"

    def cover(self) -> list[Segment]:
        """The fewest segments, in order, that hold all from the first entry on without a gap."""
        return cover(self.segments)

    def newest(self) -> bytes | None:
        for segment in sorted(self.segments, key=lambda one: one.last, reverse=True):
            try:
                return self._read(segment)[1]
            except RegistryError:
                continue
        return None

    def pieces(self, after: int) -> Iterator[Piece]:
        fitting = [one for one in self.segments if one.first <= after + 1 <= one.last]
        for segment in sorted(fitting, key=lambda one: one.last, reverse=True):
            try:
                records, note = self._read(segment)
            except (IntegrityError, NotFound) as error:
                self.problems.append(f"{self.name}: {error}")
                continue
            yield _piece(records, note, after)

    def agrees_with(self, ledger: Ledger) -> bool:
        """Whether what it holds is the beginning of this very log."""
        covered = self.cover()
        if not covered:
            return False
        note = self._read(covered[-1])[1]
        with ledger.read() as txn:
            root = log.stored_root(txn)
            if root is None or covered[-1].last > log.log_size(txn):
                return False
            checkpoint = verify_checkpoint(note, root)
            return checkpoint.root == log.root_at(txn, checkpoint.size)

    def _read(self, segment: Segment) -> tuple[list[LogRecord], bytes]:
        key = segment_key(self.registry, self.line, segment)
        return decode_segment(self.origin.get(key, bytes_max=SEGMENT_MAX), segment)


def cover(segments: Sequence[Segment]) -> list[Segment]:
    chosen: list[Segment] = []
    position = 0
    while fitting := [one for one in segments if one.first <= position + 1 <= one.last]:
        chosen.append(max(fitting, key=lambda one: one.last))
        position = chosen[-1].last
    return chosen


def find_lines(origin: Origin, registry: str) -> dict[str, BackupLine]:
    """All lines of a registry, by name."""
    lines: dict[str, BackupLine] = {}
    for found in origin.list(registry_prefix(registry)):
        parsed = parse_segment_key(registry, found.key, found.bytes)
        if parsed is not None:
            name, segment = parsed
            line = lines.setdefault(name, BackupLine(origin, registry, name))
            line.segments.append(segment)
            line.modified_ms = max(line.modified_ms, found.modified_ms)
    return lines


def newest_line(origin: Origin, registry: str, name: str = "") -> BackupLine:
    """The line that was written to last, or the one that is named."""
    lines = find_lines(origin, registry)
    if name and name not in lines:
        raise NotFound(f"there is no backup line {name}: there are {', '.join(lines) or 'none'}")
    if not lines:
        raise NotFound(f"{origin.url} holds no backup of registry {registry}")
    return lines[name] if name else max(lines.values(), key=lambda one: one.modified_ms)


def find_registry(origin: Origin, registry: str = "") -> str:
    """The one registry that is backed up in this origin, or the one that is named."""
    found = {key.split("/")[1] for key in (one.key for one in origin.list(BACKUP))}
    if registry:
        if registry not in found:
            raise NotFound(f"{origin.url} holds no backup of registry {registry:.40}")
        return registry
    if len(found) > 1:
        raise InvalidInput(
            f"{origin.url} holds backups of {len(found)} registries, name one: "
            + ", ".join(sorted(found))
        )
    if not found:
        raise NotFound(f"{origin.url} holds no backup: is it the registry's origin?")
    return found.pop()


def read_root(origin: Origin, registry: str) -> Root:
    """The root document beside the backup. The log's first entry, which the authority's key covers,
    says whether it is the right one."""
    return Root.parse(origin.get(root_key(registry), bytes_max=limits.ENVELOPE_MAX))


def _piece(records: list[LogRecord], note: bytes, after: int) -> Piece:
    beyond = [record for record in records if record.sequence > after]
    return Piece(lambda: beyond, note)
