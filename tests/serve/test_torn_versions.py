"""Torn and mixed versions are impossible: workers that compare every file, under flips without a
pause, and processes that hammer one slot of the flip page.

Short by default; CI gives CACHD_TORN_S (seconds of flips) and CACHD_PAGE_READS (per reader)."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cachd.serve.flip_page import FlipPage
from cachd.serve.resident import ResidentVersion
from tests.serve.checking_process import by_directory
from tests.serve.page_hammer import TAG
from tests.serve.rig import HostProcess, LineProcess, target, until

TORN_S = float(os.environ.get("CACHD_TORN_S") or 5)
PAGE_READS = int(os.environ.get("CACHD_PAGE_READS") or 400_000)
WORKERS, VERSIONS, FILES, READERS = 2, 5, 12, 3
pytestmark = [pytest.mark.slow, pytest.mark.timeout(TORN_S + PAGE_READS / 10_000 + 120)]


@pytest.fixture
def running() -> Iterator[list[LineProcess]]:
    processes: list[LineProcess] = []
    yield processes
    for process in processes:
        process.kill()


def make_versions(root: Path, rng: random.Random) -> list[ResidentVersion]:
    """The same names and sizes in all of them, so that only bytes tell them apart."""
    sizes = {f"part{at % 3}/{at}.bin": rng.choice((0, 1, 4096, 70_000)) for at in range(FILES)}
    made = []
    for number in range(1, VERSIONS + 1):
        digest = "sha256:" + hashlib.sha256(b"version %d" % number).hexdigest()
        folder = root / "versions" / str(number)
        for name, size in sizes.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(rng.randbytes(size))
        made.append(ResidentVersion(number, digest, str(folder), sizes))
    return made


def test_every_file_is_of_one_version_under_flips_without_a_pause(
    tmp_path: Path, running: list[LineProcess], seed: int
) -> None:
    rng = random.Random(seed)
    versions = make_versions(tmp_path, rng)
    known = tmp_path / "known.json"
    hashes = {version.digest: by_directory(Path(version.path)) for version in versions}
    known.write_text(json.dumps(hashes), encoding="utf-8")
    host = HostProcess(tmp_path / "run")
    running.append(host)
    host.set_target(target(1, 0, versions[0]))
    socket_path = str(tmp_path / "run" / "cachd.sock")
    workers = [
        LineProcess("tests.serve.checking_process", socket_path, str(known)) for _ in range(WORKERS)
    ]
    running += workers
    for worker in workers:
        assert worker.read() == "attached"

    flips = flip_for(TORN_S, host, versions, rng)
    reports = [worker.ask("report") for worker in workers]
    print(f"{flips} flips; {reports}")
    for report in reports:
        assert report["faults"] == []
        assert report["checks"] > 20
        assert report["switches"] > 10


def flip_for(
    seconds: float, host: HostProcess, versions: list[ResidentVersion], rng: random.Random
) -> int:
    """Moves to random versions, each with a burst of rollbacks to and fro; how many flips."""
    generation, in_force = 1, versions[0]
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        generation += 1
        new = rng.choice([version for version in versions if version is not in_force])
        flip = host.observed()["flip"]
        host.set_target(target(generation, 0, new, in_force))
        until(lambda before=flip: host.observed()["flip"] > before, "the move's flip")
        choices = rng.randrange(6)
        for choice in range(1, choices + 1):
            pair = (in_force, new) if choice % 2 else (new, in_force)
            host.set_target(target(generation, choice, *pair))
        in_force = in_force if choices % 2 else new
    return int(host.observed()["flip"])


def hammer(path: Path, writer: str, reads: int) -> tuple[int, list[dict[str, Any]]]:
    """Flips written, and what each reader says."""
    FlipPage.create_or_open(str(path), 1, incarnation=1).close()
    page = FlipPage.create_or_open(str(path), 1, incarnation=1)
    page.claim(0, TAG)
    page.close()

    def start(*words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.serve.page_hammer", *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip

    writing = start(writer, str(path))
    word: Callable[[], bytes] = lambda: path.read_bytes()[64:72]  # noqa: E731
    until(lambda: word() != bytes(8), "the first flip")
    try:
        readers = [start("read", str(path), str(reads)) for _ in range(READERS)]
        reports = [json.loads(reader.communicate()[0]) for reader in readers]
        return json.loads(writing.communicate("enough\n")[0])["flips"], reports
    finally:
        writing.kill()


def test_no_reader_of_the_page_sees_a_mixture_or_goes_back(tmp_path: Path) -> None:
    flips, reports = hammer(tmp_path / "page", "write", PAGE_READS)
    print(f"{flips} flips; {reports}")
    for report in reports:
        assert report["faults"] == []
        assert report["words"] >= PAGE_READS
        assert report["switches"] > 100


def test_the_hammer_knows_a_torn_word_when_it_sees_one(tmp_path: Path) -> None:
    _, reports = hammer(tmp_path / "page", "write-torn", 2_000_000)
    assert any(report["faults"] for report in reports)
