"""The library in a plain script, alone: no daemon, no event loop."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import registry_core
from tests.models import make_model

SCRIPT = """
import json, sys
import registry_core
with registry_core.init(sys.argv[1], actor="ann") as registry:
    first = registry.push(sys.argv[2], "fraud-detector", tags={"team": "risk"})
    second = registry.push(sys.argv[3], "fraud-detector", notes="retrained")
    registry.promote("fraud-detector@production", 1, reason="first")
    registry.promote("fraud-detector@production", 2, expect="1.0", reason="better")
    registry.rollback("fraud-detector@production", reason="worse")
    resolved = registry.resolve("fraud-detector@production")
    told = [(e.type, e.actor, e.reason) for e in registry.history("fraud-detector", newest=3)]
modules = sorted(name for name in sys.modules if name in ("asyncio", "aiohttp", "uvloop", "click"))
print(json.dumps([resolved.version.number, str(resolved.stage.guard), told, modules]))
"""


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_a_life_in_ten_lines(tmp_path: Path) -> None:
    one, two = make_model(tmp_path / "1", tensors=1), make_model(tmp_path / "2", tensors=1, seed=2)
    done = run(SCRIPT, tmp_path / "registry", one, two)
    assert done.returncode == 0, done.stderr
    number, guard, told, modules = json.loads(done.stdout)
    assert (number, guard) == (1, "2.1")
    assert told == [
        ["stage.chosen", "ann", "worse"],
        ["stage.moved", "ann", "better"],
        ["stage.moved", "ann", "first"],
    ]
    assert modules == [], "the library brings no server and no event loop"
    assert done.stderr == ""


READ = """
import sys, registry_core
with registry_core.open(sys.argv[1], readonly=True) as registry:
    print(registry.resolve("m@production").version.number, flush=True)
    sys.stdin.readline()
    print(registry.resolve("m@production").version.number)
    try:
        registry.promote("m@production", 1)
    except registry_core.RegistryError as error:
        print(error.code, error)
"""


def test_reading_beside_a_writer_in_another_process(tmp_path: Path) -> None:
    with registry_core.init(tmp_path / "registry") as registry:
        for seed in (1, 2):
            registry.push(make_model(tmp_path / str(seed), tensors=1, seed=seed), "m")
        registry.promote("m@production", 1)
        reader = subprocess.Popen(
            [sys.executable, "-c", READ, str(tmp_path / "registry")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert reader.stdout is not None
        assert reader.stdout.readline() == "1\n"
        registry.promote("m@production", 2)
        out, _ = reader.communicate("go on\n", timeout=30)
    assert out.splitlines()[0] == "2"
    assert out.splitlines()[1].startswith("ledger_unavailable the registry was opened read-only")


WRITE = """
import sys, registry_core
try:
    registry_core.open(sys.argv[1])
except registry_core.RegistryError as error:
    print(error.code, error)
"""


def test_a_second_writer_is_told_whom_to_ask(tmp_path: Path) -> None:
    registry_core.init(tmp_path / "registry").close()
    with registry_core.open(tmp_path / "registry", holder="the night shift"):
        done = run(WRITE, tmp_path / "registry")
    assert done.stdout.startswith("ledger_locked the ledger")
    assert "the night shift (process " in done.stdout
