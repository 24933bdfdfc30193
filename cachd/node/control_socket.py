"""The control socket of a host: `control.sock` in the runtime directory, for its owner and root.

Its file has mode 0600, and each caller's user id is looked at besides, since files are moved and
their modes changed. A request is answered at once on the event loop; a malformed frame ends that
one connection, and nothing else. A caller who does not read, or stays too long, is cut off.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from cachd.control.host_requests import (
    CALL_S_MAX,
    CALLERS_MAX,
    HostRequest,
    error_message,
    stage_message,
)
from cachd.control.reports import StageReport
from cachd.serve.host_errors import HostError
from cachd.serve.listeners import check_socket_path, listen_at, stop_listening
from cachd.serve.wire import FrameReader, WireError, encode_frame
from cachd.service_manager import ServiceManager
from registry_core.errors import Conflict, InvalidInput, RegistryError, Unauthorized

_CREDENTIALS = struct.Struct("iII")
_ACCEPT_AGAIN_S = 0.25
_log = structlog.get_logger("cachd.node")


class ControlSocket:
    """`start`, then `stop`. `answer(request, uid, received_ns)` does what is asked."""

    def __init__(
        self,
        path: Path,
        answer: Callable[[HostRequest, int, int], StageReport],
        service: ServiceManager | None = None,
    ) -> None:
        self._path = str(path.absolute())
        self._service = service or ServiceManager()
        self._answer = answer
        self._callers: set[_Caller] = set()
        self._listener: socket.socket | None = None

    def start(self) -> None:
        """RuntimeDirUnusable. The runtime directory is this daemon's own by now."""
        check_socket_path(self._path)
        self._loop = asyncio.get_running_loop()
        self._listener = listen_at(self._path, 0o600, self._service)
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def stop(self) -> None:
        if self._listener is None:
            return
        self._loop.remove_reader(self._listener.fileno())
        stop_listening(self._listener, self._path, self._service)
        self._listener = None
        for caller in list(self._callers):
            caller.close()

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError, InterruptedError):
            return
        except OSError:  # out of descriptors: there may be some again
            self._loop.remove_reader(self._listener.fileno())
            self._loop.call_later(_ACCEPT_AGAIN_S, self._accept_again)
            return
        if len(self._callers) >= CALLERS_MAX:
            sock.close()
            return
        self._callers.add(_Caller(sock, self._answered, self._callers.discard))

    def _accept_again(self) -> None:
        if self._listener is not None:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _answered(self, frame: dict[str, Any], uid: int) -> dict[str, Any]:
        received_ns = time.monotonic_ns()
        try:
            if uid not in (0, os.geteuid()):
                raise Unauthorized(f"user {uid} may not: root may, and the user of the node")
            try:
                request = HostRequest.parse(frame)
            except WireError as error:
                raise InvalidInput(str(error)) from error
            return stage_message(self._answer(request, uid, received_ns))
        except RegistryError as error:
            _log.warning("refused at the control socket", uid=uid, why=str(error))
            return error_message(error)
        except HostError as error:
            return error_message(Conflict(str(error)))


class _Caller:
    """One connection: requests in, one answer each."""

    def __init__(
        self,
        sock: socket.socket,
        answer: Callable[[dict[str, Any], int], dict[str, Any]],
        on_gone: Callable[[_Caller], None],
    ) -> None:
        self._sock = sock
        self._answer = answer
        self._on_gone = on_gone
        self._reader = FrameReader(accepts_fds=False)
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        self._uid = int(_CREDENTIALS.unpack(credentials)[1])
        self._loop = asyncio.get_running_loop()
        sock.setblocking(False)
        self._loop.add_reader(sock.fileno(), self._readable)
        self._end = self._loop.call_later(CALL_S_MAX, self.close)

    def close(self) -> None:
        if self._sock.fileno() < 0:
            return
        self._end.cancel()
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()
        self._on_gone(self)

    def _readable(self) -> None:
        try:
            alive = self._reader.receive(self._sock)
            for frame, _ in self._reader.frames():
                data = encode_frame(self._answer(frame, self._uid))
                if self._sock.send(data, socket.MSG_NOSIGNAL) != len(data):
                    raise WireError("a caller does not read")  # noqa: TRY301  # ends as all others
        except (OSError, WireError):
            alive = False
        if not alive:
            self.close()
