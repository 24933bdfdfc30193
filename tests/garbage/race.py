"""Pushing processes against gc: real processes, one authority, any origin."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

PUSHERS = 4


class Program:
    """`python -m module words…`: lines out, until its standard input is closed."""

    def __init__(self, module: str, *words: str | Path, env: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, words)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(env),
        )  # fmt: skip

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        said: dict[str, Any] = json.loads(self._process.stdout.readline())
        return said

    def finish(self) -> dict[str, Any]:
        """Tell it to stop; the last line of what it said."""
        out, _ = self._process.communicate(timeout=60)
        assert self._process.returncode == 0
        said: dict[str, Any] = json.loads(out.splitlines()[-1])
        return said

    @property
    def alive(self) -> bool:
        return self._process.poll() is None


def race(
    folder: Path, seed: int, for_s: float, env: Mapping[str, str] | None = None
) -> tuple[Counter[str], Counter[str]]:
    """Run it on the registry in `folder`/registry; what the pushers and what gc did."""
    home, whole = folder / "registry", dict(os.environ) | dict(env or {})
    pushed: Counter[str] = Counter()
    with ExitStack() as stack:
        authority = stack.enter_context(
            Program("tests.garbage.collecting_authority", home, env=whole)
        )
        url = authority.line()["url"]
        pushers = [
            stack.enter_context(
                Program(
                    "tests.garbage.pushing_process",
                    url,
                    home / "keys",
                    folder / f"files-{number}",
                    f"m{number % 3}",
                    str(seed + number),
                    env=whole,
                )
            )
            for number in range(PUSHERS)
        ]
        deadline_s = time.monotonic() + for_s
        while time.monotonic() < deadline_s and all(one.alive for one in pushers):
            time.sleep(0.1)  # the race's length, and no wait for anything
        for pusher in pushers:
            pushed.update(pusher.finish())
        collected = Counter(authority.finish())
    return pushed, collected
