from __future__ import annotations

import pytest

from tests.demo.rig import SEED, Versions


@pytest.fixture(scope="session")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Versions:
    print(f"seed {SEED}")
    return Versions(tmp_path_factory.mktemp("versions"))
