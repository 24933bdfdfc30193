"""What makes one run of a node distinct from another: its incarnation, counted on disk."""

from __future__ import annotations

import os
from pathlib import Path


def next_incarnation(file: Path) -> int:
    """One more than the last start's number, made durable before it is used."""
    try:
        last = int(file.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        last = 0
    aside = file.with_suffix(".tmp")
    with aside.open("w", encoding="ascii") as out:
        out.write(f"{last + 1}\n")
        out.flush()
        os.fsync(out.fileno())
    aside.replace(file)
    return last + 1
