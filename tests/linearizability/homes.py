"""Registries to record histories on: one way to make one for each backend of the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import registry_core
from tests.ledger.postgres_server import PostgresServer

MODEL, VERSIONS = "m", 5


@contextmanager
def lmdb_home(folder: Path) -> Iterator[Path]:
    """A registry below `folder` whose ledger is LMDB."""
    registry_core.init(folder / "registry").close()
    yield folder / "registry"


@contextmanager
def postgres_home(folder: Path) -> Iterator[Path]:
    """A registry below `folder` whose ledger is in a PostgreSQL server of its own."""
    with PostgresServer.in_new_folder() as server:
        registry_core.init(folder / "registry", ledger=server.new_database()).close()
        yield folder / "registry"


HOMES: dict[str, Callable[[Path], AbstractContextManager[Path]]] = {
    "lmdb": lmdb_home,
    "postgres": postgres_home,
}
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
