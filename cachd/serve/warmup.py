"""Recorded requests: what a version brings along to be warmed up by.

    attach("fraud", load=load, warm=replay(lambda model, request: model.predict(request.json())))

Files below `warmup/` in the version, in the order of their names: each is one request, a `*.jsonl`
file one per line. Their bytes are mapped, not copied. Standard library only; threads: any.
"""

from __future__ import annotations

import time

from cachd.serve.errors import InvalidArgument, WarmupFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from cachd.serve.typed import T
    from cachd.serve.version import Version

FOLDER = "warmup/"
LINES = ".jsonl"


class RecordedRequest:
    """`name`: its file within the version, with `:LINE` where it is one of several. `data`: its
    bytes, read-only; a slice of the version's map, so keep it no longer than the version."""

    __slots__ = ("data", "name")

    def __init__(self, name: str, data: memoryview) -> None:
        self.name = name
        self.data = data

    def json(self) -> Any:
        """What the bytes say, as JSON."""
        import json  # imported when used

        return json.loads(bytes(self.data))

    def __repr__(self) -> str:
        return f"request {self.name} ({len(self.data)} bytes)"


def recorded(version: Version) -> Iterator[RecordedRequest]:
    """Those of the version, one after the other; none without a folder of them."""
    for name in sorted(name for name in version.files if name.startswith(FOLDER)):
        data = version.buffer(name)
        if name.endswith(LINES):
            yield from _lines(name, data)
        else:
            yield RecordedRequest(name, data)


def replay(
    call: Callable[[T, RecordedRequest], object], *, within_s: float | None = None
) -> Callable[[Version, T], None]:
    """A `warm` for `attach`: calls `call(value, request)` with each recorded request.

    `within_s`: begin none after so long; what was not replayed is left out. WarmupFailed names the
    request for which `call` raised: the version is not ready then."""
    if within_s is not None and not within_s > 0:
        raise InvalidArgument(f"within_s {within_s!r} is no time: seconds above 0, or None")

    def warm(version: Version, value: T) -> None:
        end_s = None if within_s is None else time.monotonic() + within_s
        for request in version.warmup():
            if end_s is not None and time.monotonic() >= end_s:
                return
            try:
                call(value, request)
            except Exception as error:
                raise WarmupFailed(f"{request.name}: {type(error).__name__}: {error}") from error

    return warm


def _lines(name: str, data: memoryview) -> Iterator[RecordedRequest]:
    """Without the line ends; empty lines are counted and left out."""
    whole: Any = data.obj  # the map, or bytes where the file is empty: both can be searched
    begin, number = 0, 0
    while begin < len(data):
        end = whole.find(b"\n", begin)
        end = len(data) if end < 0 else end
        number += 1
        returns = end > begin and data[end - 1] == ord("\r")
        line = data[begin : end - returns]
        if line:
            yield RecordedRequest(f"{name}:{number}", line)
        begin = end + 1
