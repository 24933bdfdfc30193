"""What a report is answered with: the peers, unless the node knows them already."""

from __future__ import annotations

from cachd.authority.fleet import Fleet
from cachd.control.limits import ROSTER_SWEEP_MS, SILENT_AFTER_MS
from cachd.control.reports import NodeReport, ReportAnswer, StageReport
from registry_core.domain.identifiers import NodeId


class Authority:
    """A fleet with a clock to be set."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000
        self.fleet = Fleet(lambda: self.now_ms)

    def report(self, node: str, known: str = "", **changes: object) -> ReportAnswer:
        fields = {"region": "eu", "peer": f"{node}:1", "stages": [], **changes}
        told = NodeReport(node=node, incarnation=1, log_size=0, peers_known=known, **fields)  # type: ignore[arg-type]
        return self.fleet.take(NodeId(node), told)


def names(answer: ReportAnswer) -> list[str] | None:
    return None if answer.peers is None else sorted(peer.node for peer in answer.peers)


def test_peers_are_told_once() -> None:
    authority = Authority()
    assert names(authority.report("a")) == []
    first = authority.report("b")
    assert names(first) == ["a"]
    assert names(authority.report("b", first.version)) is None
    assert names(authority.report("a")) == ["b"], "who knows nothing is told all"


def test_a_change_of_any_is_told() -> None:
    authority = Authority()
    authority.report("a")
    known = authority.report("b").version
    authority.report("a", peer="elsewhere:2")
    moved = authority.report("b", known)
    assert moved.peers is not None
    assert [peer.peer for peer in moved.peers] == ["elsewhere:2"]
    authority.report("a", peer="elsewhere:2", stages=[StageReport("m", "production", "waiting")])
    brings = authority.report("b", moved.version)
    assert brings.peers is not None
    assert [peer.models for peer in brings.peers] == [["m"]]
    stage = StageReport("m", "production", "fetching", bytes_done=5)
    authority.report("a", peer="elsewhere:2", stages=[stage])
    assert names(authority.report("b", brings.version)) is None, "how far it is, is no change"


def test_who_falls_silent_is_dropped() -> None:
    authority = Authority()
    authority.report("a")
    known = authority.report("b").version
    authority.now_ms += SILENT_AFTER_MS
    authority.report("b")
    authority.now_ms += ROSTER_SWEEP_MS
    assert names(authority.report("b", known)) == []


def test_another_authority_tells_all() -> None:
    one, other = Authority(), Authority()
    for authority in (one, other):
        authority.report("a")
    known = one.report("b").version
    assert names(other.report("b", known)) == ["a"]
