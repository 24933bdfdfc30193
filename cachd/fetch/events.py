"""What threads of a fetch tell its coordinator."""

from __future__ import annotations

from dataclasses import dataclass

from cachd.fetch.attempts import Attempt
from cachd.peer.directory import PeerAddress


@dataclass(frozen=True, slots=True)
class ChunkStored:
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class ChunkFailed:
    attempt: Attempt
    error: Exception


@dataclass(frozen=True, slots=True)
class ChunkPushed:
    """A peer sent a chunk unasked; it is in the cache. `number`: among the distinct chunks."""

    address: PeerAddress
    number: int


@dataclass(frozen=True, slots=True)
class PeerTold:
    """`maps`: (held, claimed), or None if the peer does not know the version yet."""

    address: PeerAddress
    incarnation: int
    maps: tuple[bytes, bytes] | None


@dataclass(frozen=True, slots=True)
class PeerSilent:
    """The peer is not followed any more."""

    address: PeerAddress
    error: Exception


Event = ChunkStored | ChunkFailed | ChunkPushed | PeerTold | PeerSilent
