"""Running the real command as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on standard output."""
        (line,) = self.out.strip().splitlines()
        document: dict[str, Any] = json.loads(line)
        return document


_AS_USER = """
import encodings.unicode_escape, os, sys
import cachctl.commands.init, cachctl.commands.list_models, cachctl.commands.push
import cachctl.errors, cachctl.main, cachctl.output, cachctl.stage_output, registry_core.home
os.setgroups([]); os.setgid({uid}); os.setuid({uid})
cachctl.main.main()
"""  # imported first: the user may not be allowed to read where Python is installed


def cachctl(
    *words: str | Path | int,
    registry: Path | str | None = None,
    uid: int | None = None,
    stdout: IO[bytes] | int = subprocess.PIPE,
) -> Ran:
    """`cachctl` with these words, as this user or as `uid`."""
    program = ["-m", "cachctl"] if uid is None else ["-c", _AS_USER.format(uid=uid)]
    done = subprocess.run(
        [sys.executable, *program, *map(str, words)],
        stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60, env=environment(registry),
        check=False,
    )  # fmt: skip
    return Ran(done.returncode, done.stdout or "", done.stderr)


def environment(registry: Path | str | None) -> dict[str, str]:
    """Without what the shell of whoever runs the tests says of a registry."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("CACHD_")}
    return env if registry is None else env | {"CACHD_REGISTRY": str(registry)}
