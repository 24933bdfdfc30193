"""A registry with a second region, and what each origin then holds."""

from __future__ import annotations

from pathlib import Path

from registry_core import Registry
from registry_core.domain.identifiers import Digest, RegionName
from registry_core.ledger.records import VersionRecord
from registry_core.origin.layout import manifest_key
from registry_core.origin.store import Origin
from registry_core.verify import verify_versions
from tests.models import make_model
from tests.repair.rig import Objects, objects, origin_folder

EU = "eu"


def add_eu(registry: Registry, folder: Path) -> Path:
    """Region eu, with its origin in `folder`."""
    registry.regions.add(EU, folder.as_uri())
    return folder


def push_versions(registry: Registry, folder: Path, count: int, model: str = "m") -> None:
    """Versions that share most of their chunks; each has a pack of its own."""
    for number in range(count):
        registry.push(
            make_model(
                folder / f"{model}{number}", tensors=4, changed=number % 4 if number else None
            ),
            model,
        )


def home_objects(registry: Registry) -> Objects:
    """What versions are made of; the backup is of no concern."""
    return version_objects(origin_folder(registry))


def version_objects(folder: Path) -> Objects:
    return {
        key: data
        for key, data in objects(folder).items()
        if key.startswith(("packs/", "manifests/"))
    }


def held(registry: Registry, region: str = EU) -> list[str]:
    """The versions that the log says a region holds."""
    copies = registry.control.regions.copies_in(RegionName(region))
    return [f"{copy.model}/{copy.number}" for copy in copies]


def unsound(registry: Registry, origin: Origin, names: list[str]) -> list[str]:
    """What is wrong with these versions in an origin, every byte read."""
    versions = [registry.resolve(name).version for name in names]
    policy = registry.control.policy()
    return verify_versions(origin, policy, versions, deep=True).problems


def is_visible(folder: Path, version: VersionRecord) -> bool:
    return (folder / manifest_key(Digest.parse(version.digest))).exists()
