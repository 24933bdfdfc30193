"""A node under a service manager: a real datagram socket that keeps what it is given, and a real
process started as systemd starts one, with what was kept as descriptors from 3 on."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from types import TracebackType
from typing import Any

from tests.system.rig import Rig

_LAUNCH = """
import json, os, sys
fds, names, words = json.loads(sys.argv[1])
moved = [os.dup2(fd, 100 + at) for at, fd in enumerate(fds)]
for at, fd in enumerate(moved):
    os.dup2(fd, 3 + at, inheritable=True)
    os.close(fd)
if fds:
    os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(fds)),
                   "LISTEN_FDNAMES": ":".join(names)}
os.execv(sys.executable, [sys.executable, "-m", "cachd.main", *words])
"""


class Manager:
    """`heard`: every message, as the names and values in it; `kept`: name -> descriptors."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.heard: list[dict[str, str]] = []
        self.kept: dict[str, list[int]] = {}
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind("\0" + address[1:] if address[0] == "@" else address)

    def __enter__(self) -> Manager:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._sock.close()
        for fds in self.kept.values():
            for fd in fds:
                os.close(fd)

    def listen(self, within_s: float) -> dict[str, str] | None:
        """The next message; None if none comes in time."""
        if not select.select([self._sock], [], [], max(0.0, within_s))[0]:
            return None
        data, fds, _, _ = socket.recv_fds(self._sock, 4096, 8)
        said = dict(line.split("=", 1) for line in data.decode().splitlines())
        if said.get("FDSTORE") == "1":
            self.kept.setdefault(said["FDNAME"], []).extend(fds)
        if said.get("FDSTOREREMOVE") == "1":
            for fd in self.kept.pop(said["FDNAME"], []):
                os.close(fd)
        self.heard.append(said)
        return said

    def wait_for(self, name: str, value: str = "1", within_s: float = 30.0) -> dict[str, str]:
        deadline = time.monotonic() + within_s
        while (said := self.listen(deadline - time.monotonic())) is not None:
            if said.get(name) == value:
                return said
        raise AssertionError(f"no {name}={value} within {within_s} s: {self.heard}")

    def silence_s(self, at_least_s: float) -> bool:
        """Whether nothing at all comes for so long, once what is under way has come."""
        while self.listen(0.05) is not None:
            pass
        return self.listen(at_least_s) is None


class ManagedNode:
    """`start`, `kill`, `start` again: with what the manager kept."""

    def __init__(self, rig: Rig, manager: Manager, *, watchdog_s: float) -> None:
        self._rig = rig
        self._manager = manager
        self._watchdog_s = watchdog_s
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> dict[str, Any]:
        """What the ready line says."""
        kept = [(name, fd) for name, fds in sorted(self._manager.kept.items()) for fd in fds]
        words = [
            "node", "--name", "n1", "--authority", self._rig.url,
            "--root", str(self._rig.folder / "registry" / "root.json"),
            "--data", str(self._rig.folder / "n1"), "--run", str(self._rig.run_folder("n1")),
            "--listen", "127.0.0.1:0", "--serve", "m@production",
        ]  # fmt: skip
        fds = [fd for _, fd in kept]
        told = json.dumps([fds, [name for name, _ in kept], words])
        env = os.environ | {
            "NOTIFY_SOCKET": self._manager.address,
            "WATCHDOG_USEC": str(int(self._watchdog_s * 1e6)),
        }
        with (self._rig.folder / "n1.log").open("a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _LAUNCH, told],
                stdout=subprocess.PIPE, stderr=log, text=True, env=env, pass_fds=fds,
            )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self._rig.folder / "n1.log").read_text(encoding="utf-8")[-2000:]
        said: dict[str, Any] = json.loads(line)
        return said

    def send(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def end(self, number: int = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(30)
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None
