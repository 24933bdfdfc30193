"""Attempts that one request to the origin serves, because their chunks lie side by side in a pack.
Pure.

A request costs the origin's latency once, whatever it brings. In a region chunks are asked for one
by one all the same: whoever brings one passes it on at once, and neighbours have other owners.
"""

from __future__ import annotations

from collections.abc import Sequence

from cachd.fetch.attempts import Attempt
from registry_core.domain.packs import Location

Run = Sequence[Attempt]


def runs(attempts: Sequence[Attempt], most: int) -> Sequence[Run]:
    """In their order; at most so many in one."""
    made: list[list[Attempt]] = []
    for attempt in attempts:
        if made and len(made[-1]) < most and _adjoins(made[-1][-1].location, attempt.location):
            made[-1].append(attempt)
        else:
            made.append([attempt])
    return made


def whole_of(run: Run) -> Location | None:
    """Where the chunks of a run lie together; None if that is not in an origin."""
    first, last = run[0].location, run[-1].location
    if first is None or last is None:
        return None
    return Location(first.pack, first.offset, last.offset + last.length - first.offset)


def _adjoins(first: Location | None, second: Location | None) -> bool:
    if first is None or second is None:
        return False
    return first.pack == second.pack and first.offset + first.length == second.offset
