"""Unix sockets that a daemon listens on: taken back from the service manager, which kept them
while no daemon ran, or bound anew in the place of a dead one.

A kept socket is known by its name there, `<file name>.<inode>`: if the file at the path is another
one by now, nobody can reach the socket any more.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat

from cachd.serve.host_errors import RuntimeDirUnusable
from cachd.serve.limits import SOCKET_PATH_BYTES_MAX
from cachd.service_manager import ServiceManager


def check_socket_path(path: str) -> None:
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
        raise RuntimeDirUnusable(
            f"{path} is longer than the {SOCKET_PATH_BYTES_MAX} bytes of a socket address: choose "
            "a shorter runtime directory"
        )


def listen_at(path: str, mode: int, service: ServiceManager) -> socket.socket:
    """Non-blocking. RuntimeDirUnusable."""
    sock = _taken_back(path, service)
    if sock is None:
        sock = _bound(path, mode)
        service.keep(_name(path), sock)
    sock.setblocking(False)
    return sock


def stop_listening(sock: socket.socket, path: str, service: ServiceManager) -> None:
    """The file stays where a manager keeps the socket for the next daemon."""
    sock.close()
    if not service.keeps:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _taken_back(path: str, service: ServiceManager) -> socket.socket | None:
    found = None
    for name, sock in service.take(f"{os.path.basename(path)}."):
        if found is None and _listens_at(sock, path) and name == _name(path):
            found = sock
        else:
            service.forget(name)
            sock.close()
    return found


def _listens_at(sock: socket.socket, path: str) -> bool:
    return (
        sock.family == socket.AF_UNIX
        and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
        and sock.getsockname() == path
        and os.path.lexists(path)
        and stat.S_ISSOCK(os.lstat(path).st_mode)
    )


def _name(path: str) -> str:
    return f"{os.path.basename(path)}.{os.lstat(path).st_ino}"


def _bound(path: str, mode: int) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if os.path.lexists(path):
            os.unlink(path)
        os.fchmod(sock.fileno(), mode)  # what bind makes has no more than this, from its start
        sock.bind(path)
        os.chmod(path, mode)
        sock.listen(socket.SOMAXCONN)
    except OSError as error:
        sock.close()
        raise RuntimeDirUnusable(
            f"cannot listen at {path} ({error.strerror}): is the file system of the runtime "
            "directory local and writable?"
        ) from error
    return sock
