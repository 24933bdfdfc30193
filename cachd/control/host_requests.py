"""What is asked of the daemon of a host at its control socket, and what it answers.

Frames are those of the workers' socket (`cachd.serve.wire`), without descriptors. Parsing refuses
with WireError.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from cachd.control.reports import StageReport
from cachd.serve import fields
from cachd.serve.wire import WireError
from registry_core.domain.identifiers import StageRef
from registry_core.errors import RegistryError

PROTOCOL = 1
SOCKET_NAME = "control.sock"
ROLLBACK, UNDO, LOOK = "rollback", "undo", "look"
REASON_CHARS_MAX = 1_000
CALLERS_MAX = 16
CALL_S_MAX = 60.0
"""Of one connection, however many requests it carries."""


@dataclass(frozen=True, slots=True)
class HostRequest:
    """`rollback`, `undo` or `look` at one stage."""

    op: str
    ref: StageRef
    reason: str = ""

    def message(self) -> dict[str, Any]:
        return {
            "op": self.op, "protocol": PROTOCOL, "model": self.ref.model.text,
            "stage": self.ref.stage.text, "reason": self.reason,
        }  # fmt: skip

    @classmethod
    def parse(cls, message: dict[str, Any]) -> HostRequest:
        if message.get("protocol") != PROTOCOL:
            raise WireError(
                f"the daemon speaks protocol {PROTOCOL}, not {message.get('protocol')!r:.20}: use "
                "the same release of cachctl and cachd"
            )
        op = message.get("op")
        if op not in (ROLLBACK, UNDO, LOOK):
            raise WireError(f"{op!r:.40} cannot be asked: {ROLLBACK}, {UNDO} or {LOOK}")
        ref = f"{fields.name_of(message, 'model')}@{fields.name_of(message, 'stage')}"
        return cls(str(op), StageRef.parse(ref), fields.text(message, "reason", REASON_CHARS_MAX))


def stage_message(report: StageReport) -> dict[str, Any]:
    """The answer to any request: the stage as it now is on this host."""
    return {"op": "stage", "report": msgspec.to_builtins(report)}


def error_message(error: RegistryError) -> dict[str, Any]:
    return {"op": "error", "code": error.code, "message": str(error)}
