"""What all stages of a host share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cachd.serve.flip_events import FlipEvent
from cachd.serve.flip_page import FlipPage
from cachd.serve.flip_rules import FlipRules
from cachd.serve.handle_table import HandleTable
from cachd.serve.runtime_dir import RuntimeDir


@dataclass(frozen=True, slots=True)
class Desk:
    """Owned by the host's event loop, as all that stages do with it."""

    table: HandleTable
    page: FlipPage
    runtime: RuntimeDir
    grace_of: Callable[[str, str], float]
    rules: Callable[[str, str], FlipRules]
    on_event: Callable[[FlipEvent], None]
    readopt_until_s: float
    rejoin_until_s: float  # workers of an earlier life of the host may not be back yet
    clock: Callable[[], float]
    on_change: Callable[[], None]
    pinned: Callable[[str], bool]  # by digest: workers keep it past its grace
