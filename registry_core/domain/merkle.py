"""The Merkle tree of RFC 6962, section 2.1, over SHA-256.

Used twice: over the entries of the log (`registry_core.ledger` keeps the nodes), and over the
chunks of a file (the chunk root that an OMS bundle binds).
A *frontier* is the list of roots of the complete subtrees of a tree, largest first: all that is
needed to append to it, and to tell its root.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def frontier_root(frontier: Sequence[bytes]) -> bytes:
    """Root of the tree whose complete subtrees, largest first, have these roots."""
    if not frontier:
        return EMPTY_ROOT
    root = frontier[-1]
    for subtree in reversed(frontier[:-1]):
        root = node_hash(subtree, root)
    return root


def append(frontier: list[bytes], size: int, leaf: bytes) -> list[tuple[int, int, bytes]]:
    """Append one leaf hash in place; the new complete subtrees as (level, index, root).

    `size` is the number of leaves before. The subtree (level, index) covers the leaves
    [index * 2^level, (index + 1) * 2^level).
    """
    made = [(0, size, leaf)]
    level, index, root = 0, size, leaf
    while index & 1:
        root = node_hash(frontier.pop(), root)
        level, index = level + 1, index >> 1
        made.append((level, index, root))
    frontier.append(root)
    return made


def frontier_positions(size: int) -> list[tuple[int, int]]:
    """(level, index) of the complete subtrees of a tree of `size` leaves, largest first."""
    positions, start = [], 0
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            positions.append((level, start >> level))
            start += 1 << level
    return positions


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Root over leaf *hashes*."""
    frontier: list[bytes] = []
    for size, leaf in enumerate(leaves):
        append(frontier, size, leaf)
    return frontier_root(frontier)
