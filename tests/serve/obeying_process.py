"""A worker that does with each version what its folder says: `… obeying_process SOCKET FOLDER`.

`load` of version N waits until FOLDER has `N.go`, `N.fail` (it raises) or `N.die` (SIGKILL).
Version 1 needs no word. Reports on each line of stdin; leaves as a program does when stdin ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from cachd.serve.client import Version, attach
from tests.serve.rig import MODEL

loads: list[int] = []


def main(socket_path: str, folder: Path) -> None:
    def load(version: Version) -> int:
        loads.append(version.number)
        while version.number != 1:
            if (folder / f"{version.number}.fail").exists():
                raise ValueError("told to fail")
            if (folder / f"{version.number}.die").exists():
                os.kill(os.getpid(), signal.SIGKILL)
            if (folder / f"{version.number}.go").exists():
                break
            time.sleep(0.005)
        return int(bytes(version.buffer("number.txt")))

    model = attach(MODEL, load=load, socket=socket_path, timeout_s=30)
    print(json.dumps(os.getpid()))
    for _ in sys.stdin:
        with model.acquire() as view:
            assert view.value == view.number
            report = {
                "number": view.number,
                "flip": view.flip,
                "loads": loads,
                "last_error": model.last_error,
            }
        print(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
