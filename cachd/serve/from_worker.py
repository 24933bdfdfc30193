"""Messages from a worker to the daemon: made by the client, parsed by the host.

Parsing refuses with WireError; an op that this release does not know parses to None.
"""

from __future__ import annotations

from cachd.serve import fields
from cachd.serve.latency import BUCKETS
from cachd.serve.limits import (
    CLIENT_CHARS_MAX,
    DIGEST_CHARS_MAX,
    ERROR_CHARS_MAX,
    HELD_MAX,
    OBSERVED_S_MAX,
    REQUESTS_TOLD_MAX,
    VERSIONS_TOLD_MAX,
)
from cachd.serve.wire import WireError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PROTOCOL = 1


class Held:
    """One version that a worker holds: `ready` once it is loaded and warm."""

    __slots__ = ("digest", "handle", "ready")

    def __init__(self, handle: int, digest: str, ready: bool) -> None:
        self.handle = handle
        self.digest = digest
        self.ready = ready

    @classmethod
    def parse(cls, value: object) -> Held:
        message = fields.record(value, "held")
        digest = fields.text(message, "digest", DIGEST_CHARS_MAX)
        return cls(fields.handle(message), digest, fields.flag(message, "ready"))

    def message(self) -> dict[str, Any]:
        return {"handle": self.handle, "digest": self.digest, "ready": self.ready}


class Attach:
    """First message of a connection: who serves what, and what it holds already."""

    __slots__ = ("client", "held", "model", "pid", "protocol", "stage")

    def __init__(
        self, model: str, stage: str, pid: int, client: str, held: list[Held], protocol: int
    ) -> None:
        self.model = model
        self.stage = stage
        self.pid = pid
        self.client = client
        self.held = held
        self.protocol = protocol

    @classmethod
    def parse(cls, message: dict[str, Any]) -> Attach:
        return cls(
            fields.name_of(message, "model"),
            fields.name_of(message, "stage"),
            fields.integer(message, "pid"),
            fields.text(message, "client", CLIENT_CHARS_MAX),
            [Held.parse(item) for item in fields.items(message, "held", HELD_MAX)],
            fields.integer(message, "protocol"),
        )

    def message(self) -> dict[str, Any]:
        return {
            "op": "attach",
            "protocol": self.protocol,
            "model": self.model,
            "stage": self.stage,
            "pid": self.pid,
            "client": self.client,
            "held": [held.message() for held in self.held],
        }


class Ready:
    """The handle is loaded and warm: this worker can switch to it."""

    __slots__ = ("handle",)

    def __init__(self, handle: int) -> None:
        self.handle = handle

    @classmethod
    def parse(cls, message: dict[str, Any]) -> Ready:
        return cls(fields.handle(message))

    def message(self) -> dict[str, Any]:
        return {"op": "ready", "handle": self.handle}


class Failed:
    """`load` or `warm` raised for the handle; what was served before goes on."""

    __slots__ = ("error", "handle")

    def __init__(self, handle: int, error: str) -> None:
        self.handle = handle
        self.error = error

    @classmethod
    def parse(cls, message: dict[str, Any]) -> Failed:
        return cls(fields.handle(message), fields.text(message, "error", ERROR_CHARS_MAX))

    def message(self) -> dict[str, Any]:
        return {"op": "failed", "handle": self.handle, "error": self.error[:ERROR_CHARS_MAX]}


class Late:
    """`load` or `warm` takes longer than it may, and goes on: `ready` or `failed` may follow."""

    __slots__ = ("error", "handle")

    def __init__(self, handle: int, error: str) -> None:
        self.handle = handle
        self.error = error

    @classmethod
    def parse(cls, message: dict[str, Any]) -> Late:
        return cls(fields.handle(message), fields.text(message, "error", ERROR_CHARS_MAX))

    def message(self) -> dict[str, Any]:
        return {"op": "late", "handle": self.handle, "error": self.error[:ERROR_CHARS_MAX]}


class Switched:
    """The worker answers by this flip since `ns` (CLOCK_MONOTONIC)."""

    __slots__ = ("flip", "handle", "ns")

    def __init__(self, flip: int, handle: int, ns: int) -> None:
        self.flip = flip
        self.handle = handle
        self.ns = ns

    @classmethod
    def parse(cls, message: dict[str, Any]) -> Switched:
        flip, ns = fields.integer(message, "flip"), fields.integer(message, "ns")
        return cls(flip, fields.handle(message), ns)

    def message(self) -> dict[str, Any]:
        return {"op": "switched", "flip": self.flip, "handle": self.handle, "ns": self.ns}


class Released:
    """The last reference to the handle's version is gone: its lease has ended."""

    __slots__ = ("handle",)

    def __init__(self, handle: int) -> None:
        self.handle = handle

    @classmethod
    def parse(cls, message: dict[str, Any]) -> Released:
        return cls(fields.handle(message))

    def message(self) -> dict[str, Any]:
        return {"op": "released", "handle": self.handle}


class Leaving:
    """The worker is about to close: its end is no accident."""

    __slots__ = ()

    @classmethod
    def parse(cls, _message: dict[str, Any]) -> Leaving:
        return cls()

    def message(self) -> dict[str, Any]:
        return {"op": "leaving"}


class Answered:
    """Requests that one version answered since the last message: `buckets` (by
    `latency.BOUNDS_US`) -> how many, `failed` of them, `us` microseconds in all."""

    __slots__ = ("buckets", "failed", "handle", "us")

    def __init__(self, handle: int, failed: int, us: int, buckets: dict[int, int]) -> None:
        self.handle = handle
        self.failed = failed
        self.us = us
        self.buckets = buckets

    @classmethod
    def parse(cls, value: object) -> Answered:
        message = fields.record(value, "versions")
        buckets: dict[int, int] = {}
        for pair in fields.items(message, "buckets", BUCKETS):
            index, count = fields.pair(pair, "buckets")
            if not (0 <= index < BUCKETS and 1 <= count <= REQUESTS_TOLD_MAX) or index in buckets:
                raise WireError(f"field buckets: {pair!r:.40} is no bucket and its count")
            buckets[index] = count
        requests = sum(buckets.values())
        return cls(
            fields.handle(message),
            fields.integer(message, "failed", 0, requests),
            fields.integer(message, "us", 0, requests * int(OBSERVED_S_MAX * 1e6)),
            buckets,
        )

    def message(self) -> dict[str, Any]:
        pairs = [[index, count] for index, count in sorted(self.buckets.items())]
        return {"handle": self.handle, "failed": self.failed, "us": self.us, "buckets": pairs}


class Requests:
    """What the worker's requests came to, by version."""

    __slots__ = ("versions",)

    def __init__(self, versions: list[Answered]) -> None:
        self.versions = versions

    @classmethod
    def parse(cls, message: dict[str, Any]) -> Requests:
        versions = fields.items(message, "versions", VERSIONS_TOLD_MAX)
        return cls([Answered.parse(item) for item in versions])

    def message(self) -> dict[str, Any]:
        return {"op": "requests", "versions": [one.message() for one in self.versions]}


if TYPE_CHECKING:
    Message = Attach | Ready | Failed | Late | Switched | Released | Leaving | Requests

_OPS = {
    "attach": Attach,
    "ready": Ready,
    "failed": Failed,
    "late": Late,
    "switched": Switched,
    "released": Released,
    "leaving": Leaving,
    "requests": Requests,
}


def parse(message: dict[str, Any]) -> Message | None:
    """The typed message, None for an op from a later release."""
    kind = _OPS.get(str(message.get("op")))
    return None if kind is None else kind.parse(message)  # type: ignore[attr-defined]  # each has parse
