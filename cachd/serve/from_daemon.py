"""Messages from the daemon to a worker: made by the host, parsed by the client.

Parsing refuses with WireError; an op that this release does not know parses to None.
"""

from __future__ import annotations

from cachd.serve import fields
from cachd.serve.limits import (
    DIGEST_CHARS_MAX,
    ERROR_CHARS_MAX,
    FILES_LISTED_MAX,
    HANDLE_MAX,
    HELD_MAX,
    PAGE_SLOTS_MAX,
    PATH_CHARS_MAX,
)
from cachd.serve.wire import WireError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Attached:
    """Answer to `attach`, with a read-only descriptor of the flip page.

    `adopted`: the held handles that the daemon knows; all others are of a daemon that is gone for
    good and are served on without a lease until the next switch.
    """

    __slots__ = ("adopted", "grace_s", "incarnation", "slot", "slots")

    def __init__(
        self, slot: int, slots: int, incarnation: int, grace_s: float, adopted: frozenset[int]
    ) -> None:
        self.slot = slot
        self.slots = slots
        self.incarnation = incarnation
        self.grace_s = grace_s
        self.adopted = adopted

    @classmethod
    def parse(cls, message: dict[str, Any]) -> Attached:
        adopted = fields.items(message, "adopted", HELD_MAX)
        return cls(
            fields.integer(message, "slot", 0, PAGE_SLOTS_MAX - 1),
            fields.integer(message, "slots", 1, PAGE_SLOTS_MAX),
            fields.integer(message, "incarnation"),
            fields.seconds(message, "grace_s"),
            frozenset(
                fields.integer({"adopted": item}, "adopted", 1, HANDLE_MAX) for item in adopted
            ),
        )

    def message(self) -> dict[str, Any]:
        return {
            "op": "attached",
            "slot": self.slot,
            "slots": self.slots,
            "incarnation": self.incarnation,
            "grace_s": self.grace_s,
            "adopted": sorted(self.adopted),
        }


class Prepare:
    """Load and warm this version, whose directory comes along as a read-only descriptor.

    `files`: name -> bytes; None where the list did not fit the frame: list the directory.
    `ready_within_s`: what `load` and `warm` may take before the worker is to say that it is late;
    0: no limit.
    """

    __slots__ = (
        "choice",
        "digest",
        "files",
        "flip_hint",
        "generation",
        "handle",
        "number",
        "path",
        "ready_within_s",
    )

    def __init__(
        self,
        handle: int,
        *,
        flip_hint: int,
        generation: int,
        choice: int,
        number: int,
        digest: str,
        path: str,
        files: dict[str, int] | None,
        ready_within_s: float = 0.0,
    ) -> None:
        self.handle = handle
        self.flip_hint = flip_hint
        self.generation = generation
        self.choice = choice
        self.number = number
        self.digest = digest
        self.path = path
        self.files = files
        self.ready_within_s = ready_within_s

    @classmethod
    def parse(cls, message: dict[str, Any]) -> Prepare:
        limited = "ready_within_s" in message
        version = fields.record(message.get("version"), "version")
        return cls(
            fields.handle(message),
            flip_hint=fields.integer(message, "flip_hint"),
            generation=fields.integer(message, "generation"),
            choice=fields.integer(message, "choice"),
            number=fields.integer(version, "number"),
            digest=fields.text(version, "digest", DIGEST_CHARS_MAX),
            path=fields.text(version, "path", PATH_CHARS_MAX),
            files=_files(version) if "files" in version else None,
            ready_within_s=fields.seconds(message, "ready_within_s") if limited else 0.0,
        )

    def message(self) -> dict[str, Any]:
        version: dict[str, Any] = {
            "number": self.number,
            "digest": self.digest,
            "path": self.path,
        }
        if self.files:
            version["files"] = [{"path": path, "size": size} for path, size in self.files.items()]
        return {
            "op": "prepare",
            "handle": self.handle,
            "flip_hint": self.flip_hint,
            "generation": self.generation,
            "choice": self.choice,
            "ready_within_s": self.ready_within_s,
            "version": version,
        }


class Retire:
    """Grace is over: drop the handle. It is released with the last reference to it."""

    __slots__ = ("handle",)

    def __init__(self, handle: int) -> None:
        self.handle = handle

    @classmethod
    def parse(cls, message: dict[str, Any]) -> Retire:
        return cls(fields.handle(message))

    def message(self) -> dict[str, Any]:
        return {"op": "retire", "handle": self.handle}


class Flipped:
    """The word was stored. A hint: a worker that nobody asks anything switches by it."""

    __slots__ = ("flip", "handle")

    def __init__(self, flip: int, handle: int) -> None:
        self.flip = flip
        self.handle = handle

    @classmethod
    def parse(cls, message: dict[str, Any]) -> Flipped:
        return cls(fields.integer(message, "flip"), fields.handle(message))

    def message(self) -> dict[str, Any]:
        return {"op": "flipped", "flip": self.flip, "handle": self.handle}


class Waiting:
    """Why there is nothing to load yet, in words; empty: not known. What is in force serves on."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    @classmethod
    def parse(cls, message: dict[str, Any]) -> Waiting:
        return cls(fields.text(message, "why", ERROR_CHARS_MAX))

    def message(self) -> dict[str, Any]:
        return {"op": "waiting", "why": self.text[:ERROR_CHARS_MAX]}


class Refused:
    """Op `error`: the daemon closes the connection. `again`: trying later can help."""

    __slots__ = ("again", "code", "text")

    def __init__(self, code: str, text: str, *, again: bool) -> None:
        self.code = code
        self.text = text
        self.again = again

    @classmethod
    def parse(cls, message: dict[str, Any]) -> Refused:
        code = fields.text(message, "code", 64)
        text = fields.text(message, "message", ERROR_CHARS_MAX)
        return cls(code, text, again=fields.flag(message, "again"))

    def message(self) -> dict[str, Any]:
        text = self.text[:ERROR_CHARS_MAX]
        return {"op": "error", "code": self.code, "message": text, "again": self.again}


if TYPE_CHECKING:
    Message = Attached | Prepare | Retire | Flipped | Waiting | Refused


def parse(message: dict[str, Any]) -> Message | None:
    """The typed message, None for an op from a later release."""
    kind = _OPS.get(str(message.get("op")))
    return None if kind is None else kind.parse(message)  # type: ignore[attr-defined]  # each has parse


_OPS = {
    "attached": Attached,
    "prepare": Prepare,
    "retire": Retire,
    "flipped": Flipped,
    "waiting": Waiting,
    "error": Refused,
}


def _files(version: dict[str, Any]) -> dict[str, int]:
    files: dict[str, int] = {}
    for item in fields.items(version, "files", FILES_LISTED_MAX):
        entry = fields.record(item, "files")
        files[fields.text(entry, "path", PATH_CHARS_MAX)] = fields.integer(entry, "size")
    if not files:
        raise WireError("a version without files")
    return files
