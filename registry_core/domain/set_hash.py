"""A hash of a set that is kept up to date as the set changes: adding or removing one element costs
the same whatever the set's size, and the order does not matter. Pure.

LtHash16 (Bellare and Micciancio, "A New Paradigm for Collision-Free Hashing: Incrementality at
Reduced Cost", 1997; parameters of Lewi et al., "Securing Update Propagation with Homomorphic
Hashing", 2019): each element is hashed by BLAKE3 to 1,024 numbers of 16 bits, and the set's hash is
their sum, lane by lane, modulo 2^16. Finding another set of the same sum is a hard lattice problem
(about 2^200 steps at these parameters).

The sum is kept as one big integer; even and odd lanes are added apart, so that no carry crosses.
"""

from __future__ import annotations

from blake3 import blake3

LANES = 1_024
STATE_BYTES = 2 * LANES
EMPTY = bytes(STATE_BYTES)

_EVEN = int.from_bytes(b"\xff\xff\x00\x00" * (LANES // 2), "little")
_BORROW = int.from_bytes(b"\x00\x00\x01\x00" * (LANES // 2), "little")


class SetHash:
    """`state` is 2,048 bytes: the lanes, little-endian."""

    def __init__(self, state: bytes = EMPTY) -> None:
        if len(state) != STATE_BYTES:
            raise ValueError(f"a set hash has {STATE_BYTES} bytes, not {len(state)}")
        lanes = int.from_bytes(state, "little")
        self._even, self._odd = lanes & _EVEN, (lanes >> 16) & _EVEN

    def add(self, element: bytes) -> None:
        lanes = _hashed(element)
        self._even = (self._even + (lanes & _EVEN)) & _EVEN
        self._odd = (self._odd + ((lanes >> 16) & _EVEN)) & _EVEN

    def remove(self, element: bytes) -> None:
        lanes = _hashed(element)
        self._even = (self._even + _BORROW - (lanes & _EVEN)) & _EVEN
        self._odd = (self._odd + _BORROW - ((lanes >> 16) & _EVEN)) & _EVEN

    @property
    def state(self) -> bytes:
        return (self._even | self._odd << 16).to_bytes(STATE_BYTES, "little")


def _hashed(element: bytes) -> int:
    return int.from_bytes(blake3(element).digest(length=STATE_BYTES), "little")
