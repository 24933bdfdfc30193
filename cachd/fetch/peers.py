"""Whom a fetch follows, and what it knows of each. Owned by the coordinator; no I/O, no clock.

A plan looks at all peers, an event changes one. So what a plan sees of them stands in columns, and
only the rows of peers that were looked up since the last view are written again: who looks a peer
up may change it, who kept it from before may not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from cachd.fetch.neighbours import neighbours
from cachd.fetch.placement import Nodes, hashes_of
from cachd.fetch.roster import Roster
from cachd.fetch.source_state import PeerSourceState
from cachd.fetch.view import PeerState, PeersView
from cachd.peer.directory import PeerAddress
from registry_core.domain.identifiers import NodeId


class Peers(Mapping[NodeId, PeerSourceState]):
    """`others`: nodes that are listed, but too many to be followed."""

    def __init__(
        self, self_id: NodeId, zone: str, seed: int, chunks: int, failures_max: int
    ) -> None:
        self._self_id, self._zone, self._seed = self_id, zone, seed
        self._chunks = chunks
        self._failures_max = failures_max
        self._roster = Roster()
        self._chosen: dict[NodeId, PeerAddress] = {}
        self.others = Nodes()
        self._states: dict[NodeId, PeerSourceState] = {}
        self._looked_up: set[NodeId] = set()
        self._columns = _Columns((), chunks)

    def __getitem__(self, node: NodeId) -> PeerSourceState:
        state = self._states[node]
        self._looked_up.add(node)
        return state

    def __iter__(self) -> Iterator[NodeId]:
        return iter(self._states)

    def __len__(self) -> int:
        return len(self._states)

    def set(self, roster: Roster, now_s: float) -> list[PeerAddress]:
        """Take over the list; peers that left it are forgotten once nothing is under way with
        them. Returns those that should not be followed any more."""
        if roster is not self._roster:
            self._roster = roster
            self._choose()
        left = []
        for node, known in list(self._states.items()):
            moved = known.address != self._chosen.get(node)
            if moved and known.following:
                left.append(known.address)
            elif moved and not known.in_flight:
                del self._states[node]
        for node, address in self._chosen.items():
            if node not in self._states:
                nothing = np.zeros(self._chunks, np.bool_)
                self._states[node] = PeerSourceState(
                    address=address, held=nothing, progressed_s=now_s
                )
        if self._columns.nodes != tuple(self._states):
            self._columns = _Columns(tuple(self._states), self._chunks)
            self._looked_up.update(self._states)
        return left

    def _choose(self) -> None:
        """Whom to follow."""
        roster = self._roster
        chosen = neighbours(self._self_id, roster, self._zone, self._seed)
        self._chosen = {node: roster[node] for node in chosen}
        near = [*chosen, self._self_id] if self._self_id in roster else chosen
        self.others = roster.everybody.without(hashes_of(near))

    def to_follow(self, now_s: float) -> list[PeerSourceState]:
        """Whom a connection is to be made to now."""
        return [
            known
            for known in self._states.values()
            if not (known.following or known.banned or now_s < known.follow_at_s)
        ]

    def all_are(self, state: PeerState) -> bool:
        return all(known.state is state for known in self._states.values())

    def still_since(self, at_s: float) -> list[NodeId]:
        """Who has shown no progress from then on."""
        return [node for node, known in self._states.items() if known.progressed_s < at_s]

    def view(self, slots: int, now_s: float) -> PeersView:
        """As it is until the next event. `slots`: how many chunks to ask each for at once."""
        for node in self._looked_up:
            if node in self._states:
                self._columns.write(self._states[node], self._failures_max)
        self._looked_up.clear()
        return self._columns.view(slots, now_s)


class _Columns:
    """A row for each of `nodes`."""

    def __init__(self, nodes: tuple[NodeId, ...], chunks: int) -> None:
        self.nodes = nodes
        self._rows = {node: row for row, node in enumerate(nodes)}
        self._hashes = hashes_of(nodes)
        count = len(nodes)
        self._held = np.zeros((count, chunks), np.bool_)
        self._told: list[object] = [None] * count
        """What each said that it holds, as it is in `_held`."""
        self._in_flight = np.zeros(count, np.intp)
        self._retry_at_s, self._progressed_s = np.zeros((2, count), np.float64)
        (
            self._usable,
            self._unknown,
            self._without,
            self._filling,
            self._failing,
            self._busy,
            (self._silent),
        ) = np.zeros((7, count), np.bool_)

    def write(self, peer: PeerSourceState, failures_max: int) -> None:
        row = self._rows[peer.address.node_id]
        if self._told[row] is not peer.held:
            self._told[row] = self._held[row] = peer.held
        self._in_flight[row] = peer.in_flight
        self._retry_at_s[row] = peer.retry_at_s
        self._progressed_s[row] = peer.progressed_s
        self._usable[row] = peer.usable(failures_max)
        self._unknown[row] = peer.state is PeerState.UNKNOWN
        self._without[row] = peer.state is PeerState.WITHOUT
        self._filling[row] = peer.state is PeerState.FILLING
        self._failing[row] = peer.failing
        self._busy[row] = peer.busy > 0
        self._silent[row] = peer.silent

    def view(self, slots: int, now_s: float) -> PeersView:
        ready = self._retry_at_s <= now_s
        view = PeersView(
            self.nodes,
            self._hashes,
            self._held,
            np.maximum(slots - self._in_flight, 0) * ready,
            self._progressed_s,
            self._unknown,
            self._without,
            self._filling,
            self._failing,
            self._busy,
            self._silent,
        )
        usable = self._usable
        return view if np.count_nonzero(usable) == len(usable) else view.of(usable)
