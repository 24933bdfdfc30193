"""Registries to record histories on: one way to make one for each backend of the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import registry_core

MODEL, VERSIONS = "m", 5


@contextmanager
def lmdb_home(folder: Path) -> Iterator[Path]:
    """A registry below `folder` whose ledger is LMDB."""
    registry_core.init(folder / "registry").close()
    yield folder / "registry"


HOMES: dict[str, Callable[[Path], AbstractContextManager[Path]]] = {"lmdb": lmdb_home}
"""By the backend's name: the home of a new registry, for as long as the context lasts (a database
server that it needs runs as long). `cachd authority --home` is all that is asked of it."""


def fill(home: Path, scratch: Path) -> None:
    """Push VERSIONS small versions of MODEL, for promoters to choose from."""
    with registry_core.open(home) as registry:
        for number in range(VERSIONS):
            directory = scratch / f"files-{number}"
            directory.mkdir()
            (directory / "weights.bin").write_bytes(b"version %d" % number)
            registry.push(directory, MODEL)
