"""A worker that does with each version what its folder says.

`python -m tests.serve.obeying_process SOCKET FOLDER [MODEL]`

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
from cachd.serve.warmup import RecordedRequest, replay
from tests.serve.rig import MODEL

loads: list[int] = []
warmed: list[str] = []


def warm(value: int, request: RecordedRequest) -> None:
    warmed.append(f"{value} {request.name} {request.json()}")


def main(socket_path: str, folder: Path, model_name: str = MODEL) -> None:
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
        return version.number

    model = attach(model_name, load=load, warm=replay(warm), socket=socket_path, timeout_s=30)
    print(json.dumps(os.getpid()))
    for _ in sys.stdin:
        with model.acquire() as view:
            assert view.value == view.number
            report = {
                "number": view.number,
                "flip": view.flip,
                "loads": loads,
                "warmed": warmed,
                "last_error": model.last_error,
            }
        print(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
