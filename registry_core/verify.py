"""Verify versions from end to end in the origin.

Finds what a node would refuse before a node has to: damaged manifests, bundles, hints and packs.
Reads only; `registry_core.repair` puts back what is lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from registry_core.domain.identifiers import ChunkId
from registry_core.domain.policy import PUBLISHER, Policy
from registry_core.errors import RegistryError
from registry_core.ledger.records import VersionRecord
from registry_core.origin.store import Origin
from registry_core.push.progress import Progress, silent
from registry_core.repair.look import look_at
from registry_core.repair.packs import PackShelf
from registry_core.repair.telling import Telling


@dataclass
class VerifyReport:
    """`problems` is empty when everything that was looked at is sound."""

    versions: int = 0
    bytes_read: int = 0
    problems: list[str] = field(default_factory=list)
    seen: set[ChunkId] = field(default_factory=set, repr=False)

    @property
    def chunks(self) -> int:
        """Distinct chunks that are where they should be."""
        return len(self.seen)


def verify_versions(
    origin: Origin,
    policy: Policy,
    versions: Iterable[VersionRecord],
    *,
    deep: bool,
    progress: Progress = silent,
) -> VerifyReport:
    """Check documents and packs of `versions`; `deep` reads and hashes every pack once."""
    report = VerifyReport()
    publishers = policy.keys_of(PUBLISHER)
    asked = list(versions)
    telling = Telling(progress, sum(version.bytes for version in asked))
    shelf = PackShelf(origin, telling.read, deep=deep)
    for version in asked:
        telling.begin(version)
        report.versions += 1
        name = f"{version.model}/{version.number}"
        try:
            health = look_at(origin, shelf, publishers, version)
        except RegistryError as error:
            report.problems.append(f"{name}: {error}")
            continue
        report.problems += [f"{name}: {problem}" for problem in health.problems]
        report.seen |= health.places.keys()
        telling.end()
    report.bytes_read = shelf.bytes_read
    return report
