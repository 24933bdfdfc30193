"""A real authority that is killed and started again on the same port, within milliseconds."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

_ANSWER_S = 30.0


class KilledAuthority:
    """`cachd authority` on `home`. A context manager: it runs within, and leaving kills it."""

    def __init__(self, home: Path, log: Path) -> None:
        self._home, self._log = home, log
        self.url = ""

    def __enter__(self) -> KilledAuthority:
        program = "tests.linearizability.authority_forking_process"
        with self._log.open("a", encoding="utf-8") as log:
            self._forking = subprocess.Popen(
                [sys.executable, "-m", program, str(self._home)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        try:
            self.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._end()

    def start(self) -> None:
        """It serves at `url` when this returns, at the same one each time."""
        self.url = self._ask(f"start {self.url.removeprefix('http://') or '127.0.0.1:0'}")["url"]

    def kill(self) -> None:
        """kill -9; it is gone when this returns."""
        self._ask("kill")

    def _end(self) -> None:
        self._forking.communicate(timeout=_ANSWER_S)  # the end of its input is its end

    def _ask(self, what: str) -> dict[str, Any]:
        asked, answers = self._forking.stdin, self._forking.stdout
        assert asked is not None
        assert answers is not None
        asked.write(f"{what}\n")
        asked.flush()
        ready, _, _ = select.select([answers], [], [], _ANSWER_S)
        line = answers.readline() if ready else ""
        assert line, f"no answer to {what!r}; the authority last said:\n{self._last_words()}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]
