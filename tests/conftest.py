"""What all tests of the library share."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import registry_core
from registry_core import Registry
from tests.ledger.postgres_server import PostgresServer, programs_folder


@pytest.fixture
def seed() -> int:
    """Printed, so that a failure shows it; CACHD_TEST_SEED repeats a run."""
    value = int(os.environ.get("CACHD_TEST_SEED") or random.randrange(2**32))
    print(f"CACHD_TEST_SEED={value}")
    return value


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A real PostgreSQL server; `new_database()` gives the URL of an empty database."""
    if programs_folder() is None:
        missing = "PostgreSQL's server programs are not installed (Debian: postgresql)"
        if os.environ.get("REQUIRE_ALL_TESTS"):
            pytest.fail(missing)
        pytest.skip(missing)
    home = Path(tempfile.mkdtemp(prefix="cachd-postgres-"))  # readable by the server's own user
    server = PostgresServer(home)
    yield server
    server.stop()
    shutil.rmtree(home)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """A new registry in `tmp_path`/registry, with its origin inside."""
    with registry_core.init(tmp_path / "registry", actor="tester") as made:
        yield made
