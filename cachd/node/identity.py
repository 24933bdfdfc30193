"""What makes one run of a node distinct from another: its incarnation, counted on disk."""

from __future__ import annotations

from pathlib import Path

from cachd.node.durable import replace_durably


def next_incarnation(file: Path) -> int:
    """One more than the last start's number, made durable before it is used."""
    try:
        last = int(file.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        last = 0
    replace_durably(file, f"{last + 1}\n".encode())
    return last + 1
