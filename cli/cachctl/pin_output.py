"""How pins are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cachctl.output import time_text
from registry_core.domain.limits import NO_END_MS

if TYPE_CHECKING:
    from registry_core.ledger.records import PrefetchRecord


def pin_json(pin: PrefetchRecord) -> dict[str, Any]:
    return {
        "version": f"{pin.model}/{pin.number}",
        "region": pin.region,
        "until_ms": None if pin.until_ms == NO_END_MS else pin.until_ms,
        "actor": pin.actor,
        "reason": pin.reason,
    }


def until_text(pin: PrefetchRecord) -> str:
    return "until unpinned" if pin.until_ms == NO_END_MS else f"until {time_text(pin.until_ms)}"
