"""The service manager's protocol (sd_notify(3), sd_listen_fds(3)): systemd, or whoever speaks it.

    READY, STATUS, STOPPING   how far the daemon is
    WATCHDOG                  sent by the event loop, so that a loop that hangs is noticed
    FDSTORE                   listening sockets, kept by the manager while no daemon runs: whoever
                              connects meanwhile waits in the backlog and is not refused

A datagram per message to $NOTIFY_SOCKET, also an abstract one. Nothing here raises because the
manager is away or slow, and without one nothing is sent. Standard library only; from one thread.
"""

from __future__ import annotations

import array
import os
import socket
from collections.abc import MutableMapping

_LISTEN_FDS_START = 3
_TOLD_S_MAX = 0.5
"""For the messages that must arrive; a beat that the manager has no room for is skipped."""
KEPT_MAX = 64


class ServiceManager:
    """Without `notify_path`, nobody is told anything and nothing is kept."""

    def __init__(
        self,
        notify_path: str = "",
        watchdog_s: float = 0.0,
        kept: dict[str, socket.socket] | None = None,
    ) -> None:
        self.watchdog_s = watchdog_s
        self._kept = kept or {}
        self._sock: socket.socket | None = None
        if notify_path:
            self._address = "\0" + notify_path[1:] if notify_path[0] == "@" else notify_path
            self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str]) -> ServiceManager:
        """Takes the variables out, so that no child believes that they are for it."""
        said = {name: environ.pop(name, "") for name in (
            "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS",
            "LISTEN_FDNAMES",
        )}  # fmt: skip
        own = str(os.getpid())
        path = said["NOTIFY_SOCKET"]
        watchdog_s = 0.0
        if said["WATCHDOG_USEC"].isdigit() and said["WATCHDOG_PID"] in ("", own):
            watchdog_s = int(said["WATCHDOG_USEC"]) / 1e6
        kept = {}
        if said["LISTEN_PID"] == own and said["LISTEN_FDS"].isdigit():
            kept = _inherited(int(said["LISTEN_FDS"]), said["LISTEN_FDNAMES"].split(":"))
        return cls(path if path[:1] in ("/", "@") else "", watchdog_s, kept)

    @property
    def keeps(self) -> bool:
        """Whether there is somebody who may keep sockets."""
        return self._sock is not None

    def ready(self, status: str) -> None:
        self._tell(f"READY=1\nSTATUS={_line(status)}")

    def stopping(self) -> None:
        self._tell("STOPPING=1\nSTATUS=stopping")

    def beat(self) -> None:
        self._tell("WATCHDOG=1", wait_s=0.0)

    def take(self, prefix: str) -> list[tuple[str, socket.socket]]:
        """What the manager kept under names that begin so; the caller's from then on."""
        names = [name for name in self._kept if name.startswith(prefix)]
        return [(name, self._kept.pop(name)) for name in names]

    def keep(self, name: str, sock: socket.socket) -> None:
        """Until `forget`, or until the service is stopped for good. No `:` in names."""
        self._tell(f"FDSTORE=1\nFDNAME={name}\nFDPOLL=0", fds=[sock.fileno()])

    def forget(self, name: str) -> None:
        self._tell(f"FDSTOREREMOVE=1\nFDNAME={name}")

    def _tell(
        self, text: str, *, fds: list[int] | None = None, wait_s: float = _TOLD_S_MAX
    ) -> None:
        if self._sock is None:
            return
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self._sock.settimeout(wait_s)
            self._sock.sendmsg([text.encode()], rights, socket.MSG_NOSIGNAL, self._address)
        except OSError:
            return  # its trouble, not ours


def _inherited(count: int, names: list[str]) -> dict[str, socket.socket]:
    """The sockets among the descriptors passed; anything else is closed, and twins too."""
    kept: dict[str, socket.socket] = {}
    for at in range(min(count, KEPT_MAX)):
        fd, name = _LISTEN_FDS_START + at, names[at] if at < len(names) else ""
        try:
            os.set_inheritable(fd, False)
            sock = socket.socket(fileno=fd)
        except OSError:
            continue  # no descriptor, or no socket: not ours to close
        if name in kept:
            sock.close()
        else:
            kept[name] = sock
    return kept


def _line(text: str) -> str:
    return text.replace("\n", " ")
