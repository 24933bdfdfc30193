"""A worker in a process of its own: `python -m tests.serve.worker_process SOCKET THREADS`.

Its threads acquire without pause; each view must be one version: what `load` read from the files,
number, digest and the generation that the tests give that number. Reports on each line of stdin.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

from cachd.serve.client import Attached, Version, View, attach
from tests.serve.rig import MODEL

loads: list[int] = []


def load(version: Version) -> tuple[str, int, bytes]:
    loads.append(version.number)
    digest = bytes(version.buffer("digest.txt")).decode()
    return (
        digest,
        int(bytes(version.buffer("number.txt"))),
        bytes(version.buffer("onnx/weights.bin")),
    )


def fault(view: View[tuple[str, int, bytes]]) -> str | None:
    digest, number, weights = view.value
    whole = digest == view.digest and number == view.number
    if not whole or weights[:4] != number.to_bytes(4, "little"):
        return f"{view!r} has the value of {number} ({digest})"
    # The tests put odd numbers in force by choice 0 and even ones by choice 1, where they flip.
    if view.choice != (number + 1) % 2:
        return f"{view!r} pairs version and move of two flips"
    return None


class Loop:
    """One thread's endless requests."""

    def __init__(self, model: Attached[Any]) -> None:
        self.model = model
        self.calls = 0
        self.faults: list[str] = []
        self.last_flip = 0
        self.last_number = 0
        self.gap_max_s = 0.0
        threading.Thread(target=self.run, daemon=True).start()

    def run(self) -> None:
        last_s = time.monotonic()
        while len(self.faults) < 5:
            try:
                with self.model.acquire() as view:
                    wrong = fault(view)
                    if view.flip < self.last_flip:
                        wrong = f"flip {view.flip} after {self.last_flip}"
                    self.last_flip, self.last_number = view.flip, view.number
            except Exception as error:  # whatever it is, the test must hear of it
                wrong = repr(error)
            if wrong:
                self.faults.append(wrong)
            self.calls += 1
            if self.calls % 64 == 0:  # leave the two cores of a small machine to the others, too
                now_s = time.monotonic()
                self.gap_max_s = max(self.gap_max_s, now_s - last_s)
                last_s = now_s
                time.sleep(0.0005)


def main(socket_path: str, threads: int) -> None:
    model = attach(MODEL, load=load, socket=socket_path, timeout_s=30)
    loops = [Loop(model) for _ in range(threads)]
    print(json.dumps("attached"))
    for _ in sys.stdin:
        report = {
            "calls": sum(loop.calls for loop in loops),
            "faults": [fault for loop in loops for fault in loop.faults],
            "flip": min(loop.last_flip for loop in loops),
            "number": loops[0].last_number,
            "loads": loads,
        }
        print(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
