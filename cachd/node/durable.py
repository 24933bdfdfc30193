"""Small files of a node that survive a crash whole: the old content or the new."""

from __future__ import annotations

import os
from pathlib import Path

from cachd.cache.layout import sync_folder


def replace_durably(file: Path, data: bytes) -> None:
    """`file` holds `data`, on disk, when this returns. One writer at a time."""
    aside = file.with_suffix(".tmp")
    with aside.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    aside.replace(file)
    sync_folder(file.parent)
