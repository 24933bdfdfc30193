"""What to take from whom: a pure function of a view of the swarm, the time and an `rng`.

Policy: what this cache holds elsewhere first. A chunk that no peer holds is claimed from the origin
by one node, which `placement` names among the nodes that fetch the same version; that node pushes
it to its followers, so they wait for it as long as such a push usually takes. What does not come is
taken from a holder: the rarest chunk first with random ties, from the holder with most free slots,
peers before the origin; whose last answer was an error is asked for what no other can give. When
the last few are under way, those that are late are asked of a second holder. A node that has
claimed all of its share helps those that are behind, with chunks for which it is the only helper,
since a chunk that two claim is pushed to everybody twice. A node
that has made no progress for as long as the fetch has patience counts no more, so its share passes
to the others; and when nothing at all has come for so long, whatever the others say, nodes help
themselves: few at first, or a thousand would take the same chunk.

The same code runs in nodes and in `bench simulate`: no clock, no I/O, no state.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cachd import limits
from cachd.fetch.placement import Owners, hash_of
from cachd.fetch.settings import FetchSettings
from cachd.fetch.view import Fixed, PeersView, Source, SwarmView
from cachd.peer.bitmaps import Mask, Numbers
from registry_core.domain.identifiers import NodeId
from registry_core.domain.manifest import Chunk


@dataclass(frozen=True, slots=True)
class Wanted:
    """A missing chunk. `number`: its position among the version's distinct chunks."""

    number: int
    chunk: Chunk


@dataclass(frozen=True, slots=True)
class Assignment:
    """One attempt at one chunk from exactly one source, so that a bad hash has one culprit."""

    wanted: Wanted
    source: Source


def plan(view: SwarmView, settings: FetchSettings, rng: np.random.Generator) -> list[Assignment]:
    """What to begin now; may be nothing."""
    if view.threads_free <= 0:
        return []
    made: list[Assignment] = []
    bytes_free = view.bytes_free
    for number, source in _wishes(view, settings, rng):
        chunk = view.chunks[number]
        if chunk.length > bytes_free:
            break
        bytes_free -= chunk.length
        made.append(Assignment(Wanted(int(number), chunk), source))
        if len(made) == view.threads_free:
            break
    return made


