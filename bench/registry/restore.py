"""A lost authority comes back: from `cachctl restore` to the first read of the authority after it.

A registry of so many models and versions is backed up into its origin; its directory is taken away;
`cachctl restore` makes it anew of the backup, verifying every entry, and an authority is started on
it. Real processes, as an operator would run them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import registry_core
from bench.registry.in_process import STAGE, fill
from bench.registry.systems import Client
from cachctl.demo.fleet import Fleet
from registry_core.backup.writer import BackupWriter
from registry_core.embedded.control import EmbeddedControl


def run(folder: Path, models: int, versions: int) -> dict[str, Any]:
    folder.mkdir()
    home, keys, origin = folder / "registry", folder / "keys", folder / "origin"
    with registry_core.init(home, origin=origin.as_uri(), actor="bench") as registry:
        fill(registry, home / "keys", models, versions)
        control = registry.control
        assert isinstance(control, EmbeddedControl)
        began_s = time.perf_counter()
        entries = BackupWriter(control.ledger, control.root(), registry.origin).run_once()
        backup_s = time.perf_counter() - began_s
    shutil.copytree(home / "keys", keys)
    shutil.rmtree(home)
    began_s = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "cachctl", "restore", str(home), "--origin", origin.as_uri(),
         "--keys", str(keys), "--json"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    replay_s = time.perf_counter() - began_s
    with Fleet(folder) as fleet:
        said = fleet.start_daemon(
            "authority", "authority", "--home", str(home), "--listen", "127.0.0.1:0"
        )
        client = Client("127.0.0.1", int(str(said["url"]).rpartition(":")[2]))
        answer = client.expect("GET", f"/v1/resolve?ref=model-00000@{STAGE}")
        assert answer["version"]["number"] == versions
        restore_s = time.perf_counter() - began_s
    return {
        "restore_s": round(restore_s, 2),
        "restore_replay_s": round(replay_s, 2),
        "restore_entries": entries,
        "backup_whole_s": round(backup_s, 2),
    }
