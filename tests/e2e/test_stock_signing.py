"""`model_signing verify key`, the tool that others use, over what a node serves: the bundle is the
origin's, the directory is the one that workers get."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from registry_core.domain.identifiers import Digest
from registry_core.origin.layout import bundle_key
from tests.models import make_model
from tests.system.rig import Rig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


class Served:
    """Version 1 of a model, pushed, promoted and served by n1; version 2 is pushed only."""

    def __init__(self, rig: Rig, folder: Path) -> None:
        with rig.connect() as registry:
            first = registry.push(make_model(folder / "v1", tensors=2), "m").version
            second = registry.push(make_model(folder / "v2", tensors=2, changed=1), "m").version
            registry.promote("m@production", 1)
        rig.start_node("n1")
        rig.wait_serving("n1", 1)
        origin = rig.folder / "registry" / "origin"
        digest = Digest.parse(first.digest)
        self.bundle = origin / bundle_key(digest)
        self.bundle_of_second = origin / bundle_key(Digest.parse(second.digest))
        self.directory = rig.folder / "n1" / "cache" / "versions" / digest.hex
        self.keys = rig.folder / "registry" / "keys"

    def copy(self, folder: Path) -> Path:
        """The served directory, writable."""
        shutil.copytree(self.directory, folder)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        return folder

    def verdict(
        self, directory: Path, bundle: Path, key: str = "publisher"
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "model_signing", "verify", "key", str(directory),
             "--signature", str(bundle), "--public_key", str(self.keys / f"{key}.pem.pub")],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def accepts(self, directory: Path, bundle: Path, key: str = "publisher") -> bool:
        """Refusals must be verdicts of the tool, not a failure to run it."""
        done = self.verdict(directory, bundle, key)
        said = (done.stdout + done.stderr).lower()
        assert "traceback" not in said, said
        assert ("succeeded" in said) == (done.returncode == 0), said
        return done.returncode == 0


def test_the_stock_tool_accepts_what_a_node_serves_and_nothing_else(
    rig: Rig, tmp_path: Path
) -> None:
    served = Served(rig, tmp_path)
    assert served.accepts(tmp_path / "v1", served.bundle), "as pushed"
    assert served.accepts(served.directory, served.bundle), "as served"
    assert not served.accepts(served.directory, served.bundle_of_second)
    assert not served.accepts(served.directory, served.bundle, "promoter")

    copy = served.copy(tmp_path / "copy")
    assert served.accepts(copy, served.bundle), "the copy itself is sound"
    weights = copy / "model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[len(changed) // 2] ^= 1
    weights.write_bytes(changed)
    assert not served.accepts(copy, served.bundle), "one bit of the weights"

    copy = served.copy(tmp_path / "more")
    (copy / "sub" / "more.py").write_text("import os\n", encoding="utf-8")
    assert not served.accepts(copy, served.bundle), "a file that nobody signed"

    damaged = bytearray(served.bundle.read_bytes())
    damaged[damaged.index(b'"payload"') + 40] ^= 1
    (tmp_path / "damaged.sig").write_bytes(damaged)
    assert not served.accepts(served.directory, tmp_path / "damaged.sig"), "one bit of the bundle"
