"""The process of the load, from the side of whoever conducts the bench."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

from bench.flip.open_loop import Phase, References, Tally, serve_load

T = TypeVar("T")


class LoadProcess:
    """A context manager."""

    def __init__(self, sockets: dict[str, str], references: References) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=serve_load, args=(theirs, sockets, references), daemon=True
        )
        self._process.start()
        theirs.close()
        self._pipe.recv()  # it runs

    def __enter__(self) -> LoadProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if kind is None:
            self._pipe.send(None)
            self._process.join(10)
        self._process.kill()
        self._pipe.close()

    def during(self, phase: Phase, act: Callable[[], T]) -> tuple[Tally, T, float]:
        """What requests saw while `act` ran, what it returned, and how long it took."""
        self._pipe.send(phase)
        began = time.monotonic()
        came = act()
        took_s = time.monotonic() - began
        self._pipe.send("enough")
        tally: Tally = self._pipe.recv()
        return tally, came, took_s
