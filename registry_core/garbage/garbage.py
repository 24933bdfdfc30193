"""Collecting garbage as a script asks for it.

registry.garbage.collect(dry_run=True).bytes_condemned
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from registry_core.control.garbage import Collecting, GcReport
from registry_core.control.protocol import Control
from registry_core.domain.identifiers import Digest
from registry_core.embedded.control import EmbeddedControl
from registry_core.errors import InvalidInput
from registry_core.garbage.collect import collect_garbage
from registry_core.ledger.change import Change
from registry_core.origin.store import Origin
from registry_core.push.progress import Progress, silent


class Garbage:
    """`Registry.garbage`."""

    def __init__(self, control: Control, origin: Origin, change: Callable[[str], Change]) -> None:
        self._control = control
        self._origin = origin
        self._change = change

    def collect(
        self,
        *,
        dry_run: bool = False,
        protected: Collection[Digest] = (),
        reason: str = "",
        progress: Progress = silent,
    ) -> GcReport:
        """Delete from the origin what no version needs, or with `dry_run` say what would go.

        What nothing refers to is condemned now and deleted by a run an hour later at the earliest.
        An authority protects by itself what its nodes hold; `protected` is for a registry without
        one."""
        change = self._change(reason)
        if isinstance(self._control.garbage, Collecting):
            return self._control.garbage.collect(change, dry_run=dry_run, progress=progress)
        if not isinstance(self._control, EmbeddedControl):
            raise InvalidInput("this registry cannot collect garbage")
        return collect_garbage(
            self._control, self._origin, change,
            dry_run=dry_run, protected=protected, progress=progress,
        )  # fmt: skip
