"""The registry in process: what a read costs and what a durable promote costs.

Two figures beside what they are measured against, in one run and on one disk: a promote is a
signature, a log entry, its tables and a signed checkpoint in one transaction, so it cannot be
faster than one write of a few pages and an fdatasync. `--dir` chooses the disk.
Versions are registered through the ledger's own commit path, one transaction each; their files
are not put into an origin, which neither a read nor a promote looks at.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from blake3 import blake3

import registry_core
from registry_core import Registry
from registry_core.changes.versions import Examined, VersionDraft, register_version
from registry_core.domain.identifiers import ChunkId, Digest, ModelName
from registry_core.domain.manifest import Chunk, Manifest, ModelFile
from registry_core.embedded.control import EmbeddedControl
from registry_core.ledger import log
from registry_core.ledger.change import Change
from registry_core.ledger.draft import Draft
from registry_core.trust.keys import SigningKey
from registry_core.trust.oms import sign_version

STAGE = "production"
PROMOTE_BYTES = 24 * 1024  # about what LMDB writes for one promote: the raw write is as large
CHANGE = Change("bench", "", "bench")


def fill(registry: Registry, keys: Path, models: int, versions: int) -> float:
    """Register and promote; milliseconds of one registration (median)."""
    control = registry.control
    assert isinstance(control, EmbeddedControl)
    publisher = SigningKey.load(keys / "publisher.pem")
    taken = []
    for model in range(models):
        name = ModelName(f"model-{model:05}")
        for version in range(versions):
            manifest = _manifest_of(f"{name} {version}".encode())
            bundle = sign_version(manifest, name.text, publisher)
            draft = VersionDraft(name, manifest.digest, Digest.of(bundle), 1 << 20, {}, "")
            began_s = time.perf_counter()
            control.ledger.commit(partial(_register, draft, manifest, publisher.key_id))
            taken.append(time.perf_counter() - began_s)
        registry.promote(f"{name}@{STAGE}", versions)
    return statistics.median(taken) * 1e3


def _register(draft: VersionDraft, manifest: Manifest, publisher: str, commit: Draft) -> None:
    examined = Examined(manifest, publisher, seen=log.log_size(commit.txn))
    register_version(commit, draft, examined, CHANGE)


def _manifest_of(content: bytes) -> Manifest:
    chunk = Chunk(ChunkId(blake3(content).digest()), len(content))
    file = ModelFile("weights.bin", len(content), sha256(content).digest(), (chunk,))
    return Manifest.build([file])


def time_reads(
    registry: Registry, models: int, versions: int, reads: int, rng: random.Random
) -> list[float]:
    """Seconds of each `resolve`, by stage and by number, of models in random order."""
    refs = [f"model-{rng.randrange(models):05}@{STAGE}" for _ in range(reads // 2)]
    refs += [
        f"model-{rng.randrange(models):05}/{rng.randrange(versions) + 1}" for _ in range(reads // 2)
    ]
    rng.shuffle(refs)
    resolve, clock = registry.resolve, time.perf_counter
    taken = []
    for ref in refs:
        began_s = clock()
        resolve(ref)
        taken.append(clock() - began_s)
    return taken


def time_promotes(
    registry: Registry, raw: Callable[[], None], models: int, versions: int, promotes: int,
    rng: random.Random,
) -> tuple[list[float], list[float]]:  # fmt: skip
    """Seconds of each promote and of each raw durable write, taking turns in random order."""
    promoted: list[float] = []
    written: list[float] = []
    for _ in range(promotes):
        stage = f"model-{rng.randrange(models):05}@{STAGE}"
        current = registry.resolve(stage).version.number
        number = current % versions + 1
        steps: list[tuple[list[float], Callable[[], object]]] = [
            (promoted, partial(registry.promote, stage, number)),
            (written, raw),
        ]
        rng.shuffle(steps)
        for taken, act in steps:
            began_s = time.perf_counter()
            act()
            taken.append(time.perf_counter() - began_s)
    return promoted, written


def raw_writer(path: Path) -> tuple[int, Callable[[], None]]:
    """Overwrites PROMOTE_BYTES in place and makes them durable, as LMDB does with its pages."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    block = os.urandom(PROMOTE_BYTES)
    os.pwrite(descriptor, block, 0)
    os.fsync(descriptor)

    def write() -> None:
        os.pwrite(descriptor, block, 0)
        os.fdatasync(descriptor)

    return descriptor, write


def run(scratch: Path, options: argparse.Namespace) -> dict[str, Any]:
    rng = random.Random(options.seed)
    scratch.mkdir()
    home = scratch / "registry"
    descriptor, raw = raw_writer(scratch / "raw")
    with registry_core.init(home, actor="bench") as registry:
        register_ms = fill(registry, home / "keys", options.models, options.versions)
        time_reads(registry, options.models, options.versions, 2_000, rng)
        reads = time_reads(registry, options.models, options.versions, options.reads, rng)
        promotes, raws = time_promotes(
            registry, raw, options.models, options.versions, options.promotes, rng
        )
    os.close(descriptor)
    read_us, promote_ms = percentiles(reads, 1e6), percentiles(promotes, 1e3)
    raw_ms = percentiles(raws, 1e3)
    return {
        "inprocess_read_p50_us": read_us[50],
        "inprocess_read_p95_us": read_us[95],
        "promote_p50_ms": promote_ms[50],
        "promote_p95_ms": promote_ms[95],
        "fdatasync_p50_ms": raw_ms[50],
        "fdatasync_p95_ms": raw_ms[95],
        "promote_bar_ms": round(2 * raw_ms[95] + 1, 3),
        "register_p50_ms": round(register_ms, 3),
        "versions": options.models * options.versions,
    }


def percentiles(taken_s: Sequence[float], scale: float) -> dict[int, float]:
    """The 50th, 95th and 99th."""
    cuts = statistics.quantiles(taken_s, n=100)
    return {percent: round(cuts[percent - 1] * scale, 3) for percent in (50, 95, 99)}
