"""A pushing process is killed in the middle: nothing is registered, the next push goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import registry_core
from registry_core.verify import verify_versions
from tests.models import MIB
from tests.push.test_push import objects, packs

PUSH = """
import sys, registry_core
def tell(phase, done, total):
    if phase == "upload":
        print(done, flush=True)
        sys.stdin.readline()  # so that the process is surely there when it is killed
registry_core.open(sys.argv[1]).push(sys.argv[2], "m", progress=tell)
"""


@pytest.mark.timeout(120)
def test_a_push_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    with (files / "w.bin").open("wb") as file:
        for _ in range(150):  # three packs, of which two travel at a time
            file.write(os.urandom(MIB))
    source = sorted(files.rglob("*"))
    home = tmp_path / "registry"
    registry_core.init(home).close()
    process = subprocess.Popen(
        [sys.executable, "-c", PUSH, str(home), str(files)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert int(process.stdout.readline()) > 0, "one pack is in the origin"
    process.send_signal(signal.SIGKILL)
    process.communicate()

    there = packs(home)
    assert 1 <= len(there) <= 2
    assert objects(home) == there, "manifest, bundle and hint come last"
    with registry_core.open(home) as registry:
        (model,) = registry.models()
        assert (model.name, model.last_number) == ("m", 0), "announced, and nothing registered"
        report = registry.push(files, "m")
        policy, versions = registry.control.policy(), registry.versions("m")
        assert verify_versions(registry.origin, policy, versions, deep=True).problems == []
    after = packs(home)
    assert len(after) == 3
    assert there.items() <= after.items(), "what was there was not written again"
    new = sum(size for name, (size, _) in after.items() if name not in there)
    assert (report.created, report.bytes_uploaded) == (True, new)
    assert sorted(files.rglob("*")) == source
