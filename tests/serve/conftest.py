from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cachd.serve.client import Attached, Version, attach
from cachd.serve.resident import ResidentVersion
from tests.serve.rig import MODEL, HostThread, Worker, make_version


@pytest.fixture
def runtime_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def versions(tmp_path: Path) -> list[ResidentVersion]:
    """Versions 0 (unused), 1, 2, 3, 4."""
    return [make_version(tmp_path, number) for number in range(5)]


@pytest.fixture
def start_host(runtime_dir: Path) -> Iterator[Callable[..., HostThread]]:
    """Starts hosts on the runtime directory; stops those that the test has not."""
    started: list[HostThread] = []

    def start(**options: Any) -> HostThread:
        started.append(HostThread(runtime_dir, **options))
        return started[-1]

    yield start
    for host in started:
        if host._thread.is_alive():
            host.stop()


@pytest.fixture
def host(start_host: Callable[..., HostThread]) -> HostThread:
    return start_host()


@pytest.fixture
def attached(runtime_dir: Path) -> Iterator[Callable[..., Attached[Any]]]:
    """`attach` to the test's host; closed at the end."""
    open_: list[Attached[Any]] = []

    def open_one(
        load: Callable[[Version], Any] = lambda version: version.number, **options: Any
    ) -> Attached[Any]:
        options = {"socket": str(runtime_dir / "cachd.sock"), "timeout_s": 20, **options}
        open_.append(attach(options.pop("model", MODEL), load=load, **options))
        return open_[-1]

    yield open_one
    for one in open_:
        one.close()


@pytest.fixture
def start_workers(runtime_dir: Path, tmp_path: Path) -> Iterator[Callable[..., list[Worker]]]:
    """Workers by name; the same name again obeys the same folder."""
    started: list[Worker] = []

    def start(*names: str, attach: bool = True) -> list[Worker]:
        new = [Worker(runtime_dir / "cachd.sock", tmp_path / name) for name in names]
        started.extend(new)
        for worker in new if attach else []:
            assert worker.read() == worker.pid
        return new

    yield start
    for worker in started:
        worker.kill()
