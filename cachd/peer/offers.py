"""What this node offers those who follow it: its claims, and chunks to be pushed to them.

A node pushes what it took from the origin, since it is the first in its region to have it: each
follower gets it once, without asking. What it got from others it does not push; they hold it too.
Nothing of this is kept on disk. Any thread may call anything.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cachd import limits
from cachd.peer.bitmaps import bit
from cachd.peer.passing import PassingChunk
from cachd.peer.usual import UsualTime
from registry_core.domain.identifiers import Digest


@dataclass(slots=True)
class _Version:
    claims: bytes = b""
    pushes: list[int] = field(default_factory=list)
    places: dict[object, int] = field(default_factory=dict)
    """By follower: how many of the pushes are done."""
    began_s: dict[object, float] = field(default_factory=dict)
    """By follower: when the one under way was begun."""
    push_time: UsualTime = field(default_factory=UsualTime)
    passing: dict[int, PassingChunk] = field(default_factory=dict)
    """Chunks that are among the pushes, but not in the cache yet."""
    changes: int = 0
    expected: int = 0
    expected_until_s: float = -math.inf

    def place(self, follower: object) -> int:
        """How many of the pushes are done for it, or left to be asked for because it came late: to
        push to many what a node brought alone takes as many times as long."""
        first = max(0, len(self.pushes) - limits.REPLAYED_CHUNKS)
        return self.places.setdefault(follower, first)


class Offers:
    """Of one node. Chunks go by their number among the version's distinct chunks."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # guards all below
        self._watchers: list[Callable[[], None]] = []
        self._versions: dict[bytes, _Version] = {}
        """By digest: the bytes of it, which hash and compare without the interpreter."""
        self._changes = 0

    def claim(self, digest: Digest, bitmap: bytes) -> None:
        """Tell which chunks are being taken from the origin now."""
        with self._lock:
            version = self._made(digest)
            if version.claims != bitmap:
                version.claims = bitmap
                self._tell(version)

    def push(self, digest: Digest, number: int) -> None:
        """This chunk came from the origin and is in the cache: followers should have it. To
        them it is no news where it was claimed: it is promised as before."""
        with self._lock:
            version = self._made(digest)
            if version.passing.pop(number, None) is None:
                self._push(version, number)

    def pass_on(self, digest: Digest, chunk: PassingChunk) -> None:
        """More of this chunk is there, which comes from the origin: followers should have that
        much of it already. Then `push` it, or `withdraw` it."""
        with self._lock:
            version = self._made(digest)
            if chunk.number in version.passing:
                self._tell(version, news=False)
            else:
                version.passing[chunk.number] = chunk
                self._push(version, chunk.number)

    def passing(self, digest: Digest, number: int) -> PassingChunk | None:
        """What there is of a chunk that is being passed on."""
        with self._lock:
            version = self._of(digest)
            return version.passing.get(number) if version is not None else None

    def withdraw(self, digest: Digest, number: int) -> None:
        """The rest of a chunk that is passed on will not come."""
        with self._lock:
            version = self._of(digest)
            passing = version.passing.pop(number, None) if version is not None else None
            if version is not None and passing is not None:
                passing.given_up = True
                self._tell(version)

    def end(self, digest: Digest) -> None:
        """Nothing is taken from the origin any more."""
        with self._lock:
            version = self._made(digest)
            for passing in version.passing.values():
                passing.given_up = True
            version.passing.clear()
            version.claims = b""
            self._tell(version)

    def begin(self, digest: Digest) -> None:
        """The version is known here from now on."""
        with self._lock:
            self._tell(self._made(digest))

    def expect(self, digest: Digest, followers: int, until_s: float) -> None:
        """Push nothing before so many follow, or that time. A connection that is made while chunks
        fill the links has long round trips from the start, for which Linux queues little at a time:
        as long as it lasts, its follower gets less than others."""
        with self._lock:
            version = self._made(digest)
            version.expected, version.expected_until_s = followers, until_s

    def forget(self, digest: Digest) -> None:
        """The version was dropped."""
        with self._lock:
            self._versions.pop(digest.raw, None)

    def changes(self, digest: Digest) -> int:
        """Grows with each claim, and each push of what was not claimed; never the same for another
        version of that digest; -1 for none."""
        with self._lock:
            version = self._of(digest)
            return version.changes if version is not None else -1

    def claims(self, digest: Digest) -> bytes:
        """As they were told last."""
        with self._lock:
            version = self._of(digest)
            return version.claims if version is not None else b""

    def next_push(self, digest: Digest, follower: object) -> int | None:
        """The chunk that a follower is to be sent next, if there is any; then say `sent`. A new
        follower begins with one of the last few. Ends with `unfollow`."""
        with self._lock:
            version = self._of(digest)
            if version is None:
                return None
            place = version.place(follower)
            awaited = len(version.places) < version.expected
            if place == len(version.pushes) or (
                awaited and self._clock() < version.expected_until_s
            ):
                return None
            version.began_s.setdefault(follower, self._clock())
            return version.pushes[place]

    def has_push(self, digest: Digest, follower: object) -> bool:
        """Whether `next_push` would give a chunk, now or soon."""
        with self._lock:
            version = self._of(digest)
            return version is not None and version.places.get(follower, 0) < len(version.pushes)

    def promised(self, digest: Digest, follower: object) -> tuple[bytes, Sequence[int]]:
        """What a follower may wait for: the claims as they were told last (a bitmap), and the
        numbers of the chunks that it has still to be sent."""
        with self._lock:
            version = self._of(digest)
            if version is None:
                return b"", ()
            return version.claims, version.pushes[version.place(follower) :]

    def sent(self, digest: Digest, follower: object, *, needed: bool = True) -> None:
        """What `next_push` gave has been sent, or was not needed."""
        with self._lock:
            version = self._of(digest)
            if version is not None and follower in version.places:
                version.places[follower] += 1
                began_s = version.began_s.pop(follower, None)
                if needed and began_s is not None:
                    version.push_time.took(self._clock() - began_s)

    def unfollow(self, digest: Digest, follower: object) -> None:
        with self._lock:
            version = self._of(digest)
            if version is not None:
                version.places.pop(follower, None)
                version.began_s.pop(follower, None)

    def maps_interval_s(self, digest: Digest) -> float:
        """Between two maps to a follower: longer where there are many, and longer again where
        chunks are pushed to them, who then have less to ask for."""
        with self._lock:
            version = self._of(digest)
            followers = len(version.places) if version is not None else 0
            pushing = version is not None and version.pushes
            per_s = limits.MAPS_PER_S_PUSHING if pushing else limits.MAPS_PER_S
            return max(limits.MAPS_INTERVAL_S, followers / per_s)

    def backlog(self, digest: Digest) -> int:
        """Chunks that are still to be sent to a slow follower, the one under way included. The
        slowest quarter of them hold up nobody; nor does the slower half where it is well behind
        the rest, or one host in three with a slow link would make the region as slow. Nor does who
        stands still: whose chunk takes longer than chunks usually take here, which is long where
        many share a slow link."""
        with self._lock:
            version = self._of(digest)
            if version is None or not version.pushes:
                return 0
            usual_s = version.push_time.most_s
            since_s = -math.inf
            if usual_s is not None:
                since_s = self._clock() - max(limits.PUSH_STANDSTILL_S, usual_s)
            places = sorted(
                place
                for follower, place in version.places.items()
                if version.began_s.get(follower, math.inf) >= since_s
            )
            if not places:
                return 0
            slow, middle = places[(len(places) - 1) // 4], places[(len(places) - 1) // 2]
            kept_step_with = slow if middle - slow < limits.SLOW_BY_CHUNKS else middle
            return len(version.pushes) - kept_step_with

    def watch(self, changed: Callable[[], None]) -> None:
        """Call it after each change, from whatever thread made it: it must return at once, and use
        nothing of this."""
        with self._lock:
            self._watchers.append(changed)

    def unwatch(self, changed: Callable[[], None]) -> None:
        """It is not called any more."""
        with self._lock:
            self._watchers.remove(changed)

    def _of(self, digest: Digest) -> _Version | None:
        return self._versions.get(digest.raw)

    def _made(self, digest: Digest) -> _Version:
        return self._versions.setdefault(digest.raw, _Version())

    def _push(self, version: _Version, number: int) -> None:
        version.pushes.append(number)
        self._tell(version, news=not bit(version.claims, number))

    def _tell(self, version: _Version, *, news: bool = True) -> None:
        if news:
            self._changes += 1
            version.changes = self._changes
        for changed in self._watchers:
            changed()
