"""What an operator says of versions in memory, on the command lines of `node` and `dev`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from cachd.memory.budget import parse_budget
from cachd.memory.form import ResidentForm
from cachd.memory.locking import LockMemory
from cachd.memory.settings import MemorySettings
from cachd.memory.standing import MemoryPolicy
from registry_core.errors import InvalidInput

_OPTIONS = (
    click.option("--memory-budget", default="80%", show_default=True, metavar="SIZE|PERCENT%",
                 help="What versions may take of memory: 48GiB, or 80% of the machine's, or of "
                 "what its control group may have."),
    click.option("--memory-policy", type=click.Choice([one.value for one in MemoryPolicy]),
                 default=MemoryPolicy.SHORTEN_GRACE.value, show_default=True,
                 help="When one does not fit: end the grace of what no rollback needs, let "
                 "it wait, or let go of what is prefetched, in grace, or for rollbacks."),
    click.option("--lock-memory", type=click.Choice([one.value for one in LockMemory]),
                 default=LockMemory.AUTO.value, show_default=True,
                 help="Keep the kernel from reclaiming versions: where that is allowed; or not "
                 "start, or serve, without; or not at all."),
    click.option("--resident-form", type=click.Choice([one.value for one in ResidentForm]),
                 default=ResidentForm.FILES.value, show_default=True,
                 help="The cache's own files in memory, or a copy in a tmpfs, for slow disks."),
    click.option("--tmpfs", type=click.Path(path_type=Path), metavar="DIR",
                 help="A directory in a tmpfs that is there, such as /dev/shm/cachd, for "
                 "--resident-form tmpfs.  [default: one is mounted, which takes root]"),
)  # fmt: skip


def memory_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds them; the command gets `memory`, a MemorySettings."""

    @wraps(command)
    def parsed(
        *, memory_budget: str, memory_policy: str, lock_memory: str, resident_form: str,
        tmpfs: Path | None, **others: Any,
    ) -> Any:  # fmt: skip
        form = ResidentForm(resident_form)
        if tmpfs is not None and form is not ResidentForm.TMPFS:
            raise InvalidInput("--tmpfs names where copies go: say --resident-form tmpfs as well")
        memory = MemorySettings(
            parse_budget(memory_budget),
            MemoryPolicy(memory_policy),
            LockMemory(lock_memory),
            form,
            tmpfs.absolute() if tmpfs is not None else None,
        )
        return command(memory=memory, **others)

    options: Callable[..., Any] = parsed
    for option in reversed(_OPTIONS):
        options = option(options)
    return options
