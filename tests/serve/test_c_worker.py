"""The C client of the documents against a real host: the protocol needs no Python."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cachd.serve.allowed_uids import AllowedUids
from cachd.serve.resident import ResidentVersion
from tests.serve.rig import MODEL, STAGE, HostThread, target, until

Versions = list[ResidentVersion]
SOURCE = Path(__file__).parents[2] / "docs" / "examples" / "worker.c"
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    compiler = shutil.which("cc")
    if compiler is None:
        assert not os.environ.get("REQUIRE_ALL_TESTS"), "CI installs a C compiler"
        pytest.skip("no C compiler (cc) is installed")
    made = str(tmp_path_factory.mktemp("worker") / "worker")
    strict = ["-O2", "-std=c11", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *strict, "-o", made, str(SOURCE)], check=True)
    return made


@pytest.fixture
def start(program: str, runtime_dir: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def start_one(file: str = "digest.txt") -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [program, str(runtime_dir / "cachd.sock"), MODEL, STAGE, file],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
        return started[-1]

    yield start_one
    for one in started:
        one.kill()
        one.communicate()


def line(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    return worker.stdout.readline().strip()


def test_it_loads_flips_rolls_back_and_lets_go(
    host: HostThread, versions: Versions, start: Start
) -> None:
    worker = start()
    until(lambda: host.observed().workers == 1, "the attach")
    host.set_target(target(1, 0, versions[1]))
    assert line(worker) == f"flip 1: {versions[1].digest}"
    host.await_flip(1)
    host.set_target(target(2, 0, versions[2], versions[1]))
    assert line(worker) == f"flip 2: {versions[2].digest}"
    host.await_flip(2)
    host.set_target(target(2, 1, versions[1], versions[2]))
    assert line(worker) == f"flip 3: {versions[1].digest}"
    seen = host.await_flip(3)
    assert seen.last_switch_ns >= seen.flip_ns
    host.pass_time(601)  # grace is over: version 2 is retired, and the worker releases it
    until(lambda: host.leased() == {versions[1].digest}, "the release")
    worker.send_signal(signal.SIGKILL)
    until(lambda: host.observed().workers == 0, "the end of the lease")


def test_what_it_cannot_load_is_reported(
    host: HostThread, versions: Versions, start: Start
) -> None:
    start("gone.txt")
    until(lambda: host.observed().workers == 1, "the attach")
    host.set_target(target(1, 0, versions[1]))
    seen = until(lambda: (o := host.observed()).error and o, "the report")
    assert "no file" in seen.error


def test_a_refusal_ends_it(start_host: Callable[..., HostThread], start: Start) -> None:
    start_host(allowed=AllowedUids({}))
    worker = start()
    assert worker.wait(20) == 1
    assert worker.stderr is not None
    assert f"uid {os.geteuid()} may not attach to {MODEL}@{STAGE}" in worker.stderr.read()
