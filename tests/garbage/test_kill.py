"""gc and pushes that are killed: the next run goes on, and nothing that is needed is lost."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import registry_core
from registry_core import Registry
from registry_core.changes import garbage
from registry_core.domain.identifiers import Digest
from registry_core.errors import Condemned
from registry_core.ledger.check import check_ledger
from tests.garbage.rig import HOUR_MS, RUTHLESS, documents, embedded, gc, make_files, packs, verify

ROUNDS = 6
PUSH = """
import sys, registry_core
def tell(phase, done, total):
    if phase == "upload":
        print(done, flush=True)
        sys.stdin.readline()  # so that the process is surely there when it is killed
registry_core.open(sys.argv[1]).push(sys.argv[2], "m", progress=tell)
"""


def scatter_garbage(registry: Registry, rng: random.Random, count: int) -> None:
    """Objects that nobody refers to, written without waiting for the disk."""
    root = Path(registry.origin.url.removeprefix("file://"))
    for _ in range(count):
        name = rng.randbytes(32).hex()
        folder = root / "packs" / name[:2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def kill_gc(home: Path, batches: int, delay_s: float) -> None:
    """A process that runs gc, killed so long after it has deleted so many batches."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.garbage.collecting_process", str(home)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for _ in range(1 + batches):
        assert process.stdout.readline()
    time.sleep(delay_s)  # any instant will do: it is the seed's
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_gc_that_is_killed_anywhere_is_gone_on_with(tmp_path: Path, seed: int) -> None:
    rng, home = random.Random(seed), tmp_path / "registry"
    registry_core.init(home).close()
    interrupted = 0
    for round_number in range(ROUNDS):
        with registry_core.open(home) as registry:
            for number in range(3):
                files = make_files(tmp_path / f"{round_number}.{number}", rng.sample(range(12), 3))
                try:
                    made = registry.push(files, f"m{number}").version
                except Condemned:
                    gc(registry, waits=RUTHLESS)  # finishes what the killed one had begun
                    made = registry.push(files, f"m{number}").version
                if number:
                    registry.metadata.delete(f"{made.model}/{made.number}")
            scatter_garbage(registry, rng, 700)
        kill_gc(home, round_number % 3, rng.random() * 0.1 if round_number % 3 == 0 else 0.0)
        with registry_core.open(home) as registry:
            assert verify(registry).problems == []
            with embedded(registry).ledger.read() as txn:
                assert check_ledger(txn).problems == []
                interrupted += bool(garbage.condemned(txn) or garbage.condemned_manifests(txn))
    with registry_core.open(home) as registry:
        for _ in range(2):
            gc(registry, waits=RUTHLESS)
        report = verify(registry)
        assert report.problems == []
        live = {v.digest for m in registry.models() for v in registry.versions(m.name)}
        assert len(documents(registry)) == 3 * len(live)
        assert len(packs(registry)) <= 12
        with embedded(registry).ledger.read() as txn:
            assert garbage.condemned(txn) == {}
            assert garbage.condemned_manifests(txn) == []
    assert interrupted, "at least one was cut off in the middle"


@pytest.mark.timeout(120)
def test_what_a_killed_push_left_goes_when_it_is_too_old(tmp_path: Path) -> None:
    home, files = tmp_path / "registry", make_files(tmp_path / "files", range(5))
    registry_core.init(home).close()
    process = subprocess.Popen(
        [sys.executable, "-c", PUSH, str(home), str(files)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert int(process.stdout.readline()) > 0
    process.kill()
    process.communicate()
    with registry_core.open(home) as registry:
        (left,) = packs(registry)
        half = home / "origin" / f"{left}#1"
        half.write_bytes(b"what was being written")
        for later_ms in (0, 2 * HOUR_MS, 23 * HOUR_MS):
            report = gc(registry, later_ms=later_ms)
            assert (report.packs_condemned, report.leftovers_deleted) == (0, 0), later_ms
        report = gc(registry, later_ms=25 * HOUR_MS)
        assert (report.pushes_ended, report.packs_condemned) == (1, 1)
        assert (report.leftovers_deleted, half.exists()) == (1, False)
        assert [model.model for model in report.models] == [""], "of no version"
        report = gc(registry, later_ms=27 * HOUR_MS)
        assert (report.packs_deleted, packs(registry)) == (1, set())
        assert registry.push(files, "m").version.number == 1
        assert Digest.parse(registry.resolve("m/1").version.digest)
        assert verify(registry).problems == []
