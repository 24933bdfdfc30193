"""Asking the daemon of this host, which needs neither authority nor network.

Blocking; one request after another on one connection.
"""

from __future__ import annotations

import socket
from pathlib import Path
from types import TracebackType

import msgspec

from cachd.control.host_requests import HostRequest
from cachd.control.reports import StageReport
from cachd.serve.wire import FrameReader, WireError, send_frame
from registry_core.errors import RegistryError, Unauthorized

_TIMEOUT_S = 10.0


class NodeUnavailable(RegistryError):
    """No daemon answers at the control socket. Helps once one runs."""

    code = "node_unavailable"


class HostRefused(RegistryError):
    """What the daemon refused, with its own code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class HostClient:
    """A context manager. NodeUnavailable, Unauthorized."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sock.settimeout(_TIMEOUT_S)
        self._reader = FrameReader(accepts_fds=False)
        try:
            self._sock.connect(str(path))
        except PermissionError as error:
            self._sock.close()
            raise Unauthorized(
                f"{path} answers root and the user that the node runs as, nobody else: use sudo"
            ) from error
        except OSError as error:
            self._sock.close()
            raise NodeUnavailable(
                f"no node answers at {path} ({error.strerror or error}): start it (`cachd node …`, "
                "or `systemctl start cachd-node`), or say where it is: --run DIR or --data DIR"
            ) from error

    def __enter__(self) -> HostClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._sock.close()

    def ask(self, request: HostRequest) -> StageReport:
        """The stage as it then is. HostRefused: nothing has changed."""
        try:
            send_frame(self._sock, request.message())
            answer = self._answer()
        except (OSError, WireError, msgspec.ValidationError) as error:
            raise NodeUnavailable(
                f"the node at {self._path} went away before it answered ({error}): look again"
            ) from error
        if isinstance(answer, StageReport):
            return answer
        raise answer

    def _answer(self) -> StageReport | HostRefused:
        while True:
            alive = self._reader.receive(self._sock)
            for message, _ in self._reader.frames():
                if message.get("op") == "error":
                    return HostRefused(str(message.get("code")), str(message.get("message")))
                return msgspec.convert(message.get("report"), StageReport)
            if not alive:
                raise WireError("it closed the connection")
