"""A split on one host: two phases, keys that stick, its ends, and what may go wrong meanwhile."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cachd.serve.client import InvalidArgument, Version
from cachd.serve.flip_policy import FlipPolicy
from cachd.serve.flip_rules import FlipRules
from cachd.serve.resident import ResidentVersion, Target
from tests.serve.rig import MODEL, STAGE, HostThread, target, until

Attach = Callable[..., Any]
Versions = list[ResidentVersion]
KEYS = [f"user-{number}" for number in range(400)]


def split(
    generation: int, choice: int, old: ResidentVersion, new: ResidentVersion | None, share: int
) -> Target:
    return Target(MODEL, STAGE, generation, choice, old, new, time.monotonic_ns(), share)


def picks(model: Any) -> dict[str, int]:
    return {key: model.acquire(key).number for key in KEYS}


def await_share(host: HostThread, share: int) -> None:
    until(lambda: host.observed().split == share, f"a split of {share} per mille")


def await_split(host: HostThread, share: int, flip: int, workers: int = 1) -> None:
    await_share(host, share)
    host.await_flip(flip, workers)


@pytest.fixture
def gate() -> threading.Event:
    """Version 2 loads once it is set."""
    return threading.Event()


@pytest.fixture
def load(gate: threading.Event) -> Callable[[Version], int]:
    def load_gated(version: Version) -> int:
        assert version.number != 2 or gate.wait(20)
        return int(bytes(version.buffer("number.txt")))

    return load_gated


def test_from_a_move_with_a_split_to_its_end(
    host: HostThread, versions: Versions, attached: Attach, gate: threading.Event, load: Any
) -> None:
    host.set_target(target(1, 0, versions[1]))
    models = [attached(load), attached(load)]
    until(lambda: host.observed().ready == 2, "both have 1")
    host.set_target(split(2, 1, versions[1], versions[2], 200))
    seen = host.await_flip(2, workers=2)
    assert (seen.state, seen.number, seen.choice, seen.split) == ("preparing", 1, 1, 0)
    assert set(picks(models[0]).values()) == {1}, "nobody is asked before all have it"
    gate.set()
    await_split(host, 200, 3, workers=2)
    assert host.observed().state == "serving"
    first = picks(models[0])
    assert first == picks(models[1]) == picks(models[0]), "a key sticks, in every worker"
    assert 40 < sum(number == 2 for number in first.values()) < 120
    assert {models[0].acquire().number for _ in range(500)} == {1, 2}, "without a key by chance"
    for key in KEYS:
        with models[0].acquire(key) as view:
            assert view.value == view.number
            assert (view.generation, view.choice, view.flip) == (2, 1, 3)
            assert view.handle == {1: 1, 2: 2}[view.number]
            assert model_again(models[0], key) is view

    host.set_target(split(2, 3, versions[1], versions[2], 700))
    await_split(host, 700, 4, workers=2)
    second = picks(models[0])
    assert all(second[key] == 2 for key in KEYS if first[key] == 2), "and only moves forward"
    assert sum(number == 2 for number in second.values()) > 240

    host.pass_time(601)
    host.call(lambda one: one.let_go(versions[2].digest))
    assert set(picks(models[1]).values()) == {1, 2}, "no grace ends for what answers a share"
    assert versions[2].digest in host.leased()
    assert host.call(lambda one: one.holdings())[versions[2].digest] == "in force"
    host.set_target(target(2, 4, versions[2], versions[1]))
    assert set(picks(models[0]).values()) == {2}, "the word is stored when the call returns"
    assert host.observed().split == 0


def model_again(model: Any, key: str) -> Any:
    return model.acquire(key=key)


def test_a_rollback_is_one_store_and_the_grace_begins(
    host: HostThread, versions: Versions, attached: Attach
) -> None:
    host.set_target(target(1, 0, versions[1]))
    model = attached()
    host.set_target(split(2, 1, versions[1], versions[2], 500))
    await_split(host, 500, 3)
    assert set(picks(model).values()) == {1, 2}
    host.set_target(target(2, 3, versions[1], versions[2]))
    assert set(picks(model).values()) == {1}
    assert {model.acquire().number for _ in range(300)} == {1}
    host.pass_time(599)
    assert versions[2].digest in host.leased()
    host.pass_time(2)
    until(lambda: host.leased() == {versions[1].digest}, "2 is free")


def test_from_the_new_version_for_all_to_a_share(
    host: HostThread, versions: Versions, attached: Attach
) -> None:
    host.set_target(target(1, 0, versions[1]))
    model = attached()
    host.set_target(target(2, 0, versions[2], versions[1]))
    until(lambda: model.acquire().number == 2, "the flip")
    host.set_target(split(2, 1, versions[1], versions[2], 500))
    assert set(picks(model).values()) == {1, 2}, "both are loaded: at once, in one flip"
    assert host.observed().flip == 3
    host.set_target(target(3, 0, versions[3], versions[1]))
    until(lambda: model.acquire("any").number == 3, "the next move ends it")
    until(lambda: versions[2].digest not in host.leased(), "no choice leads to 2 any more")


def test_while_the_version_is_not_resident_the_other_answers(
    host: HostThread, versions: Versions, attached: Attach
) -> None:
    host.set_target(target(1, 0, versions[1]))
    model = attached()
    host.set_target(split(2, 1, versions[1], None, 500))
    seen = host.observed()
    assert (seen.state, seen.choice, seen.split) == ("serving", 1, 0)
    assert set(picks(model).values()) == {1}
    host.set_target(split(2, 1, versions[1], versions[2], 500))
    await_split(host, 500, 3)
    assert set(picks(model).values()) == {1, 2}


def test_one_that_cannot_be_loaded_gets_no_request(
    host: HostThread, versions: Versions, attached: Attach
) -> None:
    def load(version: Version) -> int:
        if version.number == 2:
            raise OSError("no room")
        return version.number

    host.set_target(target(1, 0, versions[1]))
    model = attached(load)
    host.set_target(split(2, 1, versions[1], versions[2], 500))
    until(lambda: host.observed().state == "load-failed", "the failure")
    assert "no room" in str(host.observed().error)
    assert host.observed().split == 0
    assert set(picks(model).values()) == {1}
    host.set_target(target(2, 3, versions[1], versions[2]))
    assert (host.observed().state, host.observed().error) == ("serving", None)


def test_a_worker_that_comes_later_loads_first(
    host: HostThread, versions: Versions, attached: Attach, gate: threading.Event, load: Any
) -> None:
    gate.set()
    host.set_target(target(1, 0, versions[1]))
    model = attached(load)
    host.set_target(split(2, 1, versions[1], versions[2], 500))
    await_split(host, 500, 3)
    gate.clear()
    late = attached(load)
    assert set(picks(late).values()) == {1}, "by the one in force, as long as it lacks the other"
    gate.set()
    until(lambda: set(picks(late).values()) == {1, 2}, "both here, too")
    assert picks(late) == picks(model)


def test_a_worker_dies_and_the_others_go_on(
    host: HostThread, versions: Versions, attached: Attach, gate: threading.Event, load: Any
) -> None:
    host.set_target(target(1, 0, versions[1]))
    slow = attached(load)
    model = attached()
    host.set_target(split(2, 1, versions[1], versions[2], 500))
    until(lambda: host.observed().standby == 1, "one of two has it")
    assert host.observed().split == 0
    slow.close()
    await_split(host, 500, 3)
    assert set(picks(model).values()) == {1, 2}
    gate.set()


def test_past_the_deadline_the_slow_do_not_hold_it_back(
    start_host: Callable[..., HostThread], versions: Versions, attached: Attach,
    gate: threading.Event, load: Any,
) -> None:  # fmt: skip
    host = start_host(rules=lambda *_: FlipRules(FlipPolicy("timeout"), ready_timeout_s=30))
    host.set_target(target(1, 0, versions[1]))
    slow, quick = attached(load), attached()
    host.set_target(split(2, 1, versions[1], versions[2], 500))
    until(lambda: host.observed().standby == 1, "one of two has it")
    host.pass_time(31)
    await_split(host, 500, 3, workers=2)
    assert set(picks(quick).values()) == {1, 2}
    assert set(picks(slow).values()) == {1}
    gate.set()
    until(lambda: picks(slow) == picks(quick), "it has caught up")


def test_by_default_a_late_worker_holds_it_back_and_the_host_says_so(
    host: HostThread, versions: Versions, attached: Attach, gate: threading.Event, load: Any
) -> None:
    host.set_target(target(1, 0, versions[1]))
    attached(load)
    host.set_target(split(2, 1, versions[1], versions[2], 500))
    until(lambda: host.observed().progress[0].state == "loading", "it loads")
    host.pass_time(32)
    seen = host.observed()
    assert (seen.state, seen.split, seen.number) == ("load-late", 0, 1)
    assert host.call(lambda one: one.held_back()) == 1
    gate.set()
    await_split(host, 500, 3)
    assert (host.observed().state, host.call(lambda one: one.held_back())) == ("serving", 0)


def test_a_restart_of_the_host_changes_nothing(
    start_host: Callable[..., HostThread], versions: Versions, attached: Attach
) -> None:
    host = start_host()
    host.set_target(target(1, 0, versions[1]))
    model = attached()
    host.set_target(split(2, 1, versions[1], versions[2], 500))
    await_split(host, 500, 3)
    before = picks(model)
    host.stop()
    assert picks(model) == before, "nobody asks the host"
    host = start_host()
    host.await_flip(3)
    assert (host.observed().split, picks(model)) == (500, before)
    host.pass_time(700)
    assert versions[2].digest in host.leased(), "the page names it, whatever the node says later"
    host.set_target(split(2, 1, versions[1], versions[2], 500))
    assert (host.observed().flip, host.observed().state) == (3, "serving")
    host.set_target(split(2, 3, versions[1], versions[2], 0))
    assert set(picks(model).values()) == {1}


def test_a_table_of_the_release_before(
    start_host: Callable[..., HostThread], versions: Versions, runtime_dir: Path, attached: Attach
) -> None:
    host = start_host()
    host.set_target(target(1, 0, versions[1]))
    model = attached()
    host.stop()
    (table,) = runtime_dir.glob("host.*.json")
    document = json.loads(table.read_text())
    assert document["format"] == 2
    for slot in document["slots"]:
        del slot["split_handle"], slot["split"]
    table.write_text(json.dumps(document | {"format": 1}))
    page = bytearray((runtime_dir / "page").read_bytes())
    page[64 + 112 : 64 + 128] = bytes(16)  # as that release left it
    with (runtime_dir / "page").open("r+b") as file:
        file.write(page)
    host = start_host()
    host.await_flip(1)
    assert model.acquire("user").number == 1
    host.set_target(split(2, 1, versions[1], versions[2], 500))
    await_split(host, 500, 3)
    assert set(picks(model).values()) == {1, 2}


def test_what_is_no_key_is_refused_with_and_without_a_split(
    host: HostThread, versions: Versions, attached: Attach
) -> None:
    host.set_target(target(1, 0, versions[1]))
    model = attached()
    for share in (0, 500):
        host.set_target(split(2, 1 + share, versions[1], versions[2], share))
        await_share(host, share)
        for wrong in (1.5, True, ["user"]):
            with pytest.raises(InvalidArgument, match="text, bytes or a whole number"):
                model.acquire(wrong)
        assert model.acquire(b"user").number == model.acquire("user").number


def test_shares_change_under_threads_that_acquire_without_pause(
    host: HostThread, versions: Versions, attached: Attach
) -> None:
    host.set_target(target(1, 0, versions[1]))
    model = attached(lambda version: int(bytes(version.buffer("number.txt"))))
    host.set_target(split(2, 1, versions[1], versions[2], 500))
    await_split(host, 500, 3)
    faults: list[str] = []
    counts = [0, 0, 0]
    done = threading.Event()

    def hammer(name: str) -> None:
        flip = calls = 0
        while not done.is_set():
            key = f"{name}-{calls % 97}"
            view = model.acquire(key if calls % 2 else None)
            calls += 1
            counts[view.number] += 1
            if view.value != view.number or view.handle != view.number or view.flip < flip:
                faults.append(f"{view!r} after flip {flip}, value {view.value}")
            flip = view.flip
            if calls % 64 == 0:
                time.sleep(0.0005)

    threads = [threading.Thread(target=hammer, args=(f"t{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for step in range(300):
        share = (step * 37) % 1000
        host.set_target(split(2, 3 + 2 * step, versions[1], versions[2], share))
    done.set()
    for thread in threads:
        thread.join()
    assert faults == []
    assert min(counts[1:]) > 0
    assert host.observed().flip == 303
