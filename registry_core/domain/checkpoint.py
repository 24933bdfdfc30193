"""The text of a checkpoint: size, root hash and time of the log (C2SP tlog-checkpoint).

    cachd.registry/<registry id>
    <size>
    <root hash, base64>
    time <Unix milliseconds>

The signature around it (C2SP signed-note) is made and checked in `registry_core.trust.note`.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from registry_core.errors import InvalidInput

ORIGIN_PREFIX = "cachd.registry/"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The log of registry `registry` had `size` entries and root `root` (32 bytes) at `time_ms`."""

    registry: str
    size: int
    root: bytes
    time_ms: int

    def text(self) -> str:
        root = base64.b64encode(self.root).decode()
        return f"{ORIGIN_PREFIX}{self.registry}\n{self.size}\n{root}\ntime {self.time_ms}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        lines = text.split("\n")
        if len(lines) != 5 or lines[4] or not lines[0].startswith(ORIGIN_PREFIX):
            raise InvalidInput("checkpoint: not four lines of origin, size, root and time")
        try:
            root = base64.b64decode(lines[2], validate=True)
            size, time_ms = int(lines[1]), int(lines[3].removeprefix("time "))
        except (ValueError, binascii.Error) as error:
            raise InvalidInput("checkpoint: size, root or time is not valid") from error
        checkpoint = cls(lines[0].removeprefix(ORIGIN_PREFIX), size, root, time_ms)
        if checkpoint.text() != text or size < 0 or len(root) != 32:
            raise InvalidInput("checkpoint is not in canonical form")
        return checkpoint
