"""Runs gc over and over, without patience, until it is killed.

    python -m tests.garbage.collecting_process HOME

Says when it is about to begin, and after each batch of packs that it has deleted.
"""

from __future__ import annotations

import sys

import registry_core
from registry_core.garbage.collect import PACKS_PHASE
from tests.garbage.rig import CHANGE, RUTHLESS, collect_garbage, embedded


def tell(phase: str, done: int, total: int) -> None:
    if phase == PACKS_PHASE:
        print("batch", flush=True)


def main(home: str) -> None:
    with registry_core.open(home) as registry:
        print("begin", flush=True)
        while True:
            collect_garbage(
                embedded(registry), registry.origin, CHANGE, waits=RUTHLESS, progress=tell
            )


if __name__ == "__main__":
    main(sys.argv[1])
