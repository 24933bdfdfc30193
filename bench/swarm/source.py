"""Makes the file that all systems distribute."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import registry_core
from bench.swarm.systems import Source

FILE = "weights.bin"
_STEP = 1 << 20


def make_source(folder: Path, size: int) -> Source:
    """`size` bytes of noise, pushed to a new registry with a `file://` origin, and its torrents."""
    sha256 = hashlib.sha256()
    model = folder / "model"
    model.mkdir(parents=True)
    with (model / FILE).open("wb") as file:
        for start in range(0, size, _STEP):
            data = os.urandom(min(_STEP, size - start))
            file.write(data)
            sha256.update(data)
    with registry_core.init(folder / "registry", actor="bench") as registry:
        pushed = registry.push(model, "swarm").version
        source = Source(folder, FILE, size, sha256.hexdigest(), pushed.digest, pushed.bundle)
    (folder / FILE).hardlink_to(model / FILE)
    for name, piece_bytes in (("default", 0), ("tuned", 1 << 20)):
        _make_torrent(folder / FILE, folder / f"{name}.torrent", piece_bytes)
    return source


def _make_torrent(path: Path, torrent: Path, piece_bytes: int) -> None:
    import libtorrent

    storage = libtorrent.file_storage()
    libtorrent.add_files(storage, str(path))
    made = libtorrent.create_torrent(storage, piece_bytes)
    libtorrent.set_piece_hashes(made, str(path.parent))
    torrent.write_bytes(libtorrent.bencode(made.generate()))
