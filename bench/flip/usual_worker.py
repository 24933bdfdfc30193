"""A worker of the usual way: `python -m bench.flip.usual_worker FOLDER SOCKET`.

Polls FOLDER/current, reads what it points at into its own memory in a thread, and swaps a
reference.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from cachctl.demo.forward import Forward, make_forward
from cachctl.demo.worker import serve

_POLL_S = 0.25


class View:
    """What `cachctl.demo.worker` needs of a view."""

    choice = 0

    def __init__(self, at: int, number: int, forward: Forward) -> None:
        self.generation, self.number, self.value = at, number, forward
        self.digest = bytes([number] * 32).hex()

    def __enter__(self) -> View:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class Polled:
    """`acquire` as an attachment has it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._view = self._load(str((folder / "current").readlink()))
        threading.Thread(target=self._poll, daemon=True).start()

    def acquire(self) -> View:
        return self._view

    def _poll(self) -> None:
        while True:
            time.sleep(_POLL_S)
            at = str((self._folder / "current").readlink())
            if int(at) != self._view.generation:
                self._view = self._load(at)
                (self._folder / f"loaded-{at}-{os.getpid()}").touch()

    def _load(self, at: str) -> View:
        place = self._folder / at
        names = ["config.json", "model.safetensors"]
        read: dict[str, Any] = {name: memoryview((place / name).read_bytes()) for name in names}
        forward = make_forward(names, read.__getitem__)
        for _ in range(3):
            forward(np.arange(16, dtype=np.int32))
        return View(int(at), int((place / "number").read_text(encoding="ascii")), forward)


if __name__ == "__main__":
    serve(Polled(Path(sys.argv[1])), sys.argv[2])
