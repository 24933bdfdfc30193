"""A region on real links: needs root, and iproute2 and nftables."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.network.region import Region, Version, push_version

LACKING = [name for name in ("ip", "tc", "nft") if shutil.which(name) is None]


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return push_version(tmp_path_factory.mktemp("source"))


@pytest.fixture
def region(tmp_path: Path, version: Version) -> Iterator[Region]:
    """Four hosts and an origin, 200 Mbit/s each."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    if LACKING:
        pytest.skip(f"network namespaces need {', '.join(LACKING)} (Debian: iproute2 nftables)")
    with Region(tmp_path, version, nodes=4) as made:
        yield made
