"""Verify a registry from end to end: the ledger against its log, and every version in the origin.

Finds what a node would refuse before a node has to: damaged manifests, bundles, hints and packs.
Reads only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from blake3 import blake3

from registry_core.domain import limits
from registry_core.domain.identifiers import ChunkId, Digest
from registry_core.domain.manifest import Manifest
from registry_core.domain.packs import Location, PackName, decode_hint, read_pack_index
from registry_core.domain.policy import PUBLISHER, Policy
from registry_core.errors import IntegrityError, NotFound, RegistryError
from registry_core.ledger.records import VersionRecord
from registry_core.origin.layout import bundle_key, hint_key, manifest_key, pack_key
from registry_core.origin.store import Origin
from registry_core.push.progress import Progress, silent
from registry_core.trust.oms import verify_version


@dataclass
class VerifyReport:
    """`problems` is empty when everything that was looked at is sound."""

    versions: int = 0
    bytes_read: int = 0
    problems: list[str] = field(default_factory=list)
    seen: set[ChunkId] = field(default_factory=set, repr=False)

    @property
    def chunks(self) -> int:
        """Distinct chunks that were looked at."""
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
    checked: set[tuple[ChunkId, Location]] = set()
    for version in versions:
        report.versions += 1
        try:
            _verify_version(origin, policy, version, checked, report, deep=deep, progress=progress)
        except RegistryError as error:
            report.problems.append(f"{version.model}/{version.number}: {error}")
    return report


def _verify_version(
    origin: Origin,
    policy: Policy,
    version: VersionRecord,
    checked: set[tuple[ChunkId, Location]],
    report: VerifyReport,
    *,
    deep: bool,
    progress: Progress,
) -> None:
    manifest, hint = _documents(origin, policy, version)
    done = 0
    by_pack: dict[PackName, list[tuple[ChunkId, Location]]] = {}
    for chunk in manifest.unique_chunks.values():
        place = hint.get(chunk.id)
        if place is None or place.length != chunk.length:
            raise NotFound(f"the hint does not say where chunk {chunk.id} lies")
        by_pack.setdefault(place.pack, []).append((chunk.id, place))
    total = sum(place.length for placed in by_pack.values() for _, place in placed)
    for name, placed in by_pack.items():
        if not deep:
            _require_pack(origin, name, placed)
        elif not checked.issuperset(placed):
            _verify_pack(origin, name, checked, report)
            if not checked.issuperset(placed):
                raise IntegrityError(f"the hint names chunks that {pack_key(name)} does not hold")
        report.seen.update(chunk for chunk, _ in placed)
        done += sum(place.length for _, place in placed)
        progress(f"verify {version.model}/{version.number}", done, total)


def _require_pack(origin: Origin, name: PackName, placed: list[tuple[ChunkId, Location]]) -> None:
    key = pack_key(name)
    size = origin.size(key)
    if size is None or size < max(place.offset + place.length for _, place in placed):
        raise NotFound(f"the origin lacks {key}, or part of it")


def _verify_pack(
    origin: Origin, name: PackName, checked: set[tuple[ChunkId, Location]], report: VerifyReport
) -> None:
    """Read a pack whole, once: its name must hold, and each of its chunks is then `checked`."""
    pack = origin.get(pack_key(name), bytes_max=limits.PACK_MAX)
    report.bytes_read += len(pack)
    actual = blake3(pack).digest()
    if actual != name.raw:
        raise IntegrityError(
            "a pack in the origin is damaged", expected=name.hex, actual=actual.hex()
        )
    view = memoryview(pack)
    for offset, chunk in read_pack_index(pack):
        if blake3(view[offset : offset + chunk.length]).digest() == chunk.id.raw:
            checked.add((chunk.id, Location(name, offset, chunk.length)))


def _documents(
    origin: Origin, policy: Policy, version: VersionRecord
) -> tuple[Manifest, dict[ChunkId, Location]]:
    digest = Digest.parse(version.digest)
    data = origin.get(manifest_key(digest), bytes_max=limits.MANIFEST_MAX)
    _require_sha256(digest.hex, data, "manifest")
    bundle = origin.get(bundle_key(digest), bytes_max=limits.BUNDLE_MAX)
    _require_sha256(version.bundle, bundle, "bundle")
    manifest = Manifest.parse(data)
    verify_version(bundle, manifest, policy.keys_of(PUBLISHER))
    return manifest, decode_hint(origin.get(hint_key(digest), bytes_max=limits.HINT_MAX))


def _require_sha256(expected: str, data: bytes, what: str) -> None:
    actual = hashlib.sha256(data).hexdigest()
    if actual != expected:
        raise IntegrityError(
            f"the {what} in the origin is damaged", expected=expected, actual=actual
        )
