"""Who holds a flip back, and for how long: workers as processes that load, fail, hang and end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from cachd.serve.flip_events import FlipEvent, HeldBack, LoadedBy, PutInForce
from cachd.serve.flip_rules import FlipRules
from cachd.serve.resident import ResidentVersion
from tests.serve.rig import (
    MODEL,
    STAGE,
    HostThread,
    Worker,
    await_ready,
    await_state,
    await_view,
    begin,
    by,
    promote,
    target,
    until,
)

Versions = list[ResidentVersion]
StartHost = Callable[..., HostThread]


def test_all_a_late_worker_says_so_and_the_old_version_serves(
    start_host: StartHost, start_workers: Callable[..., list[Worker]], versions: Versions
) -> None:
    events: list[FlipEvent] = []
    host = start_host(rules=by("all", within_s=0.3), on_event=events.append)
    begin(host, versions)
    quick, slow = start_workers("quick", "slow")
    quick.tell(2, "go")
    promote(host, versions)
    seen = await_state(host, "load-late", f"worker {slow.pid}: load took longer than 0.3 s")
    assert (seen.flip, seen.number, seen.ready, seen.policy) == (1, 1, 1, "all")
    assert [(one.pid, one.state) for one in seen.progress] == [
        (slow.pid, "late"),
        (quick.pid, "ready"),
    ]
    assert seen.progress[0].seconds >= 0.3
    assert (quick.serves(), slow.serves()) == (1, 1)
    assert "took longer" in slow.report()["last_error"]
    slow.tell(2, "go")  # late is not never: no one has to promote again
    seen = host.await_flip(2, workers=2)
    assert (seen.state, seen.error) == ("serving", None)
    assert (quick.serves(), slow.serves()) == (2, 2)
    assert [one for one in events if not isinstance(one, LoadedBy)] == [
        PutInForce(MODEL, STAGE, 1),
        HeldBack(MODEL, STAGE, 2, "load-late", f"worker {slow.pid}: load took longer than 0.3 s"),
        PutInForce(MODEL, STAGE, 2),
    ]
    took = {one.pid: one.seconds for one in events if isinstance(one, LoadedBy)}
    assert took[slow.pid] >= 0.3


def test_all_a_worker_that_hangs_is_late_without_a_word(
    start_host: StartHost, start_workers: Callable[..., list[Worker]], versions: Versions
) -> None:
    """Stopped as a whole, like one whose load never lets go of the interpreter."""
    host = start_host(rules=by("all"))
    begin(host, versions)
    quick, hung = start_workers("quick", "hung")
    await_ready(host, 2, 2)
    os.kill(hung.pid, signal.SIGSTOP)
    quick.tell(2, "go")
    promote(host, versions)
    await_ready(host, 1, 2)
    host.pass_time(30.5)
    assert host.observed().state == "preparing"
    host.pass_time(1)
    seen = await_state(host, "load-late", f"worker {hung.pid}: has not loaded it after 30 s")
    assert (seen.flip, quick.serves()) == (1, 1)
    os.kill(hung.pid, signal.SIGCONT)
    hung.tell(2, "go")
    host.await_flip(2, workers=2)


def test_all_a_failure_stays_one_until_the_worker_is_replaced(
    start_host: StartHost, start_workers: Callable[..., list[Worker]], versions: Versions
) -> None:
    host = start_host(rules=by("all"))
    begin(host, versions)
    good, bad = start_workers("good", "bad")
    good.tell(2, "go")
    bad.tell(2, "fail")
    promote(host, versions)
    await_state(host, "load-failed", f"worker {bad.pid}: ValueError: told to fail")
    bad.kill()
    until(lambda: host.observed().workers == 1, "it is gone")
    assert host.observed().state == "preparing"  # its end is no reason to go on without it
    (bad.folder / "2.fail").unlink()
    bad.tell(2, "go")
    start_workers("bad")
    host.await_flip(2, workers=2)


def test_quorum_the_late_one_serves_the_old_version_and_switches_later(
    start_host: StartHost, start_workers: Callable[..., list[Worker]], versions: Versions
) -> None:
    host = start_host(rules=by("quorum:60%", within_s=0.3))
    begin(host, versions)
    one, two, slow = start_workers("one", "two", "slow")
    one.tell(2, "go")
    promote(host, versions)
    await_ready(host, 1, 3)
    assert host.observed().flip == 1
    two.tell(2, "go")
    seen = host.await_flip(2, workers=2)
    assert (seen.state, seen.workers, seen.switched) == ("serving", 3, 2)
    until(lambda: "took longer" in (host.observed().error or ""), "the late one says so")
    assert [worker.serves() for worker in (one, two, slow)] == [2, 2, 1]
    assert {one.pid: one.flip for one in host.observed().progress} == {
        one.pid: 2,
        two.pid: 2,
        slow.pid: 1,
    }
    slow.tell(2, "go")
    host.await_flip(2, workers=3)
    assert slow.serves() == 2


def test_quorum_that_cannot_be_reached(
    start_host: StartHost, start_workers: Callable[..., list[Worker]], versions: Versions
) -> None:
    host = start_host(rules=by("quorum:0.5"))
    begin(host, versions)
    workers = start_workers("one", "two", "three")
    workers[0].tell(2, "go")
    workers[1].tell(2, "fail")
    promote(host, versions)
    await_ready(host, 1, 3)
    until(lambda: any(one.state == "failed" for one in host.observed().progress), "one failed")
    assert host.observed().state == "preparing"  # two of three still can
    workers[2].tell(2, "fail")
    await_state(host, "load-failed", "told to fail")
    assert {worker.serves() for worker in workers} == {1}


def test_timeout_goes_on_without_the_late_one(
    start_host: StartHost, start_workers: Callable[..., list[Worker]], versions: Versions
) -> None:
    host = start_host(rules=by("timeout", within_s=0.3))
    begin(host, versions)
    slow, quick = start_workers("slow", "quick")
    promote(host, versions)
    await_state(host, "load-late", "took longer than 0.3 s")  # nobody has it: it stays out
    quick.tell(2, "go")
    host.await_flip(2)
    assert (quick.serves(), slow.serves()) == (2, 1)
    slow.tell(2, "go")
    host.await_flip(2, workers=2)


def test_a_worker_killed_while_it_loads_is_waited_for(
    start_host: StartHost, start_workers: Callable[..., list[Worker]], versions: Versions
) -> None:
    host = start_host(rules=by("all"))
    begin(host, versions)
    good, killed = start_workers("good", "killed")
    good.tell(2, "go")
    promote(host, versions)
    await_ready(host, 1, 2)
    killed.kill()
    await_ready(host, 1, 1)
    assert (host.observed().state, good.serves()) == ("preparing", 1)
    (again,) = start_workers("killed")
    await_ready(host, 1, 2)
    assert host.observed().flip == 1
    again.tell(2, "go")
    host.await_flip(2, workers=2)


def test_but_not_for_ever(
    start_host: StartHost, start_workers: Callable[..., list[Worker]], versions: Versions
) -> None:
    host = start_host(rules=by("all"))
    begin(host, versions)
    good, killed = start_workers("good", "killed")
    good.tell(2, "go")
    promote(host, versions)
    await_ready(host, 1, 2)
    killed.kill()
    await_ready(host, 1, 1)
    host.pass_time(31.5)
    host.await_flip(2)


def test_a_worker_that_leaves_on_purpose_is_not_waited_for(
    start_host: StartHost, start_workers: Callable[..., list[Worker]], versions: Versions
) -> None:
    host = start_host(rules=by("all"))
    begin(host, versions)
    good, leaver = start_workers("good", "leaver")
    good.tell(2, "go")
    promote(host, versions)
    await_ready(host, 1, 2)
    leaver.leave()
    host.await_flip(2)


def test_a_version_that_kills_workers_is_tried_three_times(
    start_host: StartHost, start_workers: Callable[..., list[Worker]], versions: Versions
) -> None:
    events: list[FlipEvent] = []
    host = start_host(rules=by("all"), on_event=events.append)
    begin(host, versions)
    good, mortal = start_workers("good", "mortal")
    await_ready(host, 2, 2)
    good.tell(2, "go")
    mortal.tell(2, "die")
    promote(host, versions)
    for _ in range(2):
        assert mortal.process.wait(20) == -signal.SIGKILL
        (mortal,) = start_workers("mortal", attach=False)  # as a supervisor does
    assert mortal.process.wait(20) == -signal.SIGKILL
    seen = await_state(host, "load-failed", "3 workers ended while they loaded it")
    assert str(mortal.pid) in seen.error
    (alive,) = start_workers("mortal")  # and now it is left alone
    until(lambda: host.observed().workers == 2, "it is back")
    host.pass_time(100)
    assert {one.pid: one.state for one in host.observed().progress}[alive.pid] == "untold"
    assert (alive.serves(), good.serves(), host.observed().flip) == (1, 1, 1)
    reasons = [one.reason for one in events if isinstance(one, HeldBack)]
    assert reasons == ["workers-died"]
    for worker in (good, alive):
        worker.tell(3, "go")
    promote(host, versions, number=3)
    host.await_flip(2, workers=2)
    assert (alive.serves(), good.serves()) == (3, 3)


def test_a_rollback_waits_for_nobody(
    start_host: StartHost, start_workers: Callable[..., list[Worker]], versions: Versions
) -> None:
    """In the middle of a preparation, with a worker late and another failed."""
    host = start_host(rules=by("all", within_s=0.3))
    begin(host, versions)
    workers = start_workers("one", "two")
    for worker in workers:
        worker.tell(2, "go")
    promote(host, versions)
    host.await_flip(2, workers=2)
    workers[0].tell(3, "fail")
    host.set_target(target(3, 0, versions[3], versions[2]))
    await_state(host, "load-failed")
    host.set_target(target(3, 1, versions[2], versions[3]))
    assert host.observed().flip == 3  # stored before the call returned
    seen = host.await_flip(3, workers=2)
    assert (seen.state, seen.number, seen.choice) == ("serving", 2, 1)


def test_a_rollback_to_what_has_to_be_loaded_again_waits_for_nobody_either(
    start_host: StartHost, start_workers: Callable[..., list[Worker]], versions: Versions
) -> None:
    """After its grace, with a worker that hangs; and no place in a spread delays it."""
    host = start_host(rules=lambda *_: FlipRules(warm_spread_s=3600.0))
    begin(host, versions)
    good, hung = start_workers("good", "hung")
    for worker in (good, hung):
        worker.tell(2, "go")
    promote(host, versions)
    host.pass_time(3600)
    host.await_flip(2, workers=2)
    host.pass_time(601)  # version 1 is retired, and not loaded any more
    until(lambda: host.leased() == {versions[2].digest}, "it is free")
    os.kill(hung.pid, signal.SIGSTOP)
    host.set_target(target(2, 1, versions[1], versions[2]))
    assert (host.observed().flip, host.observed().number) == (3, 1)
    host.await_flip(3, workers=1)
    assert good.report()["loads"] == [1, 2, 1]
    os.kill(hung.pid, signal.SIGCONT)
    host.await_flip(3, workers=2)


def test_a_daemon_restarted_in_the_middle_goes_on(
    start_host: StartHost, start_workers: Callable[..., list[Worker]], versions: Versions
) -> None:
    host = start_host(rules=by("all"))
    begin(host, versions)
    workers = start_workers("one", "two")
    workers[0].tell(2, "go")
    promote(host, versions)
    await_ready(host, 1, 2)
    host.stop()
    host = start_host(rules=by("all"))
    promote(host, versions)
    await_ready(host, 1, 2)
    assert (host.observed().state, host.observed().flip) == ("preparing", 1)
    workers[1].tell(2, "go")
    host.await_flip(2, workers=2)
    assert [worker.report()["loads"] for worker in workers] == [[1, 2], [1, 2]]


def test_workers_that_come_in_the_middle_are_waited_for_but_not_for_ever(
    start_host: StartHost, start_workers: Callable[..., list[Worker]], versions: Versions
) -> None:
    host = start_host(rules=by("all"))
    begin(host, versions)
    (good,) = start_workers("good")
    promote(host, versions)
    until(lambda: [one.state for one in host.observed().progress] == ["loading"], "told")
    host.pass_time(20)
    start_workers("first comer")
    until(lambda: host.observed().workers == 2, "it came")
    good.tell(2, "go")
    await_ready(host, 1, 2)
    host.pass_time(12)  # past the first deadline, within the newcomer's own
    assert host.observed().state == "preparing"
    start_workers("second comer")
    until(lambda: host.observed().workers == 3, "it came")
    host.pass_time(20)  # the first comer is late
    assert host.observed().state == "load-late"
    assert (host.observed().flip, good.serves()) == (1, 1)


def test_workers_that_come_and_go_do_not_keep_a_version_out(
    start_host: StartHost, start_workers: Callable[..., list[Worker]], versions: Versions
) -> None:
    host = start_host(rules=by("all"))
    begin(host, versions)
    (good,) = start_workers("good")
    good.tell(2, "go")
    good.tell(3, "go")
    (visitor,) = start_workers("visitor")
    promote(host, versions)
    for _ in range(3):  # each leaves well before it is ready or late
        host.pass_time(15)
        (newer,) = start_workers("visitor")
        until(lambda: host.observed().workers == 3, "the next is there")
        visitor.leave()
        until(lambda: host.observed().workers == 2, "the one before has left")
        visitor = newer
        assert host.observed().flip == 1
    host.pass_time(17.5)  # the second deadline
    host.await_flip(2)
    assert visitor.serves() == 1


def test_a_first_version_is_in_force_at_once(
    host: HostThread, versions: Versions, attached: Callable[..., Any]
) -> None:
    """Nothing older is to be protected: who has loaded it serves, whoever is slow beside it."""
    go_on = threading.Event()
    models: list[Any] = []

    def slow(version: Any) -> int:
        assert go_on.wait(20)
        return int(version.number)

    thread = threading.Thread(target=lambda: models.append(attached(slow)))
    thread.start()
    until(lambda: host.observed().workers == 1, "the slow one waits")
    begin(host, versions)
    assert host.observed().flip == 1
    assert attached().acquire().number == 1
    assert host.await_flip(1).workers == 2
    go_on.set()
    thread.join(20)
    host.await_flip(1, workers=2)


def test_hosts_warm_up_spread_over_a_time(
    start_host: StartHost, versions: Versions, attached: Callable[..., Any]
) -> None:
    rules = FlipRules(warm_spread_s=100.0, host="n1")
    delay_s = rules.warm_delay_s(MODEL, STAGE, 2)
    host = start_host(rules=lambda *_: rules)
    loads: list[int] = []
    begin(host, versions)
    model = attached(lambda version: loads.append(version.number))
    assert model.acquire().number == 1  # a first version is never delayed
    promote(host, versions)
    seen = host.observed()
    assert (seen.state, seen.progress[0].state) == ("preparing", "untold")
    assert delay_s - 5 < seen.begins_in_s <= delay_s
    host.set_target(target(2, 0, versions[2], versions[1]))  # told again: it begins no later
    assert host.observed().begins_in_s <= seen.begins_in_s
    host.pass_time(delay_s - 5)
    assert loads == [1]
    assert 0 < host.observed().begins_in_s <= 5
    host.pass_time(5)
    await_view(model, number=2)
    host.set_target(target(2, 1, versions[1], versions[2]))  # nor is a rollback
    assert (model.acquire().number, host.observed().begins_in_s) == (1, 0)


def test_a_host_without_workers_has_nothing_to_warm(
    start_host: StartHost, versions: Versions
) -> None:
    host = start_host(rules=lambda *_: FlipRules(warm_spread_s=100.0, host="n1"))
    begin(host, versions)
    promote(host, versions)
    assert (host.observed().state, host.observed().number) == ("serving", 2)


def test_the_place_in_the_spread_follows_from_host_and_move() -> None:
    def delay_s(host: int, generation: int = 2) -> float:
        return FlipRules(warm_spread_s=60.0, host=f"n{host}").warm_delay_s("m", "s", generation)

    assert delay_s(1) == delay_s(1)
    assert delay_s(1) != delay_s(1, generation=3), "nobody is always the last"
    places = sorted(delay_s(host) for host in range(1_000))
    assert places[0] >= 0
    assert places[-1] < 60
    per_tenth = [sum(low * 6 <= one < low * 6 + 6 for one in places) for low in range(10)]
    assert min(per_tenth) > 60, per_tenth
    assert FlipRules(host="n1").warm_delay_s("m", "s", 2) == 0