def share_at_once(nodes: int) -> int:
    """How many chunks one of so many nodes asks the origin for at once."""
    return max(1, limits.ORIGIN_AT_ONCE // nodes)


def push_backlog_max(nodes: int) -> int:
    """Chunks still to be pushed at which one of so many nodes claims no more: what the origin gives
    at once, which comes at once, and one more. Where there are many, one goes and one waits."""
    return 1 + share_at_once(nodes)


def _wishes(
    view: SwarmView, settings: FetchSettings, rng: np.random.Generator
) -> Iterator[tuple[int, Source]]:
    """Assignments in order of preference. Slots count as taken when the next one is asked for."""
    missing = view.lacking[~view.in_flight[view.lacking]]
    if len(missing) > limits.PLAN_WINDOW_CHUNKS:
        missing = rng.choice(missing, limits.PLAN_WINDOW_CHUNKS, replace=False, shuffle=False)
    here = view.local[missing]
    for number in missing[here].tolist():
        yield number, Fixed.LOCAL
    missing = missing[~(here | view.expected[missing])]
    if len(missing):
        yield from _from_others(view, settings, missing, rng)
    yield from _second_copies(view)


def _from_others(
    view: SwarmView, settings: FetchSettings, missing: Numbers, rng: np.random.Generator
) -> Iterator[tuple[int, Source]]:
    """What to claim from the origin, then what to ask peers for."""
    held = _held_by(view.peers, missing)
    worthy = view.peers.worth_waiting_for(view.now_s, view.patience_s)
    unheld = ~_by_any(held, worthy)
    if view.origin_slots and np.count_nonzero(unheld):
        open_now = unheld
        if view.under_way:
            open_now = unheld & ~np.isin(missing, list(view.under_way))
        given_up = missing[open_now & held.any(axis=0)]
        claimed = _claims(view, settings, missing[open_now], given_up, worthy)
        for number in claimed:
            yield number, Fixed.ORIGIN
        if claimed:
            left = ~np.isin(missing, claimed)
            missing, held, unheld = missing[left], held[:, left], unheld[left]
    _spare_pushers(view, missing, held)
    yield from _asks(view.peers, missing, held, unheld, rng)


def _held_by(peers: PeersView, numbers: Numbers) -> NDArray[np.bool_]:
    """A row for each peer, with a column for each number."""
    return peers.held.take(numbers, axis=1)


def _by_any(held: NDArray[np.bool_], of: Mask) -> Mask:
    """Whether any of these peers holds each."""
    chosen = held if np.count_nonzero(of) == len(of) else held.compress(of, axis=0)
    by_any: Mask = np.logical_or.reduce(chosen, axis=0)
    return by_any


def _spare_pushers(view: SwarmView, missing: Numbers, held: NDArray[np.bool_]) -> None:
    """Who is about to push a chunk counts as if it did not hold it."""
    for number, node in view.under_way.items():
        if node in view.peers.nodes:
            held[view.peers.nodes.index(node), missing == number] = False


def _asks(
    peers: PeersView,
    numbers: Numbers,
    held: NDArray[np.bool_],
    unheld: Mask,
    rng: np.random.Generator,
) -> Iterator[tuple[int, NodeId]]:
    """What to ask peers for: what nobody worth waiting for holds, nor the origin gives, then the
    rarest."""
    slots = peers.slots_free.copy()
    free = held.compress(slots > 0, axis=0)
    holders = np.add.reduce(free, axis=0, dtype=np.uint8)  # at most limits.PEERS_MAX
    places = holders.nonzero()[0]
    if not len(places):
        return
    rarity = holders[places] + rng.random(len(places))
    rarity[unheld[places]] -= len(slots)
    for place in places[rarity.argsort()].tolist():
        able = (held[:, place] & (slots > 0)).nonzero()[0]
        if len(able):
            if (sound := able[~peers.failing[able]]).size:
                able = sound
            best = int(able[(slots[able] + rng.random(len(able))).argmax()])
            slots[best] -= 1
            yield int(numbers[place]), peers.nodes[best]
            if not np.count_nonzero(slots):
                return


def _second_copies(view: SwarmView) -> Iterator[tuple[int, Source]]:
    """What is late is asked of another peer as well; whoever is first cancels the other. Cohen
    ("Incentives Build Robustness in BitTorrent", 2003) asks everybody at the end; one more is
    enough, and only where the first is late, since links are full of what others lack."""
    peers = view.peers
    for number, first in view.late.items():
        slots = np.where(peers.held[:, number], peers.slots_free, 0)
        if first in peers.nodes:
            slots[peers.nodes.index(first)] = 0
        if slots.any():
            yield number, peers.nodes[int(slots.argmax())]


def _claims(
    view: SwarmView,
    settings: FetchSettings,
    unheld: Numbers,
    given_up: Numbers,
    worthy: Mask,
) -> list[int]:
    """What to take from the origin, of `unheld`; `given_up`: of that, what is held, but by nobody
    worth waiting for."""
    if not len(unheld):
        return []
    claimers = _claimers(view, settings)
    count = 1 + int(np.count_nonzero(claimers)) + len(view.others)
    slots = min(view.origin_slots, share_at_once(count) * view.origin_run - view.origin_in_flight)
    behind_in_pushing = view.push_backlog >= push_backlog_max(count) and not view.stalled
    if slots <= 0 or behind_in_pushing or _awaiting_first_answers(view, settings):
        return []
    open_now = unheld[~view.origin_lacks[unheld]]
    turns = np.full(len(open_now), view.stalled)
    if view.others:
        open_now, turns = _in_turn(view, worthy, open_now)
    owners = _owners(view, claimers)
    if _ahead(view, owners):
        return []
    ours = owners.are(open_now, view.self_id)
    if len(given_up):  # a holder that fails will not claim what it holds
        sound = _owners(view, claimers & ~view.peers.failing)
        ours = np.where(np.isin(open_now, given_up), sound.are(open_now, view.self_id), ours)
    if np.count_nonzero(turns):
        ours |= owners.ranks(open_now, view.self_id) < np.where(turns > 0, 4**turns, 0)
    claimed: list[int] = _surest_first(view, open_now[ours], claimers)[:slots].tolist()
    if len(claimed) < slots and not (view.push_backlog or view.others):
        to_help = owners.to_help(open_now[~ours], view.self_id)
        claimed.extend(to_help[-1:].tolist())
    return claimed


def _ahead(view: SwarmView, owners: Owners) -> bool:
    """Whether to let other nodes catch up for a moment. Their connections share the origin's link
    unevenly, and what one node brings later than others is pushed when they have nothing to push
    any more."""
    if view.others or view.stalled or view.now_s >= view.yields_until_s:
        return False
    there = np.ones(len(view.chunks), np.bool_)
    there[view.lacking] = False
    return owners.ahead(there.nonzero()[0], view.self_id) > limits.AHEAD_CHUNKS


def _surest_first(view: SwarmView, ours: Numbers, claimers: Mask) -> Numbers:
    """Of what is this node's to claim, first what would be if all claimed that may be about to: a
    node that has yet to hear of others would claim what they do."""
    peers = view.peers
    possible = (peers.unknown | peers.without | peers.filling) & ~peers.silent
    if view.others or not np.count_nonzero(possible & ~claimers):
        return ours
    sure = _owners(view, possible).are(ours, view.self_id)
    return np.concatenate([ours[sure], ours[~sure]])


def _owners(view: SwarmView, claimers: Mask) -> Owners:
    own = np.uint64(hash_of(view.self_id))
    return view.placement.owners(np.append(view.peers.hashes[claimers], own), view.others)


def _in_turn(view: SwarmView, worthy: Mask, unheld: Numbers) -> tuple[Numbers, NDArray[np.intp]]:
    """Of `unheld`, what is to be claimed before the rest, because many nodes that claim all at once
    share the origin's link, and none has a chunk to push until late. With each, how many times its
    owner has been waited for in vain: chunks after it have come, and it has not."""
    unseen = view.lacking[~_by_any(_held_by(view.peers, view.lacking), worthy)]
    if not len(unseen):
        return unheld, np.zeros(len(unheld), np.intp)
    seen = len(view.chunks) - len(unseen)
    window = min(limits.CROWD_ORIGIN_AT_ONCE, limits.CROWD_ORIGIN_FIRST + 2 * seen)
    last = unseen[min(len(unseen), window) - 1]
    unheld = unheld[unheld <= last]
    unseen_after = len(unseen) - unseen.searchsorted(unheld, side="right")
    passed = len(view.chunks) - 1 - unheld - unseen_after
    return unheld, np.maximum(passed // limits.CLAIM_PASSED_CHUNKS, view.stalled)


def _claimers(view: SwarmView, settings: FetchSettings) -> Mask:
    peers = view.peers
    claiming = peers.claiming(view.now_s, view.patience_s)
    if view.now_s - view.began_s < settings.expected_s:
        claiming |= peers.without & ~peers.failing
    return claiming


def _awaiting_first_answers(view: SwarmView, settings: FetchSettings) -> bool:
    until_s = view.began_s + settings.first_contact_s_max
    if view.answered_s is not None:
        until_s = min(until_s, view.answered_s + settings.first_contact_s)
    return view.now_s < until_s and bool((view.peers.unknown & ~view.peers.silent).any())
