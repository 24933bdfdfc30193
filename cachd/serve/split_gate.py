"""The version that is to answer a share of the requests beside the one in force, on one host.

Two phases, as for a flip: it is prepared in all workers, by the same rules (`preparation`), and
only then does the page name it. Until then, and where it cannot be loaded, the version in force
answers everything. As long as it is wanted no grace ends for it.
Owned by the host's event loop; `StageServing` acts on what this says.
"""

from __future__ import annotations

from math import inf

from cachd.serve.flip_policy import Verdict
from cachd.serve.handle_table import Slot
from cachd.serve.preparation import Preparation


class SplitGate:
    """`coming` None: no split is wanted, or its version is not resident yet. `verdict` on it."""

    def __init__(self) -> None:
        self.coming: Preparation | None = None
        self.verdict: Verdict = "wait"
        self.error: str | None = None
        self._per_mille = 0

    def want(self, coming: Preparation | None, per_mille: int) -> None:
        """What the newest target says."""
        self.coming, self._per_mille = coming, per_mille if coming is not None else 0
        self.verdict, self.error = "wait", None

    @property
    def handle(self) -> int:
        return self.coming.handle if self.coming is not None else 0

    @property
    def share(self) -> tuple[int, int]:
        """What the page is to say, once the verdict is to flip."""
        return self.handle, self._per_mille

    def due(self, slot: Slot) -> bool:
        """Whether the page says something else than is wanted."""
        return (slot.split_handle, slot.split) != self.share

    def hold(self, kept_until_s: dict[int, float], grace_end_s: float) -> None:
        """The wanted version stays; the grace of one that was wanted before begins."""
        for handle in [one for one, end_s in kept_until_s.items() if end_s == inf]:
            kept_until_s[handle] = grace_end_s
        if self.handle:
            kept_until_s[self.handle] = inf
