"""What a failed attempt means for its source. Pure, on the coordinator's state.

A peer that gives wrong bytes or breaks the protocol is not asked again in this fetch. An origin
is: one damaged object says little of the others, so only that chunk is refused, until too many
are. Being busy is no failure, of a peer or of an origin, which is asked for less at once then, as
after a timeout. What only this node can mend (its disk) ends the fetch.
"""

from __future__ import annotations

from cachd import limits
from cachd.cache.errors import CacheError
from cachd.fetch.attempts import Attempt
from cachd.fetch.source_state import PeerSourceState, SourceState
from cachd.fetch.swarm import Swarm
from cachd.fetch.view import Fixed
from cachd.peer.errors import PeerBusy, PeerError, PeerMisbehaved
from registry_core.errors import IntegrityError, NotFound, OriginError, RegistryError


class LocalCopyGone(RegistryError):
    """The cache does not hold, or not soundly, what it was to be copied from."""

    code = "local_copy_gone"


def judge(swarm: Swarm, attempt: Attempt, error: Exception, now_s: float) -> None:
    """Note the failure, or raise `error` if it is not the source's."""
    state = swarm.state_of(attempt.source)
    state.last_error = str(error)
    swarm.again(attempt)
    if attempt.abandoned:
        return
    match attempt.source, error:
        case _, CacheError():
            raise error
        case Fixed.LOCAL, LocalCopyGone() | IntegrityError():
            swarm.not_local(attempt.wanted)
            swarm.complain(attempt.source, attempt.wanted.chunk.id, str(error))
        case Fixed.ORIGIN, IntegrityError() | NotFound() | OriginError(retryable=False):
            _refuse_at_origin(swarm, attempt, error)
        case Fixed.ORIGIN, OriginError(busy=True):
            _ask_less(swarm, state, now_s)
            _busy(state, swarm.settings.backoff_s(state.busy), now_s)
        case Fixed.ORIGIN, OriginError():
            _ask_less(swarm, state, now_s)
            _fail(swarm, state, now_s)
            if state.failures >= swarm.settings.origin_failures_max:
                swarm.complain(attempt.source, None, str(error))
                swarm.ban(attempt.source, f"gave up: {error}")
        case _, IntegrityError() | PeerMisbehaved():
            swarm.complain(attempt.source, attempt.wanted.chunk.id, str(error))
            swarm.ban(attempt.source, f"banned: {error}")
        case _, PeerBusy():
            _busy(state, swarm.settings.busy_s(state.busy), now_s)
        case _, PeerError():
            _fail(swarm, state, now_s)
            swarm.abandon(attempt.source)  # what waits behind it would take as long
        case _:
            raise error


def judge_follow(swarm: Swarm, peer: PeerSourceState, error: Exception, now_s: float) -> None:
    """A peer cannot be followed any more; raise `error` if that is not the peer's."""
    peer.last_error = str(error)
    swarm.lost(peer)
    match error:
        case IntegrityError() | PeerMisbehaved():
            swarm.complain(peer.address.node_id, None, str(error))
            swarm.ban(peer.address.node_id, f"banned: {error}")
        case PeerError():
            peer.follow_at_s = now_s + swarm.settings.backoff_s(peer.follow_failures)
            peer.follow_failures += 1
        case _:
            raise error


def _refuse_at_origin(swarm: Swarm, attempt: Attempt, error: Exception) -> None:
    swarm.refused_by_origin(attempt.wanted, str(error))
    swarm.complain(attempt.source, attempt.wanted.chunk.id, str(error))
    origin = swarm.fixed[Fixed.ORIGIN]
    origin.refusals += 1
    if origin.refusals >= limits.ORIGIN_REFUSED_MAX:
        swarm.ban(attempt.source, f"too many damaged or missing chunks, last: {error}")


def _ask_less(swarm: Swarm, origin: SourceState, now_s: float) -> None:
    """From now on; before the pause is noted, since what fails within one counts once."""
    if now_s >= origin.retry_at_s:
        swarm.origin_pace.slow_down(origin.in_flight + 1)


def _busy(state: SourceState, pause_s: float, now_s: float) -> None:
    if now_s >= state.retry_at_s:
        state.retry_at_s = now_s + pause_s
        state.busy += 1


def _fail(swarm: Swarm, state: SourceState, now_s: float) -> None:
    """What was under way at the same time fails for the same reason, and counts once."""
    if now_s >= state.retry_at_s:
        state.retry_at_s = now_s + swarm.settings.backoff_s(state.failures)
        state.failures += 1
