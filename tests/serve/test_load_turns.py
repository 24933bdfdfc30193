"""Workers that load a new version in turns, while another one serves."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from cachd.serve.flip_policy import FlipPolicy
from cachd.serve.flip_rules import FlipRules
from cachd.serve.resident import ResidentVersion
from tests.serve.rig import (
    HostThread,
    Worker,
    await_ready,
    await_state,
    begin,
    promote,
    target,
    until,
)

Versions = list[ResidentVersion]
StartHost = Callable[..., HostThread]
StartWorkers = Callable[..., list[Worker]]


def one_at_a_time(policy: str = "all", at_once: int = 1) -> Callable[[str, str], FlipRules]:
    rules = FlipRules(FlipPolicy.parse(policy), 30.0, load_at_once=at_once)
    return lambda _model, _stage: rules


def states(host: HostThread) -> list[str]:
    return sorted(one.state for one in host.observed().progress)


def loading(host: HostThread, workers: list[Worker]) -> Worker:
    """The only one whose turn it is."""

    def found() -> Worker | None:
        pids = [one.pid for one in host.observed().progress if one.state == "loading"]
        return next((one for one in workers if [one.pid] == pids), None)

    worker: Worker = until(found, "one loads")
    return worker


Begin = Callable[..., tuple[HostThread, list[Worker]]]


@pytest.fixture
def promoted(start_host: StartHost, start_workers: StartWorkers, versions: Versions) -> Begin:
    """A host that serves version 1 by these rules, its workers, and version 2 on its way."""

    def begun(*names: str, **rules: Any) -> tuple[HostThread, list[Worker]]:
        host = start_host(rules=one_at_a_time(**rules))
        begin(host, versions)
        workers = start_workers(*names)
        promote(host, versions)
        return host, workers

    return begun


def test_one_after_the_other(promoted: Begin) -> None:
    host, workers = promoted("one", "two", "three")
    for ready in range(3):
        assert states(host) == sorted(["ready"] * ready + ["loading"] + ["untold"] * (2 - ready))
        assert (host.observed().state, host.observed().flip) == ("preparing", 1)
        loading(host, workers).tell(2, "go")
        if ready < 2:
            await_ready(host, ready + 1, 3)
    host.await_flip(2, workers=3)
    assert [worker.report()["loads"] for worker in workers] == [[1, 2]] * 3


def test_so_many_at_a_time_as_the_rules_say(promoted: Begin) -> None:
    host, _ = promoted("one", "two", "three", at_once=2)
    assert states(host) == ["loading", "loading", "untold"]


def test_a_first_version_is_loaded_by_all_at_once(
    start_host: StartHost, start_workers: StartWorkers, versions: Versions
) -> None:
    """Nobody serves anything that a load could be in the way of."""
    host = start_host(rules=one_at_a_time())
    workers = start_workers("one", "two", attach=False)
    until(lambda: host.observed().workers == 2, "they wait for a version")
    host.set_target(target(2, 0, versions[2]))
    assert states(host) == ["loading", "loading"]
    for worker in workers:
        worker.tell(2, "go")
    host.await_flip(1, workers=2)


def test_who_fails_or_ends_gives_its_turn_to_the_next(promoted: Begin) -> None:
    host, workers = promoted("one", "two", "three")
    loading(host, workers).tell(2, "fail")
    until(lambda: states(host) == ["failed", "loading", "untold"], "the next one's turn")
    loading(host, workers).tell(2, "die")
    until(lambda: states(host) == ["failed", "loading"], "the last one's turn")
    assert host.observed().state == "load-failed"


def test_who_is_late_gives_its_turn_to_the_next(promoted: Begin) -> None:
    """Also one that hangs, and says nothing."""
    host, workers = promoted("one", "two")
    hung = loading(host, workers)
    os.kill(hung.pid, signal.SIGSTOP)
    host.pass_time(32.5)
    until(lambda: states(host) == ["late", "loading"], "the next one's turn")
    loading(host, workers).tell(2, "go")
    await_state(host, "load-late")
    os.kill(hung.pid, signal.SIGCONT)
    hung.tell(2, "go")
    host.await_flip(2, workers=2)


def test_a_worker_that_comes_in_the_middle_waits_for_its_turn(
    promoted: Begin, start_workers: StartWorkers
) -> None:
    host, workers = promoted("one")
    workers += start_workers("two")
    assert states(host) == ["loading", "untold"]
    loading(host, workers).tell(2, "go")
    await_ready(host, 1, 2)
    loading(host, workers).tell(2, "go")
    host.await_flip(2, workers=2)


@pytest.mark.parametrize("policy", ["all", "timeout"])
def test_deadlines_count_from_each_ones_turn(policy: str, promoted: Begin) -> None:
    """Three in turns may take three times as long as one: none is left behind for it."""
    host, workers = promoted("one", "two", "three", policy=policy)
    for ready in range(2):
        host.pass_time(25)
        loading(host, workers).tell(2, "go")
        await_ready(host, ready + 1, 3)
    last = loading(host, workers)
    host.pass_time(25)  # within its own time; 75 s after the first began
    assert (host.observed().state, host.observed().flip) == ("preparing", 1)
    last.tell(2, "go")
    host.await_flip(2, workers=3)


def test_once_it_is_in_force_nobody_waits_for_a_turn(promoted: Begin, versions: Versions) -> None:
    """By a quorum, or a rollback in the middle."""
    host, workers = promoted("one", "two", "three", "four", policy="quorum:25%")
    first = loading(host, workers)
    first.tell(2, "go")
    until(lambda: host.observed().flip == 2, "a quarter is ready")
    until(lambda: states(host) == ["loading"] * 3 + ["ready"], "all others load it")
    host.set_target(target(2, 1, versions[1], versions[2]))
    host.await_flip(3, workers=4)
    assert {worker.serves() for worker in workers} == {1}


def test_a_restarted_host_goes_on_with_the_turns(
    promoted: Begin, start_host: StartHost, versions: Versions
) -> None:
    host, workers = promoted("one", "two")
    first = loading(host, workers)
    host.stop()
    host = start_host(rules=one_at_a_time())
    until(lambda: host.observed().workers == 2, "both are back")
    promote(host, versions)
    assert loading(host, workers) is first
    assert states(host) == ["loading", "untold"]
    for _ in workers:
        loading(host, workers).tell(2, "go")
        until(lambda: "ready" in states(host), "it is ready")
    host.await_flip(2, workers=2)
