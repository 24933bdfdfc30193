"""The version directories of one model@stage that workers can be told to load, kept open.

A worker gets the descriptor, not the path: it works across mount namespaces, and the directory it
loads is the one that was there when the node said so.
Owned by the host's event loop.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from cachd.serve.from_daemon import Prepare
from cachd.serve.host_errors import VersionMissing
from cachd.serve.resident import ResidentVersion, Target
from cachd.serve.wire import FrameTooLong, encode_frame
from cachd.serve.worker_connection import WorkerConnection


@dataclass(frozen=True, slots=True)
class _Prepared:
    directory_fd: int
    message: dict[str, Any]


class PreparedVersions:
    """By handle. Handles of an earlier life of the host are absent until the node names them."""

    def __init__(self) -> None:
        self._by_handle: dict[int, _Prepared] = {}

    def open(
        self,
        handle: int,
        version: ResidentVersion,
        target: Target,
        *,
        flip_hint: int,
        ready_within_s: float,
    ) -> None:
        """No effect if it is open already. VersionMissing."""
        if handle in self._by_handle:
            return
        message = Prepare(
            handle,
            flip_hint=flip_hint,
            generation=target.generation,
            choice=target.choice,
            number=version.number,
            digest=version.digest,
            path=version.path,
            ready_within_s=ready_within_s,
            files=dict(version.files),
        )
        self._by_handle[handle] = _Prepared(_open_directory(version.path), _fitting(message))

    def send(self, worker: WorkerConnection, handle: int, now_s: float) -> None:
        """Have the worker load it, if it is open and the worker has not been told before."""
        prepared = self._by_handle.get(handle)
        if prepared is not None and handle not in worker.leases:
            worker.leases[handle] = "loading"
            worker.told_s[handle] = now_s
            worker.send(prepared.message, [prepared.directory_fd])

    def close(self, handle: int) -> None:
        prepared = self._by_handle.pop(handle, None)
        if prepared is not None:
            os.close(prepared.directory_fd)

    def close_all(self) -> None:
        for handle in list(self._by_handle):
            self.close(handle)


def check_directory(path: str) -> None:
    """VersionMissing unless it can be opened."""
    os.close(_open_directory(path))


def _open_directory(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise VersionMissing(
            f"cannot open the version directory {path} ({error.strerror}): make the version "
            "resident before it is served"
        ) from error


def _fitting(prepare: Prepare) -> dict[str, Any]:
    """The message, without its list of files if a frame cannot hold it."""
    try:
        encode_frame(prepare.message(), fds=1)
    except FrameTooLong:
        prepare.files = None
    return prepare.message()
