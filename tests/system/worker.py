"""A worker that acquires as fast as it can and checks that what it holds is one whole version.

`load` reads which version the directory says it is; a line of JSON per switch, error and 0.1 s.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from cachd.serve.client import attach


def load(version: Any) -> str:
    """Something computed from all bytes of the version."""
    root = Path(version.path)
    whole = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.is_file():
            whole.update(version.buffer(path.relative_to(root).as_posix()))
    return whole.hexdigest()


def main(log: str, model_name: str, stage: str) -> None:
    with open(log, "a", buffering=1, encoding="utf-8") as out:  # noqa: PTH123

        def say(**line: Any) -> None:
            out.write(json.dumps(line) + "\n")

        model = attach(model_name, stage=stage, load=load, timeout_s=60)
        contents: dict[str, str] = {}
        digests: dict[int, str] = {}
        last, count, due = None, 0, 0.0
        while True:
            try:
                with model.acquire() as v:
                    guard = f"{v.generation}.{v.choice}"
                    if contents.setdefault(v.digest, v.value) != v.value:
                        say(error=f"{v.digest} has two contents", count=count)
                    if digests.setdefault(v.number, v.digest) != v.digest:
                        say(error=f"version {v.number} has two digests", count=count)
                    if (v.number, guard) != last:
                        last = (v.number, guard)
                        say(number=v.number, guard=guard, digest=v.digest, count=count)
            except Exception as error:
                say(error=repr(error), count=count)
            count += 1
            if time.monotonic() > due:
                due = time.monotonic() + 0.1
                say(count=count, pid=os.getpid())
            time.sleep(0.0002)


if __name__ == "__main__":
    main(*sys.argv[1:4])
