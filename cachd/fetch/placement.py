"""Which node claims which chunk from the origin: rendezvous hashing with bounded loads. Pure.

Every node computes the same from the same set of nodes, without a word between them. Chunks go in
groups of neighbours; each group to the node that rendezvous hashing (Thaler and Ravishankar, 1998)
prefers among those that have not got their even share yet (Mirrokni, Thorup and Zadimoghaddam,
"Consistent Hashing with Bounded Loads", 2016), because the node with the largest share is the last
to finish, and makes all others wait. When the set changes by one node, most groups stay.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray

from cachd import limits
from cachd.peer.bitmaps import Mask, Numbers
from registry_core.domain.identifiers import ChunkId, NodeId

GROUPS_MAX = 4_096
_HELPED_MAX = 1_024
"""Chunks among which a helper looks, the last ones: its cost is this times the nodes."""

Hashes = NDArray[np.uint64]


@functools.lru_cache(65_536)
def hash_of(node: NodeId) -> int:
    return xxhash.xxh3_64_intdigest(node.text.encode())


def hashes_of(nodes: Iterable[NodeId]) -> Hashes:
    return np.fromiter((hash_of(node) for node in nodes), np.uint64)


def mixed(values: Hashes) -> Hashes:
    """Each value scattered over all 64 bits (the finaliser of SplitMix64: Steele, Lea and Flood,
    2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


_NONE: Hashes = np.zeros(0, np.uint64)


class Nodes:
    """An unchanging set of nodes, by their hashes in ascending order, `but` for some of these. So
    everybody but a few costs little, where the set of all is there."""

    def __init__(self, hashes: Hashes = _NONE, but: Hashes = _NONE) -> None:
        self._hashes = hashes
        self._but = but
        self._count = len(hashes) - len(but)

    def __len__(self) -> int:
        return self._count

    @property
    def hashes(self) -> Hashes:
        """Ascending."""
        return np.delete(self._hashes, self._hashes.searchsorted(self._but))

    def without(self, hashes: Hashes) -> Nodes:
        """The rest of them; all of these must be among them."""
        return Nodes(self._hashes, np.concatenate([self._but, hashes]))


class Owners:
    """Who is to claim what, by chunk number."""

    def __init__(self, seeds: Hashes, per_group: int, hashes: Hashes) -> None:
        self._seeds = seeds
        self._per_group = per_group
        self._hashes = hashes
        self._of_groups = _assign(seeds, hashes)

    def of(self, numbers: Numbers) -> Hashes:
        """The hashes of their owners."""
        return self._hashes[self._places_of(numbers)]

    def are(self, numbers: Numbers, node: NodeId) -> Mask:
        """Whether this node is to claim them."""
        return np.equal(self.of(numbers), np.uint64(hash_of(node)))

    def ahead(self, numbers: Numbers, node: NodeId) -> float:
        """How many of these more this node owns than owners do on average."""
        owned = np.bincount(self._places_of(numbers), minlength=len(self._hashes))
        return float(owned[self._hashes.searchsorted(np.uint64(hash_of(node)))] - owned.mean())

    def to_help(self, numbers: Numbers, node: NodeId) -> Numbers:
        """Those of the numbers that this node is to claim for their owners, if it can, ascending:
        of what an owner claims soon none, and no two nodes' are the same."""
        owners = self._places_of(numbers)
        order = np.argsort(owners, kind="stable")
        places = np.empty(len(owners), np.intp)
        places[order] = np.arange(len(owners)) - np.searchsorted(owners[order], owners[order])
        far = places >= limits.HELP_CHUNKS_MIN - 1
        numbers, owners = numbers[far][-_HELPED_MAX:], owners[far][-_HELPED_MAX:]
        if len(self._hashes) < 2:
            return numbers[:0]
        weights = mixed(self._seeds[numbers // self._per_group][:, None] ^ self._hashes[None, :])
        weights[np.arange(len(numbers)), owners] = 0
        helpers = self._hashes[weights.argmax(axis=1)]
        ours: Mask = np.equal(helpers, np.uint64(hash_of(node)))
        return numbers[ours]

    def _places_of(self, numbers: Numbers) -> NDArray[np.intp]:
        """Of their owners among the hashes."""
        return self._of_groups[numbers // self._per_group]

    def ranks(self, numbers: Numbers, node: NodeId) -> NDArray[np.intp]:
        """How many nodes rendezvous hashing prefers to this one, for each."""
        seeds, mine = self._seeds[numbers // self._per_group], np.uint64(hash_of(node))
        own = mixed(seeds ^ mine)
        ranks = [
            np.count_nonzero(mixed(seed ^ self._hashes) > weight)
            for seed, weight in zip(seeds, own, strict=True)
        ]
        return np.array(ranks, np.intp)


class Placement:
    """Of the distinct chunks of a version, in their order. Remembers the last answer."""

    def __init__(self, chunk_ids: Sequence[ChunkId]) -> None:
        self._per_group = max(1, -(-len(chunk_ids) // GROUPS_MAX))
        self._seeds = np.frombuffer(b"".join(one.raw[:8] for one in chunk_ids), np.uint64)
        self._near = b""
        self._others: Nodes | None = None
        self._owners: Owners | None = None

    def owners(self, near: Hashes, others: Nodes) -> Owners:
        """Of `near` and `others` (at least one, in any order), which is to claim which chunk."""
        near_bytes = near.tobytes()
        if self._owners is None or near_bytes != self._near or others is not self._others:
            hashes = np.sort(np.concatenate([near, others.hashes]))
            self._near, self._others = near_bytes, others
            per_group = max(self._per_group, limits.CROWD_RUN_CHUNKS if others else 1)
            seeds = self._seeds[::per_group].tobytes()
            self._owners = _owners(seeds, per_group, hashes.tobytes())
        return self._owners


@functools.lru_cache(8)
def _owners(seeds: bytes, per_group: int, hashes: bytes) -> Owners:
    return Owners(np.frombuffer(seeds, np.uint64), per_group, np.frombuffer(hashes, np.uint64))


def _assign(seeds: Hashes, hashes: Hashes) -> NDArray[np.intp]:
    """For each seed, the place of its owner in `hashes`."""
    share = -(-len(seeds) // len(hashes))
    loads = np.zeros(len(hashes), np.intp)
    owners = np.zeros(len(seeds), np.intp)
    for group, seed in enumerate(seeds):
        weights = mixed(seed ^ hashes)
        weights[loads >= share] = 0
        owners[group] = best = int(weights.argmax())
        loads[best] += 1
    return owners
