"""What cachctl itself can fail with, beside the errors of the library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry_core.errors import RegistryError, Stale

if TYPE_CHECKING:
    from registry_core.ledger.records import StageRecord


class StaleStage(Stale):
    """Stale, together with the stage as it is now (None: gone), so that nobody has to ask again."""

    def __init__(self, stale: Stale, stage: StageRecord | None) -> None:
        super().__init__(str(stale), expected=stale.expected, actual=stale.actual)
        self.stage = stage


class OutputUnwritable(RegistryError):
    """Standard output does not take what the command found. What it changed stays changed."""

    code = "output"


def details(error: RegistryError) -> dict[str, Any]:
    """What a program wants to know of `error` beyond its code and message."""
    from cachctl.stage_output import stage_json

    said: dict[str, Any] = {
        name: getattr(error, name) for name in ("expected", "actual") if getattr(error, name, "")
    }
    if isinstance(error, StaleStage) and error.stage is not None:
        said["stage"] = stage_json(error.stage)
    return said
