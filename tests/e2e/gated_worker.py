"""A worker that says which version it began to load and waits for a file before it has loaded it.

`python gated_worker.py LOG GATES`: version N is loaded once GATES/N exists.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from cachd.serve.client import attach


def main(log: str, gates: str) -> None:
    with Path(log).open("a", buffering=1, encoding="utf-8") as out:

        def say(**line: Any) -> None:
            out.write(json.dumps(line) + "\n")

        def load(version: Any) -> int:
            say(loading=version.number)
            while not Path(gates, str(version.number)).exists():
                time.sleep(0.005)
            return int(version.number)

        model = attach("m", stage="production", load=load, timeout_s=60)
        last = None
        while True:
            with model.acquire() as v:
                guard = f"{v.generation}.{v.choice}"
                if (v.number, guard) != last:
                    last = (v.number, guard)
                    say(number=v.number, value=v.value, guard=guard)
            time.sleep(0.002)


if __name__ == "__main__":
    main(*sys.argv[1:3])
