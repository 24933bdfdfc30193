"""Random targets, workers that come and go, time that passes: the invariants hold throughout."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from cachd.serve.client import Attached, View
from cachd.serve.flip_rules import FlipRules
from cachd.serve.resident import ResidentVersion
from tests.serve.rig import HostThread, target, until


def is_whole(view: View[Any]) -> bool:
    return bool(view.value == (view.number, view.digest))


def serves(host: HostThread, version: ResidentVersion, workers: int) -> bool:
    """Nothing else is to come, and so many have told that they switched to it."""
    seen = host.observed()
    there = (seen.state, seen.digest, seen.workers, seen.switched)
    return there == ("serving", version.digest, workers, workers)


@pytest.mark.parametrize("_round", range(3))
@pytest.mark.parametrize("load_at_once", [0, 1])
def test_random_lives(
    start_host: Callable[..., HostThread],
    versions: list[ResidentVersion],
    attached: Callable[..., Attached[Any]],
    load_at_once: int,
    _round: int,
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    rules = FlipRules(ready_timeout_s=30.0, load_at_once=load_at_once)
    host = start_host(rules=lambda *_: rules)
    workers: list[Attached[Any]] = []
    now, before = versions[1], versions[2]
    host.set_target(target(1, 0, now))
    for step in range(120):
        action = rng.choice(["promote", "rollback", "rollback", "come", "go", "time", "restart"])
        if action == "promote":
            before, now = now, rng.choice([v for v in versions if v is not now])
            host.set_target(target(step + 2, 0, now, before))
        elif action == "rollback":
            before, now = now, before
            host.set_target(target(step + 2, 1, now, before))
        elif action == "come" and len(workers) < 4:
            workers.append(attached(lambda version: (version.number, version.digest)))
        elif action == "go" and workers:
            workers.pop(rng.randrange(len(workers))).close()
        elif action == "time":
            host.pass_time(rng.choice([1, 31, 601]))
        elif action == "restart" and rng.random() < 0.3:
            host.stop()
            host = start_host(rules=lambda *_: rules)
            host.set_target(target(step + 2, 0, now, before))
        leased = host.leased()
        assert now.digest in leased
        assert all(is_whole(worker.acquire()) for worker in workers)  # keeps no view
    until(lambda: all(worker.acquire().digest == now.digest for worker in workers), "agreement")
    # A host that has just started waits for workers of the life before, even where none is left.
    # Its flip comes after that, and begins a grace.
    until(lambda: serves(host, now, len(workers)), "in force, and all are back")
    host.pass_time(601)
    held = {now.digest} if workers else set()
    until(lambda: host.held_by_workers() == held, "the releases")
    assert host.leased() == {now.digest}
