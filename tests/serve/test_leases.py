"""The socket is the lease: what a process still reads stays whole for as long as it reads."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cachd.serve.resident import ResidentVersion
from tests.serve.reading_process import STEP
from tests.serve.rig import HostThread, LineProcess, target, until

Versions = list[ResidentVersion]
StartHost = Callable[..., HostThread]


@pytest.fixture
def start_reader(runtime_dir: Path) -> Iterator[Callable[[], LineProcess]]:
    started: list[LineProcess] = []

    def start() -> LineProcess:
        started.append(LineProcess("tests.serve.reading_process", str(runtime_dir / "cachd.sock")))
        assert started[-1].read() == "holding"
        return started[-1]

    yield start
    for reader in started:
        reader.kill()


def expected(version: ResidentVersion) -> list[str]:
    """Each step of the version's weights, and its digest."""
    return [
        (version.number.to_bytes(4, "little") * (STEP // 4)).hex(),
        version.digest.encode().hex(),
    ]


def flip(host: HostThread, versions: Versions, number: int, flips: int, workers: int) -> None:
    host.set_target(target(number, 0, versions[number], versions[number - 1]))
    host.await_flip(flips, workers)


def test_a_slow_reader_keeps_its_version_as_long_as_it_wants(
    start_host: StartHost, start_reader: Callable[[], LineProcess], versions: Versions
) -> None:
    """Over flips, the end of grace, and a daemon that ends and comes back."""
    host = start_host()
    host.set_target(target(1, 0, versions[1]))
    reader = start_reader()
    assert reader.ask("step") == expected(versions[1])
    flip(host, versions, 2, flips=2, workers=1)
    flip(host, versions, 3, flips=3, workers=1)
    host.pass_time(601)
    assert (reader.ask("serves"), reader.ask("step")) == (3, expected(versions[1]))
    assert versions[1].digest in host.leased()
    host.stop()
    assert (reader.ask("serves"), reader.ask("step")) == (3, expected(versions[1]))
    host = start_host()
    host.set_target(target(3, 0, versions[3], versions[2]))
    until(lambda: host.observed().workers == 1, "it is back")
    host.pass_time(601)
    host.pass_time(31)
    assert host.leased() >= {versions[1].digest, versions[3].digest}
    assert reader.ask("step") == expected(versions[1])
    assert reader.ask("drop") == "done"
    until(lambda: versions[1].digest not in host.leased(), "the lease's end")
    assert reader.ask("serves") == 3


def test_bytes_outlive_their_files(
    start_host: StartHost, start_reader: Callable[[], LineProcess], versions: Versions
) -> None:
    """A runtime directory that was lost ends leases: eviction unlinks, and never truncates."""
    host = start_host()
    host.set_target(target(1, 0, versions[1]))
    reader = start_reader()
    host.set_target(target(2, 0, versions[2]))
    host.await_flip(2)
    shutil.rmtree(versions[1].path)
    for _ in range(7):
        assert reader.ask("step") == expected(versions[1])


def test_killed_readers_free_what_they_read(
    start_host: StartHost, start_reader: Callable[[], LineProcess], versions: Versions
) -> None:
    """One of two: the other keeps the version; both: it is free."""
    host = start_host()
    host.set_target(target(1, 0, versions[1]))
    readers = [start_reader(), start_reader()]
    flip(host, versions, 2, flips=2, workers=2)
    flip(host, versions, 3, flips=3, workers=2)
    readers[0].kill()
    until(lambda: host.observed().workers == 1, "one socket's end")
    assert versions[1].digest in host.leased()
    assert readers[1].ask("step") == expected(versions[1])
    readers[1].kill()
    until(lambda: host.leased() == {versions[2].digest, versions[3].digest}, "both leases' end")


def test_a_stopped_reader_is_no_dead_one(
    start_host: StartHost, start_reader: Callable[[], LineProcess], versions: Versions
) -> None:
    """However long it does not answer: nobody's version is taken away by a clock."""
    host = start_host()
    host.set_target(target(1, 0, versions[1]))
    reader = start_reader()
    until(lambda: host.observed().switched == 1, "it serves")
    os.kill(reader.process.pid, signal.SIGSTOP)
    for number in (2, 3):
        host.set_target(target(number, 0, versions[number], versions[number - 1]))
        host.pass_time(10_000)
    assert versions[1].digest in host.leased()
    os.kill(reader.process.pid, signal.SIGCONT)
    assert reader.ask("step") == expected(versions[1])
    until(lambda: reader.ask("serves") == 3, "it follows")
