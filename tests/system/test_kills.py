"""kill -9 of authority, node and worker in the middle of push, fetch and flip: a restart goes on,
`verify` is clean, and workers never see an error."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from cachctl.target import Settings
from cachctl.verification import verify_embedded, verify_node
from registry_core.domain import limits
from registry_core.errors import RegistryError
from registry_core.push.progress import silent
from tests.models import make_model
from tests.system.rig import Rig, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(170)]


def a_seed() -> random.Random:
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    return random.Random(seed)


def big_model(folder: Path, megabytes: int) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(5)
    (folder / "weights.bin").write_bytes(rng.bytes(megabytes << 20))
    return folder


def assert_clean(rig: Rig, *nodes: str) -> None:
    """Everything stopped: the registry and what the nodes keep are sound."""
    registry = Settings(registry=str(rig.folder / "registry"))
    assert verify_embedded(registry, deep=True, progress=silent).problems == []
    for node in nodes:
        rig.fleet.kill(node)
        audit = verify_node(rig.folder / node, silent)
        assert audit.problems == []
        assert audit.versions > 0


def test_authority_and_pusher_killed_in_a_push(tmp_path: Path, rig: Rig) -> None:
    rng = a_seed()
    folder = big_model(tmp_path / "big", 150)
    origin = rig.folder / "registry" / "origin" / "packs"
    keys = str(rig.folder / "registry" / "keys")
    words = [
        sys.executable, "-m", "cachctl", "--registry", rig.url, "--keys", keys,
        "push", str(folder), "--model", "m", "--json",
    ]  # fmt: skip

    pusher = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(lambda: any(path.is_file() for path in origin.rglob("*")) or pusher.poll() == 0)
    os.kill(pusher.pid, signal.SIGKILL)
    pusher.wait()

    pusher = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    time.sleep(rng.random() * 0.4)  # anywhere in the push
    rig.fleet.kill("authority")
    _, said = pusher.communicate(timeout=60)
    if pusher.returncode != 0:
        assert pusher.returncode == 8, said
        assert "cachd authority" in said

    rig.start_authority()
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    with rig.connect() as registry:
        assert [version.number for version in registry.versions("m")] == [1]
    assert_clean(rig)


def test_authority_killed_while_promoting(tmp_path: Path, rig: Rig) -> None:
    rng = a_seed()
    with rig.connect() as registry:
        registry.push(make_model(tmp_path / "v1"), "m")
        registry.push(make_model(tmp_path / "v2", changed=1), "m")
    acknowledged: list[str] = []
    for _ in range(4):
        stop = threading.Event()

        def promote(stop: threading.Event = stop) -> None:
            number = 0
            while not stop.is_set():
                number = 3 - number if number else 1
                try:
                    with rig.connect() as registry:
                        moved = registry.promote("m@production", number)
                    acknowledged.append(str(moved.guard))
                except RegistryError:
                    time.sleep(0.01)

        thread = threading.Thread(target=promote)
        thread.start()
        time.sleep(0.2 + rng.random() * 0.3)
        rig.fleet.kill("authority")
        stop.set()
        thread.join()
        rig.start_authority()
        with rig.connect() as registry:
            stage = registry.stages("m")[0]
        if acknowledged:
            assert stage.guard.generation >= int(acknowledged[-1].partition(".")[0])
    assert len(acknowledged) == len(set(acknowledged)) > 4
    assert_clean(rig)


def test_node_killed_while_it_fetches_goes_on_where_it_was(tmp_path: Path, rig: Rig) -> None:
    rng = a_seed()
    with rig.connect() as registry:
        registry.push(big_model(tmp_path / "big", 200), "m")
        registry.promote("m@production", 1)
    partials = rig.folder / "n1" / "cache" / "partial"
    for _ in range(3):
        rig.start_node("n1")
        eventually(lambda: any(partials.glob("*.have")) or rig.stage_on("n1") is not None)
        time.sleep(rng.random() * 0.15)
        rig.fleet.kill("n1")
    kept = sum(sum(file.read_bytes()) for file in partials.glob("*.have"))
    rig.start_node("n1")
    stage = rig.wait_serving("n1", 1)
    if kept:
        assert stage["bytes_from_origin"] <= (200 << 20) - kept * limits.CHUNK_SMALL
    assert_clean(rig, "n1")


def test_node_and_worker_killed_while_flipping(tmp_path: Path, rig: Rig) -> None:
    rng = a_seed()
    with rig.connect() as registry:
        registry.push(make_model(tmp_path / "v1"), "m")
        registry.push(make_model(tmp_path / "v2", changed=2), "m")
        registry.promote("m@production", 1)
        rig.start_node("n1")
        rig.wait_serving("n1", 1)
        for name in ("w1", "w2"):
            rig.start_worker(name, "n1")
            rig.wait_worker(name, 1, "1.0")
        registry.promote("m@production", 2)
        rig.wait_worker("w1", 2, "2.0")

        for _ in range(4):
            for _ in range(rng.randrange(1, 5)):
                stage = registry.rollback("m@production")
            time.sleep(rng.random() * 0.02)  # anywhere in the flip
            rig.fleet.kill("n1")
            stage = registry.rollback("m@production")
            rig.assert_unharmed("w1")
            rig.start_node("n1")
            rig.wait_worker("w1", stage.in_force.number, str(stage.guard))
            rig.wait_worker("w2", stage.in_force.number, str(stage.guard))

        rig.fleet.kill("w2")
        stage = registry.rollback("m@production")
        rig.wait_worker("w1", stage.in_force.number, str(stage.guard))
        rig.start_worker("w2", "n1")
        rig.wait_worker("w2", stage.in_force.number, str(stage.guard))
        rig.wait_serving("n1", stage.in_force.number, str(stage.guard))
    for name in ("w1", "w2"):
        rig.assert_unharmed(name)
    assert_clean(rig, "n1")
    rig.assert_unharmed("w1")
