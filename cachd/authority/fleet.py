"""What nodes report: soft state, in memory, rebuilt by the nodes themselves after a restart.

Where several authorities share a store, each hands on there what it was told (`exchange`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import msgspec

from cachd.authority.roster import Roster
from cachd.control.limits import (
    FORGOTTEN_AFTER_MS,
    NODES_MAX,
    ROSTER_SWEEP_MS,
    SILENT_AFTER_MS,
)
from cachd.control.reports import NodeReport, ReportAnswer, SeenReport
from registry_core.domain.identifiers import Digest, NodeId
from registry_core.errors import Conflict, InvalidIdentifier
from registry_core.ledger.records import StageRecord
from registry_core.ledger.store import Store, Table

_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(tuple[NodeReport, int]).decode


class Fleet:
    """Event loop only. `clock_ms` gives Unix milliseconds."""

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self._clock_ms = clock_ms
        self._seen: dict[str, tuple[NodeReport, int]] = {}
        self._told: dict[str, tuple[NodeReport, int]] = {}  # here, since the last exchange
        self._roster = Roster()
        self._swept_ms = 0

    def take(self, node: NodeId, report: NodeReport) -> ReportAnswer:
        """Keep a report; the answer names the peers that were heard of lately, if the node does not
        know them already."""
        if node.text not in self._seen and len(self._seen) >= NODES_MAX:
            self._forget_silent()
            if len(self._seen) >= NODES_MAX:
                raise Conflict(f"{NODES_MAX} nodes report already: start another authority")
        self._seen[node.text] = self._told[node.text] = (report, self._clock_ms())
        self._roster.note(report)
        self._sweep()
        return self._roster.answer(node.text, report.peers_known)

    def exchange(self, store: Store) -> None:
        """Put down what nodes told this authority since the last time, and learn what they told the
        others. In a thread: it waits for the disk; the swap of the two dictionaries is atomic."""
        told, self._told = self._told, {}
        with store.write() as txn:
            for node, (report, seen_ms) in told.items():
                txn.put(Table.REPORTS, node.encode(), _encode((report, seen_ms)))
            found = {key.decode(): _decode(data) for key, data in txn.scan(Table.REPORTS)}
            for node, (_, seen_ms) in found.items():
                if self._clock_ms() - seen_ms > FORGOTTEN_AFTER_MS:
                    txn.delete(Table.REPORTS, node.encode())
        for node, (report, seen_ms) in found.items():
            if node not in self._seen or self._seen[node][1] < seen_ms:
                self._seen[node] = (report, seen_ms)

    def count(self) -> int:
        """Nodes that are not silent."""
        return sum(not self._silent(seen_ms) for _, seen_ms in self._seen.values())

    def nodes(self) -> list[SeenReport]:
        return [
            SeenReport(report, seen_ms, self._silent(seen_ms))
            for report, seen_ms in sorted(self._seen.values(), key=lambda item: item[0].node)
        ]

    def count_beyond(self, log_size: int) -> int:
        """Nodes that hold more of the log than so many entries."""
        return sum(1 for report, _ in self._seen.values() if report.log_size > log_size)

    def held(self) -> set[Digest]:
        """Versions that some node has, or is about to have, by its last report; one that fell
        silent counts until it is forgotten."""
        now_ms = self._clock_ms()
        reports = [r for r, ms in self._seen.values() if now_ms - ms <= FORGOTTEN_AFTER_MS]
        points = [
            point
            for report in reports
            for stage in report.stages
            for point in (stage.desired, stage.observed)
        ]
        texts = {point.digest for point in points if point is not None}
        texts.update(digest for report in reports for digest in report.held)
        held = set()
        for text in texts:
            with contextlib.suppress(InvalidIdentifier):
                held.add(Digest.parse(text))
        return held

    def status(self, model: str, stages: list[StageRecord]) -> dict[str, Any]:
        """Desired and observed version of each stage of `model`, per node."""
        return {
            "model": model,
            "stages": [
                msgspec.to_builtins(stage)
                | {"guard": str(stage.guard), "in_force": msgspec.to_builtins(stage.in_force)}
                for stage in stages
            ],
            "nodes": [
                _node_status(model, seen)
                for seen in self.nodes()
                if any(stage.model == model for stage in seen.report.stages)
            ],
        }

    def _sweep(self) -> None:
        """Bring the roster up to date with what others were told, and who fell silent."""
        now_ms = self._clock_ms()
        if 0 <= now_ms - self._swept_ms < ROSTER_SWEEP_MS:
            return
        self._swept_ms = now_ms
        lately = [report for report, seen_ms in self._seen.values() if not self._silent(seen_ms)]
        self._roster.keep(report.node for report in lately)
        for report in lately:
            self._roster.note(report)

    def _silent(self, seen_ms: int) -> bool:
        return self._clock_ms() - seen_ms > SILENT_AFTER_MS

    def _forget_silent(self) -> None:
        self._seen = {
            node: (report, seen_ms)
            for node, (report, seen_ms) in self._seen.items()
            if not self._silent(seen_ms)
        }


def _node_status(model: str, seen: SeenReport) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(seen.report)
    shown["stages"] = [stage for stage in shown["stages"] if stage["model"] == model]
    shown["memory"] = [one for one in shown["memory"] if one["model"] == model]
    return shown | {"seen_ms": seen.seen_ms, "silent": seen.silent}
