"""What all tests of the library share."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import registry_core
from cachctl.demo.fleet import Fleet
from registry_core import Registry
from tests.ledger.postgres_server import PostgresServer
from tests.system.rig import Rig

# Without hypothesis' limit of 200 ms for an example: it would be a timed test, of the machine.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture
def seed() -> int:
    """Printed, so that a failure shows it; CACHD_TEST_SEED repeats a run."""
    value = int(os.environ.get("CACHD_TEST_SEED") or random.randrange(2**32))
    print(f"CACHD_TEST_SEED={value}")
    return value


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL server; `new_database()` gives the URL of an empty database."""
    with PostgresServer.in_new_folder() as server:
        yield server


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """A new registry in `tmp_path`/registry, with its origin inside."""
    with registry_core.init(tmp_path / "registry", actor="tester") as made:
        yield made


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A new registry in `tmp_path`/registry behind a real authority."""
    with Fleet(tmp_path) as fleet:
        yield Rig.begin(tmp_path, fleet)
