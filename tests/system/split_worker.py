"""A worker whose users stick: acquires for fifty users and for nobody, checks what it gets, tells
how it went, and writes which version each user has whenever that changes.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from cachd.serve.client import attach
from tests.system.worker import load

USERS = [f"user-{number}" for number in range(50)]


class Guard:
    """What one worker has seen: a digest has one content, a number one digest, ever."""

    def __init__(self, said: Any) -> None:
        self.said = said
        self.contents: dict[str, str] = {}
        self.digests: dict[int, str] = {}

    def check(self, view: Any) -> None:
        if self.contents.setdefault(view.digest, view.value) != view.value:
            self.said(error=f"{view.digest} has two contents", count=0)
        if self.digests.setdefault(view.number, view.digest) != view.digest:
            self.said(error=f"version {view.number} has two digests", count=0)


def main(log: str, model_name: str, stage: str) -> None:
    with open(log, "a", buffering=1, encoding="utf-8") as out:  # noqa: PTH123

        def say(**line: Any) -> None:
            out.write(json.dumps(line) + "\n")

        model = attach(model_name, stage=stage, load=load, timeout_s=60)
        guard, last, count = Guard(say), None, 0
        while True:
            try:
                flips, numbers = set(), []
                for user in USERS:
                    began = time.perf_counter()
                    with model.acquire(user) as view, model.acquire() as other:
                        guard.check(view)
                        guard.check(other)
                        flips.add((view.flip, other.flip))
                        numbers.append(view.number)
                    view.observe(ok=view.number != 2, seconds=time.perf_counter() - began)
                    count += 1
                at = f"{view.generation}.{view.choice}"
                if len(flips) == 1 and (at, numbers) != last:
                    last = (at, numbers)
                    say(guard=at, numbers=numbers, count=count, pid=os.getpid())
            except Exception as error:
                say(error=repr(error), count=count)
            say(count=count)
            time.sleep(0.005)


if __name__ == "__main__":
    main(*sys.argv[1:4])
