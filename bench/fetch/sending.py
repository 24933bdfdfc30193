"""Senders run in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def sending(kind: str, path: Path) -> Iterator[int]:
    """A sender in another process; its port."""
    command = [sys.executable, "-m", "bench.fetch.sender", kind, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()  # tells it to end
            process.wait(10)
