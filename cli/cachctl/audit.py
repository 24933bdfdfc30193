"""What `cachctl verify` looks at: an embedded registry, one behind an authority, a node's disk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from registry_core.domain import limits
from registry_core.domain.identifiers import ModelName
from registry_core.errors import InvalidInput
from registry_core.ledger.check import check_ledger
from registry_core.ledger.lmdb_store import LmdbStore
from registry_core.ledger.memory_store import MemoryStore
from registry_core.ledger.records import VersionRecord
from registry_core.ledger.replica import Replica
from registry_core.verify import verify_versions

if TYPE_CHECKING:
    from cachctl.target import Settings
    from registry_core.ledger.store import Reader
    from registry_core.push.progress import Progress
    from registry_core.registry import Registry


@dataclass
class Audit:
    """`problems` is empty when everything that was looked at is sound."""

    entries: int = 0
    versions: int = 0
    chunks: int = 0
    bytes_read: int = 0
    problems: list[str] = field(default_factory=list)


def audit_embedded(settings: Settings, *, deep: bool, progress: Progress) -> Audit:
    """The ledger against its log on one consistent view, then every version in the origin."""
    from registry_core.embedded import EmbeddedControl

    audit = Audit()
    with settings.open(readonly=True) as registry:
        control = registry.control
        if not isinstance(control, EmbeddedControl):
            raise InvalidInput("this registry is not embedded")
        with control.ledger.read() as txn:
            _check(txn, audit, progress)
        _audit_versions(registry, audit, deep=deep, progress=progress)
    return audit


def audit_remote(settings: Settings, *, deep: bool, progress: Progress) -> Audit:
    """The log that the authority sends, replayed under its checkpoint; then the origin."""
    from cachd.control.remote import RemoteControl

    audit = Audit()
    with settings.open(readonly=True) as registry:
        control = registry.control
        if not isinstance(control, RemoteControl):
            raise InvalidInput("this registry is not behind an authority")
        records, note = control.log()
        replica = Replica(MemoryStore(), control.root())
        replica.apply(records, note)
        with replica.read() as txn:
            _check(txn, audit, progress)
        _audit_versions(registry, audit, deep=deep, progress=progress)
    return audit


def audit_node(data: Path, progress: Progress) -> Audit:
    """A stopped node's replica, and every file of its cache hashed again."""
    from cachd.cache.cache import Cache

    audit = Audit()
    if (data / "ledger" / "data.mdb").exists():
        store = LmdbStore(data / "ledger", readonly=True)
        with store.read() as txn:
            _check(txn, audit, progress)
        store.close()
    with Cache.open(data / "cache") as cache:
        held = cache.versions()
        for done, (digest, manifest) in enumerate(held.items()):
            progress("cache", done, len(held))
            if cache.published(digest) is None:
                continue
            audit.versions += 1
            audit.chunks += len(manifest.unique_chunks)
            audit.bytes_read += manifest.size
            for path in cache.verify(manifest):
                audit.problems.append(f"{digest}: {path} is damaged; the node fetches it again")
    return audit


def _check(txn: Reader, audit: Audit, progress: Progress) -> None:
    report = check_ledger(txn, lambda done, total: progress("log entries", done, total))
    audit.entries = report.entries
    audit.problems += report.problems


def _audit_versions(registry: Registry, audit: Audit, *, deep: bool, progress: Progress) -> None:
    policy = registry.control.policy()
    report = verify_versions(
        registry.origin, policy, _all_versions(registry), deep=deep, progress=progress
    )
    audit.versions, audit.chunks = report.versions, report.chunks
    audit.bytes_read += report.bytes_read
    audit.problems += report.problems


def _all_versions(registry: Registry) -> Iterable[VersionRecord]:
    for model in registry.models():
        name = ModelName(model.name)
        yield from registry.control.versions(name, newest=limits.PAGE_SIZE_MAX)
