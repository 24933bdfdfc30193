"""Unix sockets that a daemon listens on: bound with their mode, in the place of a dead one."""

from __future__ import annotations

import os
import socket

from cachd.serve.host_errors import RuntimeDirUnusable
from cachd.serve.limits import SOCKET_PATH_BYTES_MAX


def check_socket_path(path: str) -> None:
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
        raise RuntimeDirUnusable(
            f"{path} is longer than the {SOCKET_PATH_BYTES_MAX} bytes of a socket address: choose "
            "a shorter runtime directory"
        )


def listen_at(path: str, mode: int) -> socket.socket:
    """Non-blocking; takes the place of a socket that a dead daemon left. RuntimeDirUnusable."""
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
    sock.setblocking(False)
    return sock
