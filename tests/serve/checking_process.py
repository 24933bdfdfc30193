"""A worker that compares every file of every version it sees with what that version is known to
hold: `python -m tests.serve.checking_process SOCKET KNOWN.json`. Reports on each line of stdin.

By all ways at once: what `load` read when it ran, the buffers, the descriptors, the directory, and
`current/`, resolved once. KNOWN is digest -> path -> SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from cachd.serve.client import Version, View, attach
from tests.serve.rig import MODEL, STAGE

Hashes = dict[str, str]


def sha256(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


def load(version: Version) -> Hashes:
    return {name: sha256(version.buffer(name)) for name in version.files}


def by_directory(root: Path) -> Hashes:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {path.relative_to(root).as_posix(): sha256(path.read_bytes()) for path in files}


def by_descriptors(view: View[Any]) -> Hashes:
    return {name: sha256(os.pread(view.fd(name), size + 1, 0)) for name, size in view.files.items()}


class Checker:
    """`run` until the process ends; the numbers may be read at any time."""

    def __init__(self, socket_path: Path, known: dict[str, Hashes]) -> None:
        self.model = attach(MODEL, load=load, socket=str(socket_path), timeout_s=30)
        self.current = socket_path.parent / "current" / MODEL / STAGE
        self.known = known
        self.checks = self.files = self.switches = 0
        self.faults: list[str] = []
        self._flip = 0

    def run(self) -> None:
        while len(self.faults) < 5:
            try:
                self._check()
            except Exception as error:  # whatever it is, the test must hear of it
                self.faults.append(repr(error))

    def _check(self) -> None:
        with self.model.acquire() as view:
            self._compare(repr(view), view.value, view.digest)
            self._compare(f"buffers of {view!r}", load(view.loaded.version), view.digest)
            self._compare(f"descriptors of {view!r}", by_descriptors(view), view.digest)
            self._compare(f"directory of {view!r}", by_directory(Path(view.path)), view.digest)
        directory = self.current.resolve()
        digest = "sha256:" + hashlib.sha256(f"version {directory.name}".encode()).hexdigest()
        self._compare(f"current, {directory}", by_directory(directory), digest)
        if view.flip < self._flip:
            self.faults.append(f"flip {view.flip} after {self._flip}")
        self.switches += view.flip != self._flip
        self._flip = view.flip
        self.checks += 1

    def _compare(self, what: str, seen: Hashes, digest: str) -> None:
        self.files += len(seen)
        if seen != self.known[digest]:
            self.faults.append(f"{what} is not wholly {digest}")


def main(socket_path: str, known: str) -> None:
    checker = Checker(Path(socket_path), json.loads(Path(known).read_text(encoding="utf-8")))
    threading.Thread(target=checker.run, daemon=True).start()
    print(json.dumps("attached"))
    for _ in sys.stdin:
        names = ("checks", "files", "switches", "faults")
        print(json.dumps({name: getattr(checker, name) for name in names}))


if __name__ == "__main__":
    main(*sys.argv[1:3])
