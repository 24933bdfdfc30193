"""What `cachctl verify` looks at: an embedded registry, one behind an authority, a node's disk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cachctl.controls import embedded_control, remote_control
from registry_core.backup.gather import LOG_PHASE
from registry_core.domain.identifiers import ModelName
from registry_core.domain.policy import Policy, Root
from registry_core.errors import IntegrityError, InvalidInput, NotFound
from registry_core.ledger import queries
from registry_core.ledger.check import check_ledger
from registry_core.ledger.lmdb_store import LmdbStore
from registry_core.ledger.memory_store import MemoryStore
from registry_core.ledger.records import VersionRecord
from registry_core.ledger.replica import Replica
from registry_core.verify import verify_versions

if TYPE_CHECKING:
    from cachctl.target import Settings
    from registry_core.ledger.store import Reader
    from registry_core.origin.store import Origin
    from registry_core.push.progress import Progress


@dataclass
class Verification:
    """`problems` is empty when everything that was looked at is sound."""

    entries: int = 0
    versions: int = 0
    chunks: int = 0
    bytes_read: int = 0
    problems: list[str] = field(default_factory=list)


def verify_embedded(settings: Settings, *, deep: bool, progress: Progress) -> Verification:
    """The ledger against its log on one consistent view, then every version in the origin."""
    found = Verification()
    with settings.open(readonly=True) as registry:
        control = embedded_control(registry)
        with control.ledger.read() as txn:
            _check_log(txn, found, progress)
            policy, versions = _named(txn)
        _check_origin(registry.origin, policy, versions, found, deep=deep, progress=progress)
    return found


def verify_remote(
    settings: Settings, *, root_file: Path | None, deep: bool, progress: Progress
) -> Verification:
    """The log that the authority sends, replayed under its checkpoint, and what the origin holds of
    the versions in that log. With `root_file` the authority must be the one that it names."""
    found = Verification()
    with settings.open(readonly=True) as registry:
        control = remote_control(registry)
        replica = Replica(MemoryStore(), _trusted(control.root(), root_file))
        replica.apply(*control.log())
        with replica.read() as txn:
            _check_log(txn, found, progress)
            policy, versions = _named(txn)
        _check_origin(registry.origin, policy, versions, found, deep=deep, progress=progress)
    return found


def verify_node(data: Path, progress: Progress) -> Verification:
    """A node's replica against its log, and every complete file of its cache hashed again. Works
    beside the running node."""
    from cachctl.node_audit import CacheAudit

    ledger, cache = data / "ledger", data / "cache"
    if not cache.is_dir():
        raise NotFound(f"{data} is no node's data directory: name what `cachd node --data` names")
    found = Verification()
    if (ledger / "data.mdb").exists():
        store = LmdbStore(ledger, readonly=True)
        with store.read() as txn:
            _check_log(txn, found, progress)
        store.close()
    looked = CacheAudit(cache)
    manifests = looked.manifests()
    total = sum(manifest.size for manifest in manifests)

    def on_read(count: int) -> None:
        found.bytes_read += count
        progress("cache", found.bytes_read, total)

    for manifest in manifests:
        if looked.published(manifest):
            found.versions += 1
            found.chunks += len(manifest.unique_chunks)
        looked.check(manifest, on_read)
    found.problems += looked.problems
    return found


def _trusted(root: Root, root_file: Path | None) -> Root:
    """`root`, which must be that of `root_file` where one is given."""
    if root_file is None:
        return root
    try:
        expected = Root.parse(root_file.read_bytes()).digest
    except OSError as error:
        raise InvalidInput(f"{root_file} cannot be read ({error.strerror})") from error
    if root.digest != expected:
        raise IntegrityError(
            f"the authority shows another root of trust than {root_file}",
            expected=str(expected),
            actual=str(root.digest),
        )
    return root


def _check_log(txn: Reader, found: Verification, progress: Progress) -> None:
    report = check_ledger(txn, lambda done, total: progress(LOG_PHASE, done, total))
    found.entries = report.entries
    found.problems += report.problems


def _named(txn: Reader) -> tuple[Policy, list[VersionRecord]]:
    """The policy, and every version of every model."""
    versions = [
        version
        for model in queries.models(txn)
        for version in queries.versions(txn, ModelName.parse(model.name))
    ]
    return queries.policy(txn), versions


def _check_origin(
    origin: Origin,
    policy: Policy,
    versions: Iterable[VersionRecord],
    found: Verification,
    *,
    deep: bool,
    progress: Progress,
) -> None:
    report = verify_versions(origin, policy, versions, deep=deep, progress=progress)
    found.versions, found.chunks = report.versions, report.chunks
    found.bytes_read += report.bytes_read
    found.problems += report.problems
