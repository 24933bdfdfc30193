"""What an operator says of versions in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cachd.cache.quota import Quota
from cachd.memory.budget import BUDGET_DEFAULT
from cachd.memory.form import ResidentForm
from cachd.memory.locking import LockMemory
from cachd.memory.standing import MemoryPolicy


@dataclass(frozen=True, slots=True)
class MemorySettings:
    """`tmpfs`: an existing one to keep versions in; None: one is mounted in the runtime
    directory."""

    budget: Quota = BUDGET_DEFAULT
    policy: MemoryPolicy = MemoryPolicy.SHORTEN_GRACE
    lock: LockMemory = LockMemory.AUTO
    form: ResidentForm = ResidentForm.FILES
    tmpfs: Path | None = None
