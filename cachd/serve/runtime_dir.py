"""The runtime directory of a host: its one owner, its socket, and the `current` symlinks.

    host.lock   flock of the daemon that owns the directory; the kernel frees it however it dies
    host.<boot id>.json   handle_table; page   flip_page; cachd.sock   the local socket
    current/<model>/<stage>        symlink to the version in force, for programs that know paths
Made with mode 0750: whoever is in its group may attach. One that is there keeps its mode.
Processes may keep the page mapped and the symlink resolved for as long as they like.
"""

from __future__ import annotations

import fcntl
import os
import socket

from cachd.serve.host_errors import HostRunning, RuntimeDirUnusable
from cachd.serve.listeners import check_socket_path, listen_at, stop_listening
from cachd.service_manager import ServiceManager


class RuntimeDir:
    """Owned from construction to `release`. HostRunning, RuntimeDirUnusable."""

    def __init__(self, path: str, service: ServiceManager) -> None:
        self.path = os.path.abspath(path)
        self._service = service
        self._listener: socket.socket | None = None
        self.table_path = os.path.join(self.path, f"host.{_boot_id()}.json")
        self.page_path = os.path.join(self.path, "page")
        self.socket_path = os.path.join(self.path, "cachd.sock")
        self._current_path = os.path.join(self.path, "current")
        check_socket_path(self.socket_path)
        try:
            os.makedirs(self.path, mode=0o750, exist_ok=True)
            os.makedirs(self._current_path, exist_ok=True)
            self._lock_fd = self._lock()
            self._remove_other_boots()
        except OSError as error:
            raise RuntimeDirUnusable(
                f"cannot use {self.path} as runtime directory ({error.strerror}): give the daemon "
                "a directory that it may write to"
            ) from error

    def _lock(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        fd = os.open(os.path.join(self.path, "host.lock"), flags, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 64, 0).decode(errors="replace").strip()
            os.close(fd)
            raise HostRunning(
                f"{self.path} belongs to a running daemon (process {holder or 'unknown'}): stop "
                "it, or choose another runtime directory"
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        return fd

    def _remove_other_boots(self) -> None:
        for name in os.listdir(self.path):
            path = os.path.join(self.path, name)
            if name.startswith("host.") and name.endswith(".json") and path != self.table_path:
                os.unlink(path)

    def listen(self) -> socket.socket:
        """The local socket, non-blocking: the one that the service manager kept, or a new one."""
        self._listener = listen_at(self.socket_path, 0o660, self._service)
        return self._listener

    def point_current(self, model: str, stage: str, target: str) -> None:
        """Swap the symlink current/<model>/<stage>; atomic for whoever resolves it."""
        link = os.path.join(self._current_path, model, stage)
        # ':' is in no name, so this is nobody's stage.
        temporary = os.path.join(self._current_path, model, ":new")
        try:
            if os.path.islink(link) and os.readlink(link) == target:
                return
            os.makedirs(os.path.dirname(link), exist_ok=True)
            if os.path.lexists(temporary):
                os.unlink(temporary)
            os.symlink(target, temporary)
            os.replace(temporary, link)
        except OSError as error:
            raise RuntimeDirUnusable(
                f"cannot swap the symlink {link} ({error.strerror}): workers have switched, but "
                "programs that follow it have not"
            ) from error

    def release(self) -> None:
        if self._listener is not None:
            stop_listening(self._listener, self.socket_path, self._service)
        os.close(self._lock_fd)


def _boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()
