"""What a plan may depend on: a view of the swarm, with a row for each peer. Pure.

Peers stand in columns, as do chunks: a plan is made tens of times a second, and asks the same of
all of them at once.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from cachd.fetch.placement import Hashes, Nodes, Placement
from cachd.peer.bitmaps import Mask, Numbers
from registry_core.domain.identifiers import NodeId
from registry_core.domain.manifest import Chunk


class Fixed(enum.Enum):
    """The sources that are not peers."""

    ORIGIN = "origin"
    LOCAL = "local cache"

    def __str__(self) -> str:
        return self.value


Source = NodeId | Fixed


class PeerState(enum.Enum):
    UNKNOWN = "has not answered yet"
    WITHOUT = "does not know the version"
    FILLING = "is fetching it"
    COMPLETE = "has all of it"


@dataclass(frozen=True, slots=True)
class PeersView:
    """The peers that are neither banned nor given up, in the same order in each column.

    `held`: a row for each, with a column for each chunk. `slots_free`: 0 while it is backing off.
    `progressed_s`: when it last gave a part of a chunk, or its maps last changed. `unknown`,
    `without`, `filling`: by its state. `failing`, `busy`: its last answer was an error, or that it
    is busy. `silent`: it cannot be followed.
    """

    nodes: Sequence[NodeId]
    hashes: Hashes
    held: NDArray[np.bool_]
    slots_free: NDArray[np.intp]
    progressed_s: NDArray[np.float64]
    unknown: Mask
    without: Mask
    filling: Mask
    failing: Mask
    busy: Mask
    silent: Mask

    def __len__(self) -> int:
        return len(self.nodes)

    def of(self, rows: Mask) -> PeersView:
        """These rows alone."""
        return PeersView(
            [self.nodes[row] for row in rows.nonzero()[0].tolist()],
            *(getattr(self, column)[rows] for column in _COLUMNS),
        )

    def claiming(self, now_s: float, patience_s: float) -> Mask:
        """Who takes its share of chunks from the origin, and gets on with it. All nodes should say
        the same of it: that it failed to answer one of them says nothing of that."""
        return self.filling & (now_s - self.progressed_s <= patience_s) & ~self.silent

    def worth_waiting_for(self, now_s: float, patience_s: float) -> Mask:
        """Whose chunks should not be taken from the origin, though it may take a moment.

        Others are asked too, but only for what the origin cannot give or has no slot for.
        """
        free, sound = self.slots_free > 0, ~self.failing
        recent = now_s - self.progressed_s <= patience_s
        return (recent & (free | sound)) | (free & sound & ~self.busy)


_COLUMNS = [column.name for column in fields(PeersView)][1:]


@dataclass(frozen=True, slots=True)
class SwarmView:
    """All that a plan may depend on; masks go over the version's distinct `chunks`.

    `answered_s`: when a peer last answered for the first time.
    `lacking`: not stored, ascending; some of it is `in_flight`. `late`: of that, what has been for
    longer than usual, now that little else is left, and from whom. `others`: nodes that fetch the
    version too, but are not among `peers` because there are too many to follow. `expected`: what a
    peer will push; `under_way`: what it should have by now, and who, so that another may be asked.
    `origin_slots`: how many more chunks the origin may be asked for now;
    `origin_in_flight`: how many it is being asked for; `origin_lacks`: what it cannot give.
    `push_backlog`: chunks that this node has brought into the region and has still to send to a
    peer; `yields_until_s`: until then it leaves the origin to others while it is ahead of them.
    `patience_s`: how long others are waited for; `stalled`: how many times it has passed since
    anything came. `threads_free` and `bytes_free` bound the plan. `origin_run`: chunks that a
    request to the origin is to bring.
    """

    now_s: float
    began_s: float
    answered_s: float | None
    self_id: NodeId
    chunks: Sequence[Chunk]
    lacking: Numbers
    in_flight: Mask
    late: Mapping[int, Source]
    local: Mask
    peers: PeersView
    others: Nodes
    placement: Placement
    expected: Mask
    under_way: Mapping[int, Source]
    origin_slots: int
    origin_in_flight: int
    push_backlog: int
    yields_until_s: float
    patience_s: float
    stalled: int
    origin_lacks: Mask
    threads_free: int
    bytes_free: int
    origin_run: int = 1
