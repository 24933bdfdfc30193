"""One host, workers in this process: flips, rollbacks, grace, leases, failures."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cachd.serve.client import AttachTimeout, Closed, LoadFailed, Version, attach
from cachd.serve.flip_policy import FlipPolicy
from cachd.serve.flip_rules import FlipRules
from cachd.serve.host_errors import TooManyVersions, VersionMissing
from cachd.serve.limits import HANDLES_PER_STAGE_MAX
from cachd.serve.resident import ResidentVersion
from tests.serve.rig import MODEL, STAGE, HostThread, await_view, make_version, target, until

Attach = Callable[..., Any]
Versions = list[ResidentVersion]


def test_one_life(host: HostThread, versions: Versions, attached: Attach) -> None:
    loads, warmed = [], []

    def load(version: Version) -> int:
        loads.append(version.number)
        return int(bytes(version.buffer("number.txt")))

    host.set_target(target(1, 0, versions[1]))
    model = attached(load, warm=lambda version, value: warmed.append((version.number, value)))
    with model.acquire() as view:
        assert (view.value, view.number, view.digest) == (1, 1, versions[1].digest)
        assert (view.generation, view.choice, view.flip) == (1, 0, 1)
        assert view.path == versions[1].path
        assert view.files == versions[1].files
    assert model.acquire() is view
    until(lambda: host.attached == [(MODEL, STAGE)], "the callback")

    host.set_target(target(2, 0, versions[2], versions[1]))
    until(lambda: model.acquire().number == 2, "the flip")
    assert (model.acquire().generation, model.acquire().flip) == (2, 2)
    assert view.value == 1  # what is in use stays whole

    host.set_target(target(2, 1, versions[1], versions[2]))  # rollback
    assert model.acquire().number == 1  # the word is stored when the call returns
    assert (model.acquire().generation, model.acquire().choice) == (2, 1)
    host.set_target(target(3, 0, versions[2], versions[1]))  # forward again, as instant
    assert model.acquire().number == 2
    assert (loads, warmed) == ([1, 2], [(1, 1), (2, 2)])


def test_a_stage_may_have_a_grace_of_its_own(
    start_host: Callable[..., HostThread], versions: Versions, attached: Attach
) -> None:
    host = start_host(grace_of=lambda model, _: {MODEL: 1800.0}.get(model, 10.0))
    host.set_target(target(1, 0, versions[1]))
    model = attached()
    host.set_target(target(2, 0, versions[2], versions[1]))
    until(lambda: model.acquire().number == 2, "the flip")
    host.pass_time(1799)
    assert versions[1].digest in host.leased()
    host.pass_time(2)
    until(lambda: host.leased() == {versions[2].digest}, "the end of its grace")


def test_a_view_is_an_ordinary_context_manager(
    host: HostThread, versions: Versions, attached: Attach
) -> None:
    host.set_target(target(1, 0, versions[1]))
    model = attached()
    with contextlib.ExitStack() as stack:
        assert stack.enter_context(model.acquire()).number == 1
    with pytest.raises(KeyError), model.acquire() as view:
        raise KeyError(view.number)
    with pytest.raises(KeyError), contextlib.ExitStack() as stack:
        raise KeyError(stack.enter_context(model.acquire()))


def test_observed_follows(host: HostThread, versions: Versions, attached: Attach) -> None:
    seen = host.observed()
    assert (seen.state, seen.flip, seen.digest, seen.workers) == ("waiting", 0, None, 0)
    host.set_target(target(1, 0, versions[1]))
    assert host.observed().state == "serving"  # without workers: at once
    go_on = threading.Event()

    def load(version: Version) -> int:
        assert version.number == 1 or go_on.wait(20)
        return version.number

    attached(load)
    until(lambda: host.observed().ready == 1, "ready for 1")
    host.set_target(target(2, 0, versions[2], versions[1]))
    seen = host.observed()
    assert (seen.state, seen.number, seen.generation, seen.ready) == ("preparing", 1, 1, 0)
    go_on.set()
    seen = until(lambda: (o := host.observed()).switched == 1 and o.flip == 2 and o, "flip")
    assert (seen.state, seen.number, seen.digest) == ("serving", 2, versions[2].digest)
    assert seen.received_ns < seen.flip_ns < seen.last_switch_ns
    assert host.changes > 3


def test_rollback_latency_is_told(host: HostThread, versions: Versions, attached: Attach) -> None:
    host.set_target(target(1, 0, versions[1]))
    attached()
    host.set_target(target(2, 0, versions[2], versions[1]))
    until(lambda: host.observed().switched and host.observed().flip == 2, "flip")
    took_ms = []
    for choice in range(1, 12):
        serve, keep = (versions[1], versions[2]) if choice % 2 else (versions[2], versions[1])
        host.set_target(target(2, choice, serve, keep))
        # Nobody acquires here: an idle worker switches by the hint.
        seen = until(lambda: (o := host.observed()).last_switch_ns and o, "the switch")
        took_ms.append((seen.last_switch_ns - seen.received_ns) / 1e6)
        assert seen.choice == choice
    took_ms.sort()
    print(f"rollback: median {took_ms[5]:.2f} ms, worst {took_ms[-1]:.2f} ms")


def test_retire_then_release_with_the_last_reference(
    host: HostThread, versions: Versions, attached: Attach
) -> None:
    host.set_target(target(1, 0, versions[1]))
    model = attached(lambda version: version.buffer("onnx/weights.bin"))
    view = model.acquire()
    host.set_target(target(2, 0, versions[2], versions[1]))
    until(lambda: model.acquire().number == 2, "the flip")
    host.pass_time(599)
    assert host.leased() == {versions[1].digest, versions[2].digest}
    host.pass_time(2)  # grace is over: retired, but this process still uses it
    value = view.value
    for _ in range(3):
        assert host.leased() == {versions[1].digest, versions[2].digest}
        gc.collect()
    fd = view.fd("number.txt")
    assert os.pread(fd, 9, 0) == b"1"
    del view
    until(lambda: not is_open(fd), "the end of the version's descriptors")
    value = value[:4]  # a piece of a map keeps the lease, as a tensor over it does
    assert host.leased() == {versions[1].digest, versions[2].digest}
    assert bytes(value) == b"\1\0\0\0"
    del value
    until(lambda: host.leased() == {versions[2].digest}, "the release")
    host.set_target(target(3, 0, versions[1], versions[2]))  # the same version: a new handle
    until(lambda: model.acquire().number == 1, "the flip back")
    assert model.acquire().handle == 3


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_a_finalizer_may_acquire(host: HostThread, versions: Versions, attached: Attach) -> None:
    finalized = []

    class Value:
        def __del__(self) -> None:
            with contextlib.suppress(Closed):  # version 2 goes when the test is over
                finalized.append(model.acquire().number)

    host.set_target(target(1, 0, versions[1]))
    model = attached(lambda _version: Value())
    host.set_target(target(2, 0, versions[2], versions[1]))
    until(lambda: model.acquire().number == 2, "the flip")
    host.pass_time(601)
    until(lambda: finalized == [2], "the finalizer")
    until(lambda: host.leased() == {versions[2].digest}, "the release")


def test_load_failure_keeps_the_old_version(
    host: HostThread, versions: Versions, attached: Attach
) -> None:
    def load(version: Version) -> int:
        if version.number == 2:
            raise ValueError("weights do not fit")
        return version.number

    host.set_target(target(1, 0, versions[1]))
    model = attached(load)
    host.set_target(target(2, 0, versions[2], versions[1]))
    seen = until(lambda: (o := host.observed()).state == "load-failed" and o, "the report")
    assert f"worker {os.getpid()}: ValueError: weights do not fit" in seen.error
    assert (seen.number, seen.generation) == (1, 1)
    assert model.acquire().number == 1
    assert "weights do not fit" in model.last_error
    host.pass_time(1000)  # no time makes it right
    assert host.observed().state == "load-failed"
    host.set_target(target(3, 0, versions[3], versions[1]))  # a better one does
    until(lambda: model.acquire().number == 3, "the flip")
    assert host.observed().error is None
    until(lambda: versions[2].digest not in host.leased(), "the failed one is free")


def test_first_load_failure_is_raised(
    host: HostThread, versions: Versions, attached: Attach
) -> None:
    host.set_target(target(1, 0, versions[1]))
    with pytest.raises(LoadFailed, match="ZeroDivisionError") as caught:
        attached(lambda _version: 1 // 0)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    until(lambda: host.observed().workers == 0, "the socket's end")
    with pytest.raises(LoadFailed, match="SystemExit"):
        attached(lambda _version: sys.exit(3))


def test_attach_waits_for_daemon_and_target(
    start_host: Callable[..., HostThread], versions: Versions, attached: Attach
) -> None:
    with pytest.raises(AttachTimeout, match="cachd node"):
        attached(timeout_s=0.2)
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(attached().acquire().number))
    thread.start()
    host = start_host()
    until(lambda: host.attached, "the attach")
    with pytest.raises(AttachTimeout, match="cachctl promote"):
        attached(timeout_s=0.3)
    assert found == []
    host.set_target(target(1, 0, versions[1]))
    thread.join(20)
    assert found == [1]


def test_slow_workers_hold_a_flip_back_only_so_long(
    start_host: Callable[..., HostThread], versions: Versions, attached: Attach
) -> None:
    host = start_host(rules=lambda *_: FlipRules(FlipPolicy("timeout"), ready_timeout_s=30))
    go_on = threading.Event()

    def slow(version: Version) -> int:
        assert version.number == 1 or go_on.wait(20)
        return version.number

    host.set_target(target(1, 0, versions[1]))
    quick_one, slow_one = attached(), attached(slow)
    host.set_target(target(2, 0, versions[2], versions[1]))
    until(lambda: host.observed().ready == 1, "one is ready")
    host.pass_time(29)
    assert host.observed().state == "preparing"
    host.pass_time(2)
    assert (quick_one.acquire().number, slow_one.acquire().number) == (2, 1)
    host.pass_time(601)  # its grace ends, and yet the slow one serves on by it
    assert slow_one.acquire().value == 1
    go_on.set()
    until(lambda: slow_one.acquire().number == 2, "the slow one")


def test_a_late_worker_gets_what_is_kept_too(
    host: HostThread, versions: Versions, attached: Attach
) -> None:
    host.set_target(target(1, 0, versions[1]))
    host.set_target(target(2, 0, versions[2], versions[1]))
    loads: list[int] = []
    model = attached(lambda version: loads.append(version.number))
    until(lambda: loads == [2, 1], "what is kept, after what is in force")
    until(lambda: model._shelf.get(1), "loaded")
    host.set_target(target(2, 1, versions[1], versions[2]))
    assert model.acquire().number == 1
    assert loads == [2, 1]


def test_a_newer_target_replaces_one_that_is_pending(
    host: HostThread, versions: Versions, attached: Attach
) -> None:
    go_on = threading.Event()

    def load(version: Version) -> int:
        assert version.number != 2 or go_on.wait(20)
        return version.number

    host.set_target(target(1, 0, versions[1]))
    model = attached(load)
    host.set_target(target(2, 0, versions[2], versions[1]))
    host.set_target(target(3, 0, versions[3], versions[1]))
    go_on.set()
    until(lambda: model.acquire().number == 3, "the newer one")
    until(lambda: host.leased() == {versions[1].digest, versions[3].digest}, "2 is free")
    assert model.acquire().flip == 2


def test_versions_that_no_choice_reaches_are_retired_at_once(
    host: HostThread, versions: Versions, attached: Attach
) -> None:
    host.set_target(target(1, 0, versions[1]))
    model = attached()
    for number in (2, 3):
        host.set_target(target(number, 0, versions[number], versions[number - 1]))
        await_view(model, number=number)
    until(lambda: host.leased() == {versions[2].digest, versions[3].digest}, "1 is free")


def test_the_same_version_by_another_move_flips_without_a_load(
    host: HostThread, versions: Versions, attached: Attach
) -> None:
    loads: list[int] = []
    host.set_target(target(1, 0, versions[1]))
    model = attached(lambda version: loads.append(version.number))
    host.set_target(target(1, 0, versions[1]))  # nothing new
    assert model.acquire().flip == 1
    host.set_target(target(2, 0, versions[1]))
    view = model.acquire()
    assert (view.flip, view.generation, loads) == (2, 2, [1])


def test_threads_racing_acquire(host: HostThread, versions: Versions, attached: Attach) -> None:
    host.set_target(target(1, 0, versions[1]))
    model = attached(lambda version: (version.number, version.digest))
    stop = threading.Event()
    faults: list[str] = []
    calls = [0] * 6

    def run(index: int) -> None:
        flip = 0
        while not stop.is_set():
            try:
                with model.acquire() as view:
                    whole = view.value == (view.number, view.digest)
                    if not whole or view.flip < flip or view.choice != (view.number + 1) % 2:
                        faults.append(repr(view))
                    flip = view.flip
            except Exception as error:  # a thread's failure must reach the test
                faults.append(repr(error))
            calls[index] += 1

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    threads = [threading.Thread(target=run, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    try:
        for flip in range(2, 41):
            serve, keep = versions[2 - flip % 2], versions[1 + flip % 2]
            host.set_target(target(2, (flip + 1) % 2, serve, keep))
            await_view(model, flip=flip)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval_s)
    assert faults == []
    print(f"{sum(calls)} calls")
    assert min(calls) > 0


def test_close_ends_the_lease(host: HostThread, versions: Versions, attached: Attach) -> None:
    host.set_target(target(1, 0, versions[1]))
    with attached() as model:
        view = model.acquire()
        until(lambda: host.observed().workers == 1, "attached")
    until(lambda: host.observed().workers == 0, "closed")
    for _ in range(2):
        with pytest.raises(Closed, match="attach again"):
            model.acquire()
    assert view.value == 1
    model.close()


def test_current_symlink_follows(host: HostThread, versions: Versions, runtime_dir: Path) -> None:
    link = runtime_dir / "current" / MODEL / STAGE
    for number in (1, 2, 1):
        host.set_target(target(number, 0, versions[number]))
        assert link.readlink() == Path(versions[number].path)
        assert (link / "number.txt").read_text() == str(number)


def test_targets_that_cannot_be_served_change_nothing(
    host: HostThread, versions: Versions, tmp_path: Path
) -> None:
    host.set_target(target(1, 0, versions[1]))
    gone = ResidentVersion(9, "sha256:99", str(tmp_path / "nowhere"))
    with pytest.raises(VersionMissing, match="resident"):
        host.set_target(target(2, 0, gone, versions[1]))
    seen = host.observed()
    assert (seen.state, seen.number) == ("serving", 1)
    assert host.leased() == {versions[1].digest}


def test_workers_that_never_let_go_are_bounded(
    host: HostThread, versions: Versions, attached: Attach, tmp_path: Path
) -> None:
    host.set_target(target(1, 0, versions[1]))
    model = attached()
    views = [model.acquire()]
    for number in range(5, 4 + HANDLES_PER_STAGE_MAX):
        version = make_version(tmp_path, number)
        host.set_target(target(number, 0, version, versions[1]))
        await_view(model, number=number)
        views.append(model.acquire())
    with pytest.raises(TooManyVersions, match="restart those workers"):
        host.set_target(target(999, 0, versions[4], versions[1]))
    assert model.acquire().number == 3 + HANDLES_PER_STAGE_MAX
    del views
    until(lambda: host.leased() == {versions[1].digest, version.digest}, "the releases")
    host.set_target(target(999, 0, versions[4], versions[1]))


def test_models_do_not_mix(host: HostThread, versions: Versions, attached: Attach) -> None:
    host.set_target(target(1, 0, versions[1]))
    host.set_target(target(1, 0, versions[2], model="other"))
    one, other = attached(), attached(model="other")
    assert (one.acquire().number, other.acquire().number) == (1, 2)
    host.set_target(target(2, 0, versions[3], versions[1]))
    until(lambda: one.acquire().number == 3, "the flip")
    assert (other.acquire().number, other.acquire().flip) == (2, 1)


def test_a_file_list_too_long_for_a_frame_is_left_out(
    host: HostThread, versions: Versions, attached: Attach
) -> None:
    many = {f"file-{index:05}.bin": 1 for index in range(9_000)}
    version = ResidentVersion(1, versions[1].digest, versions[1].path, many)
    host.set_target(target(1, 0, version))
    assert attached().acquire().files == versions[1].files  # listed from the directory


def test_attach_before_the_socket_is_there_tells_what_to_do(tmp_path: Path) -> None:
    began_s = time.monotonic()
    with pytest.raises(AttachTimeout, match="CACHD_SOCKET"):
        attach(MODEL, load=id, socket=str(tmp_path / "no.sock"), timeout_s=0.1)
    assert time.monotonic() - began_s < 5
