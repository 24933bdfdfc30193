"""What people run: aria2c and sha256sum, and huggingface_hub, each in a process of its own.

aria2        `aria2c -x8 -s8` from nginx, then `sha256sum -c`
aria2_alone  without sha256sum, which may be the slower half
hf           `huggingface_hub.snapshot_download` from the same nginx; it verifies no hash

Neither syncs what it writes. The programs are running before a turn begins (importing is no part
of it), and what they brought is compared after it has ended.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.fetch.source import Source
from bench.fetch.turn import Turn
from bench.fetch.web_server import REPO

Rival = Callable[[Path, Source, str], Turn]
"""(a folder of its own that is not there yet, what to bring, nginx's address)."""

_CONNECTIONS = 8


def available() -> dict[str, Rival]:
    """Those that can run here."""
    return {name: rival for name, rival in _ALL.items() if name not in missing()}


def missing() -> dict[str, str]:
    """Those that cannot, and why."""
    found: dict[str, str] = {}
    if shutil.which("aria2c") is None:
        why = "there is no aria2c on the PATH (Debian: aria2)"
        found |= dict.fromkeys(("aria2", "aria2_alone"), why)
    if importlib.util.find_spec("huggingface_hub") is None:
        found["hf"] = "huggingface_hub is not installed: run `make bench-setup`"
    if shutil.which("nginx") is None:
        found |= dict.fromkeys(_ALL, "there is no nginx on the PATH (Debian: nginx-light)")
    return found


def _aria2(folder: Path, source: Source, address: str) -> Turn:
    path = folder / source.file.name
    sums = folder.with_suffix(".sha256")
    sums.write_text(f"{source.sha256}  {path}\n")
    both = (
        f"{shlex.join(_download(path, address))} && sha256sum --quiet -c {shlex.quote(str(sums))}"
    )
    try:
        return _take_turn(folder, source, ["bench.swarm.download", str(path), "sh", "-c", both])
    finally:
        sums.unlink()


def _aria2_alone(folder: Path, source: Source, address: str) -> Turn:
    path = folder / source.file.name
    command = ["bench.swarm.download", str(path), *_download(path, address)]
    return _take_turn(folder, source, command)


def _download(path: Path, address: str) -> list[str]:
    return ["aria2c", "-q", f"-x{_CONNECTIONS}", f"-s{_CONNECTIONS}", "-k1M",
            "--file-allocation=none", "-d", str(path.parent), "-o", path.name,
            f"{address}/{path.name}"]  # fmt: skip


def _hf(folder: Path, source: Source, address: str) -> Turn:
    environment = {
        "HF_ENDPOINT": address, "HF_HOME": str(folder), "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
    }  # fmt: skip
    command = ["bench.fetch.hub_client", REPO, source.file.name, str(folder)]
    return _take_turn(folder, source, command, environment)


_ALL: dict[str, Rival] = {"aria2": _aria2, "aria2_alone": _aria2_alone, "hf": _hf}


def _take_turn(
    folder: Path, source: Source, command: list[str], environment: Mapping[str, str] | None = None
) -> Turn:
    """One turn of a program that speaks as `bench.swarm.parts` says; `folder` is its own."""
    folder.mkdir()
    env = os.environ | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    env |= environment or {}
    try:
        with subprocess.Popen(
            [sys.executable, "-m", *command], env=env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        ) as program:  # fmt: skip
            assert program.stdin is not None
            _hear(program)
            began_s = time.monotonic()
            program.stdin.write("go\n")
            program.stdin.flush()
            done = _hear(program)
            program.stdin.close()
            end = _hear(program)
    finally:
        shutil.rmtree(folder)
    if end["sha256"] != source.sha256:
        raise RuntimeError(f"{command[0]} brought another file")
    return Turn(done["done_s"] - began_s, end["user_s"] + end["system_s"])


def _hear(program: subprocess.Popen[str]) -> dict[str, Any]:
    assert program.stdout is not None
    line = program.stdout.readline()
    if not line:
        raise RuntimeError("a program of the bench ended early: see what it says above")
    said: dict[str, Any] = json.loads(line)
    return said
