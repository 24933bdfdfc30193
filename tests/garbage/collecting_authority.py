"""An authority beside which gc runs without any patience, over and over, until told to stop.

    python -m tests.garbage.collecting_authority HOME

The first line of output says where it serves, the last one what gc did.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections import Counter
from pathlib import Path

from cachd.authority.daemon import Authority
from cachd.listen import Address
from cachd.logs import configure_logs
from registry_core.errors import RegistryError
from tests.garbage.rig import CHANGE, IMPATIENT, RUTHLESS, collect_garbage, embedded


class Collector:
    """gc in a thread. `done` counts what it did."""

    def __init__(self, authority: Authority) -> None:
        self._registry = authority._registry
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self.done: Counter[str] = Counter()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        control, origin = embedded(self._registry), self._registry.origin
        while not self._stop.is_set():
            try:
                waits = RUTHLESS if self.done["runs"] % 4 else IMPATIENT
                report = collect_garbage(control, origin, CHANGE, waits=waits)
            except RegistryError as error:
                self.done[f"{type(error).__name__}: {error}"] += 1
                continue
            self.done["runs"] += 1
            self.done["condemned"] += report.packs_condemned
            self.done["deleted"] += report.packs_deleted
            self.done["pardoned"] += report.packs_pardoned
            self.done["documents"] += report.documents_deleted


async def main(home: str) -> None:
    configure_logs("warning")
    authority = Authority(Path(home), Address("127.0.0.1", 0))
    print(json.dumps(await authority.start()), flush=True)
    collector = Collector(authority)
    await asyncio.to_thread(sys.stdin.read)
    await asyncio.to_thread(collector.stop)
    await authority.stop()
    print(json.dumps(collector.done), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
