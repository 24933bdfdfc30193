"""Small models that share files, and gc without patience."""

from __future__ import annotations

import random
import threading
from collections.abc import Collection
from pathlib import Path

from registry_core import Registry
from registry_core.control.garbage import GcReport
from registry_core.domain.identifiers import Digest
from registry_core.embedded.control import EmbeddedControl
from registry_core.garbage.collect import collect_garbage
from registry_core.garbage.plan import Waits
from registry_core.ledger.change import Change
from registry_core.verify import VerifyReport, verify_versions

HOUR_MS = 3600 * 1000
CHANGE = Change("tester", "a test", "")
IMPATIENT = Waits(condemned_ms=0, push_ms=24 * HOUR_MS, margin_ms=0)
RUTHLESS = Waits(condemned_ms=0, push_ms=24 * HOUR_MS, margin_ms=-24 * HOUR_MS)
"""Not even what is being uploaded counts as young: what is left is what the log guards."""
FILES = 12
FILE_BYTES = 3_000


def make_files(folder: Path, numbers: Collection[int]) -> Path:
    """A directory with those of a fixed dozen of files; each is a chunk of its own."""
    folder.mkdir(parents=True)
    for number in numbers:
        content = random.Random(number).randbytes(FILE_BYTES + number)
        (folder / f"{number}.bin").write_bytes(content)
    return folder


def embedded(registry: Registry) -> EmbeddedControl:
    assert isinstance(registry.control, EmbeddedControl)
    return registry.control


def gc(
    registry: Registry, *, later_ms: int = 0, protected: Collection[Digest] = (),
    waits: Waits | None = None, cancel: threading.Event | None = None,
) -> GcReport:  # fmt: skip
    """A run as it would be `later_ms` from now."""
    control = embedded(registry)
    with control.ledger.read() as txn:
        now_ms = txn.time_ms() + later_ms
    return collect_garbage(
        control, registry.origin, CHANGE, protected=protected, waits=waits, cancel=cancel,
        now_ms=now_ms,
    )  # fmt: skip


def verify(registry: Registry) -> VerifyReport:
    """Every live version of every model, to the last byte."""
    versions = [version for model in registry.models() for version in registry.versions(model.name)]
    return verify_versions(registry.origin, registry.control.policy(), versions, deep=True)


def packs(registry: Registry) -> set[str]:
    return {found.key for found in registry.origin.list("packs")}


def documents(registry: Registry) -> set[str]:
    return {found.key for found in registry.origin.list("manifests")}
