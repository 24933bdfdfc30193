from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from cachd.serve import client

ROOT = Path(__file__).parents[2]
MODULES = """
import json, sys
before = set(sys.modules)
import cachd.serve.client
print(json.dumps(sorted(set(sys.modules) - before)))
"""
MODULES_MAX = 55
"""Beyond those that every interpreter has: half a millisecond each."""


def python(code: str, cache: Path) -> str:
    # -S: without what the test environment's .pth files import before anything else.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(cache)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # installed packages have bytecode
    command = [sys.executable, "-S", "-c", code]
    return subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True
    ).stdout


def test_standard_library_only(tmp_path: Path) -> None:
    imported = json.loads(python(MODULES, tmp_path))
    foreign = [
        name
        for name in imported
        if name.partition(".")[0] not in sys.stdlib_module_names
        and name != "cachd"
        and not name.startswith("cachd.serve")
    ]
    assert foreign == []
    host_side = {"cachd.serve.host", "cachd.serve.handle_table", "cachd.serve.resident"}
    slow = {"asyncio", "typing", "dataclasses", "inspect", "pathlib", "logging", "hashlib"}
    assert not (host_side | slow) & set(imported)
    assert len(imported) <= MODULES_MAX


def test_what_the_client_exports() -> None:
    assert client.__all__ == [
        "AttachError",
        "AttachTimeout",
        "Attached",
        "Closed",
        "FileRefused",
        "ForkedAfterAttach",
        "Incompatible",
        "InvalidArgument",
        "LoadFailed",
        "NotAllowed",
        "NotServed",
        "Version",
        "View",
        "aattach",
        "attach",
    ]
