"""Where a version is, by what nodes reported: on which of them, in which regions."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry_core.domain.region import EVERY_REGION

if TYPE_CHECKING:
    from cachd.control.reports import SeenReport
    from registry_core.ledger.records import VersionRecord

RESIDENT, UNHEARD = "resident", "has not heard of it yet"


@dataclass(frozen=True, slots=True)
class Arrival:
    """How far a version is on a node that is to have it."""

    node: str
    region: str
    state: str
    detail: str = ""
    bytes_done: int = 0
    bytes_total: int = 0


def arrivals(
    nodes: Iterable[SeenReport], regions: Collection[str], digest: str, sequence: int
) -> list[Arrival]:
    """Of the version on the nodes of `regions` that serve its model, or may: those that have not
    followed the log up to entry `sequence`, by which it was wished for. Silent nodes are left
    out."""
    found = []
    for seen in nodes:
        report = seen.report
        if seen.silent or not ({report.region, EVERY_REGION} & set(regions)):
            continue
        wished = next((one for one in report.prefetches if one.digest == digest), None)
        if report.followed < sequence:
            found.append(Arrival(report.node, report.region, UNHEARD))
        elif wished is not None:
            found.append(
                Arrival(
                    report.node, report.region, wished.state, wished.detail,
                    wished.bytes_done, wished.bytes_total,
                )
            )  # fmt: skip
    return found


def resident_on(nodes: Iterable[SeenReport], version: VersionRecord) -> dict[str, tuple[int, int]]:
    """Region -> of its nodes that serve the model and are not silent, how many have the version in
    memory, and how many there are."""
    counted: dict[str, tuple[int, int]] = {}
    for seen in nodes:
        report = seen.report
        models = {one.model for one in report.stages} | {one.model for one in report.prefetches}
        if seen.silent or version.model not in models:
            continue
        has, count = counted.get(report.region, (0, 0))
        counted[report.region] = (has + (version.digest in report.held), count + 1)
    return counted
