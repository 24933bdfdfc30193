"""A daemon under a service manager: ready, watched, stopping, and its sockets kept over a kill."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachd.service_manager import ServiceManager
from tests.cli.cachctl import Ran, cachctl
from tests.models import make_model
from tests.system.managed_node import ManagedNode, Manager
from tests.system.rig import Rig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
UNITS = Path(__file__).parents[2] / "docs" / "examples" / "systemd"
WATCHDOG_S = 0.6


@pytest.fixture
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    """At a path; at an abstract address where the test asks for it."""
    abstract = getattr(request, "param", "") == "abstract"
    with Manager(f"@cachd-test-{os.getpid()}" if abstract else str(tmp_path / "notify")) as made:
        yield made


@pytest.fixture
def node(rig: Rig, manager: Manager) -> Iterator[ManagedNode]:
    made = ManagedNode(rig, manager, watchdog_s=WATCHDOG_S)
    yield made
    made.end()


@pytest.mark.parametrize("manager", ["path", "abstract"], indirect=True)
def test_ready_watched_and_stopping(rig: Rig, manager: Manager, node: ManagedNode) -> None:
    said = node.start()
    ready = manager.wait_for("READY")
    assert ready["STATUS"].startswith("ready node")
    began = time.monotonic()
    for _ in range(4):
        manager.wait_for("WATCHDOG")
    assert time.monotonic() - began < 4 * WATCHDOG_S, "twice as often as asked for"

    node.send(signal.SIGSTOP)
    assert manager.silence_s(2 * WATCHDOG_S), "who hangs, beats no more"
    node.send(signal.SIGCONT)
    manager.wait_for("WATCHDOG")

    node.end(signal.SIGTERM)
    manager.wait_for("STOPPING")
    path = Path(said["socket"])
    assert path.is_socket(), "left for the next daemon"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as worker:
        worker.connect(str(path))  # the manager keeps it open


def test_whoever_connects_while_the_daemon_is_dead_waits(
    tmp_path: Path, rig: Rig, manager: Manager, node: ManagedNode
) -> None:
    with rig.connect() as registry:
        registry.push(make_model(tmp_path / "v1"), "m")
        registry.push(make_model(tmp_path / "v2", changed=1), "m")
        registry.promote("m@production", 1)
        node.start()
        rig.start_worker("w1", "n1")
        rig.wait_worker("w1", 1, "1.0")
        registry.promote("m@production", 2)
        rig.wait_worker("w1", 2, "2.0")
    manager.wait_for("READY")
    names = sorted(manager.kept)
    assert [name.rpartition(".")[0] for name in names] == ["cachd.sock", "control.sock"]
    inode = (rig.run_folder("n1") / "cachd.sock").stat().st_ino

    node.end(signal.SIGKILL)
    rig.start_worker("w2", "n1")
    answers: list[Ran] = []
    run = str(rig.run_folder("n1"))
    asking = threading.Thread(
        target=lambda: answers.append(
            cachctl("rollback", "m@production", "--local", "--run", run, "--json")
        )
    )
    asking.start()
    time.sleep(1.0)  # both are likely to wait by now; what follows holds if they are not
    assert answers == []
    node.start()
    asking.join()
    assert answers[0].code in (0, 4), answers[0].err  # 4: asked before version 1 was verified again
    went = answers[0].code == 0 or cachctl(
        "rollback", "m@production", "--local", "--run", run
    ).code == 0  # fmt: skip
    assert went
    for worker in ("w1", "w2"):
        rig.wait_worker(worker, 1, "2.1")
        rig.assert_unharmed(worker)
    manager.wait_for("READY")
    assert sorted(manager.kept) == names, "nothing was stored a second time"
    assert all(len(fds) == 1 for fds in manager.kept.values())
    assert (rig.run_folder("n1") / "cachd.sock").stat().st_ino == inode

    node.end(signal.SIGKILL)
    (rig.run_folder("n1") / "cachd.sock").unlink()
    node.start()
    rig.assert_unharmed("w1")
    manager.wait_for("READY")
    assert len(manager.kept) == 2
    assert sorted(manager.kept) != names, "a socket that nobody can reach is given up"


def test_a_manager_that_is_away_or_full_harms_nobody(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    service = ServiceManager.from_environment({"NOTIFY_SOCKET": str(path)})
    service.ready("nobody listens")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(path))
        for _ in range(1000):
            service.beat()
        service.stopping()
    environ = {"NOTIFY_SOCKET": "relative", "WATCHDOG_USEC": "x", "LISTEN_FDS": "9"}
    odd = ServiceManager.from_environment(environ)
    assert (odd.keeps, odd.watchdog_s, environ) == (False, 0.0, {})
    others = {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1", "LISTEN_PID": "1", "LISTEN_FDS": "1"}
    assert ServiceManager.from_environment(others).watchdog_s == 0.0


@pytest.mark.skipif(
    not os.environ.get("REQUIRE_ALL_TESTS")
    and not Path("/usr/bin/systemd-analyze").exists(),
    reason="needs systemd-analyze (Debian: systemd)",
)  # fmt: skip
@pytest.mark.parametrize("unit", ["cachd-node.service", "cachd-authority.service"])
def test_units_are_as_systemd_wants_them(tmp_path: Path, unit: str) -> None:
    program = tmp_path / "cachd"
    program.symlink_to(sys.executable)
    text = (UNITS / unit).read_text(encoding="utf-8")
    copy = tmp_path / unit
    copy.write_text(text.replace("/opt/cachd/bin/cachd", str(program)), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
