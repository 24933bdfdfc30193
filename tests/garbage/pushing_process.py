"""Pushes versions that share files with others, and deletes some, until told to stop.

    python -m tests.garbage.pushing_process URL KEYS FOLDER MODEL SEED

Says at the end what it did.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import threading
from collections import Counter
from pathlib import Path

from cachd.control.remote import connect
from registry_core.errors import Condemned, Conflict, NotFound
from registry_core.trust.keys import Keyring
from tests.garbage.rig import FILES, make_files


def main(url: str, keys: str, folder: str, model: str, seed: str) -> None:
    rng, done, stop = random.Random(int(seed)), Counter[str](), threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    with connect(url, Keyring(Path(keys)), f"pusher-{seed}") as registry:
        while not stop.is_set():
            files = Path(folder)
            shutil.rmtree(files, ignore_errors=True)
            make_files(files, rng.sample(range(FILES), rng.randint(1, 4)))
            try:
                report = registry.push(files, model)
                done["created" if report.created else "known"] += 1
                done["uploads"] += report.bytes_uploaded > 0
            except Condemned:
                done["refused"] += 1
            if rng.random() < 0.9:
                try:
                    version = rng.choice(registry.versions(model))
                    registry.metadata.delete(f"{model}/{version.number}")
                    done["deleted"] += 1
                except (IndexError, Conflict, NotFound):
                    done["not deleted"] += 1
    print(json.dumps(done), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
