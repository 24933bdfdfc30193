"""Which regions hold a version, and on how many of their nodes it is; for whoever moves a stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cachctl.arrivals import resident_on
from cachctl.output import emit_line

if TYPE_CHECKING:
    from registry_core.ledger.records import VersionRecord
    from registry_core.registry import Registry


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """`origin`: the region has one, which `holds` all chunks or not. Of its `nodes` that serve the
    model, so many have the version `resident`; None where no authority knows of nodes."""

    region: str
    home: bool
    origin: bool
    holds: bool
    nodes: int | None
    resident: int | None


def whereabouts(registry: Registry, version: VersionRecord) -> list[Whereabouts]:
    """Of all regions, the home region first; then those that have nodes and no origin."""
    counted = _count(registry, version)
    found = []
    for one in registry.regions.holding(version):
        resident, nodes = (None, None) if counted is None else counted.pop(one.region, (0, 0))
        found.append(
            Whereabouts(
                one.region, one.home, origin=True, holds=one.holds, nodes=nodes, resident=resident
            )
        )
    for region, (resident, nodes) in sorted((counted or {}).items()):
        found.append(
            Whereabouts(
                region, home=False, origin=False, holds=False, nodes=nodes, resident=resident
            )
        )
    return found


def emit_whereabouts(found: list[Whereabouts], version: VersionRecord) -> None:
    """Nothing where there is but one region."""
    if len(found) < 2:
        return
    name, home = f"{version.model}/{version.number}", found[0].region
    for one in found:
        said = "all chunks" if one.holds else "no origin of its own"
        if one.origin and not one.holds:
            said = f"not yet (cachctl replicate {name} --to {one.region})"
        nodes = "" if one.nodes is None else f", resident on {one.resident} of {one.nodes} node(s)"
        emit_line(f"  {one.region}{' (home)' * one.home}: {said}{nodes}")
    lacking = [one.region for one in found if not one.holds and one.nodes != 0]
    if lacking:
        emit_line(f"warning: nodes of {', '.join(lacking)} fetch {name} from {home}, over the link")


def _count(registry: Registry, version: VersionRecord) -> dict[str, tuple[int, int]] | None:
    from cachd.control.remote import RemoteControl

    control = registry.control
    return resident_on(control.nodes(), version) if isinstance(control, RemoteControl) else None
