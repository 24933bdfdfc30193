"""The nodes heard of lately, as each is told of the others; told again only if that changed.

A thousand nodes that report every few seconds would otherwise be told a thousand names each time.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from cachd.control.reports import NodeReport, PeerBody, ReportAnswer


class Roster:
    """Event loop only."""

    def __init__(self) -> None:
        self._peers: dict[str, PeerBody] = {}
        self._epoch = secrets.token_hex(8)  # another authority counts for itself
        self._changes = 0

    @property
    def version(self) -> str:
        return f"{self._epoch}.{self._changes}"

    def note(self, report: NodeReport) -> None:
        """The node is there, and as it says."""
        peer = PeerBody(
            report.node,
            report.peer,
            report.region,
            report.incarnation,
            report.zone,
            sorted({stage.model for stage in report.stages}),
        )
        if self._peers.get(report.node) != peer:
            self._peers[report.node] = peer
            self._changes += 1

    def keep(self, nodes: Iterable[str]) -> None:
        """All others have fallen silent."""
        gone = self._peers.keys() - set(nodes)
        for node in gone:
            del self._peers[node]
        self._changes += bool(gone)

    def answer(self, node: str, known: str) -> ReportAnswer:
        """To a node that has version `known` of the list."""
        if known == self.version:
            return ReportAnswer(None, known)
        peers = [peer for peer in self._peers.values() if peer.node != node]
        return ReportAnswer(peers, self.version)
