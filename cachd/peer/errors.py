"""The error tree of talking to a peer.

`retryable`: the same peer may do better later. `broken`: the connection cannot be used again.
"""

from __future__ import annotations

from registry_core.errors import RegistryError


class PeerError(RegistryError):
    """A peer did not give what was asked of it. Another peer, or the origin, may."""

    code = "peer"
    retryable = True
    broken = True


class PeerUnreachable(PeerError):
    """No connection, or it was cut. Helps once the peer is up."""

    code = "peer_unreachable"


class PeerTooSlow(PeerError):
    """Too few bytes in the time allowed."""

    code = "peer_too_slow"


class PeerBusy(PeerError):
    """All upload slots of the peer are taken. Ask again soon, or ask another."""

    code = "peer_busy"
    broken = False


class PeerLacks(PeerError):
    """The peer does not have it (any more, or yet)."""

    code = "peer_lacks"
    broken = False


class PeerMisbehaved(PeerError):
    """What the peer sent breaks the protocol. Do not ask this peer again."""

    code = "peer_misbehaved"
    retryable = False


class NotTrusted(PeerError):
    """The peer server was asked to listen where it is not known that all who come may read the
    models. Loopback is trusted, and what the operator declares."""

    code = "not_trusted"
    retryable = False
