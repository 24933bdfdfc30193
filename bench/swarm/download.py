"""Runs a downloader (curl, aria2c) as a program of the bench: `python -m bench.swarm.download FILE
COMMAND…`, which makes FILE."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.swarm.parts import take_part


def main(path: Path, command: list[str]) -> None:
    def bring() -> Path:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return path

    take_part(bring)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
