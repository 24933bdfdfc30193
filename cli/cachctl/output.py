"""Tables for people and JSON for programs on standard output, progress on standard error.

Whatever people and other hosts wrote into the log (reasons, tags, names) is shown as text: no
control character reaches a terminal, and nothing in it is markup.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, TaskID

_PIPE_COLUMNS = 10_000  # a pipe gets each row on one line


def emit_json(document: Any) -> None:
    _write(json.dumps(document))


def emit_line(text: str) -> None:
    """Text for people; it may have several lines."""
    _write("\n".join(printable(line) for line in text.split("\n")))


def emit_table(title: str, columns: list[str], rows: Iterable[Iterable[str]]) -> None:
    """A table, fitted to the terminal; in a pipe plain, with each row on one line."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    screen = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if screen else _PIPE_COLUMNS
    drawn = io.StringIO()
    Console(file=drawn, force_terminal=screen, width=width, highlight=False).print(table)
    lines = [line.rstrip() for line in drawn.getvalue().splitlines()]
    _write("\n".join([printable(title), *lines] if title else lines))


def printable(text: str) -> str:
    """`text` with everything that does not print, as ESC or a line's end, written as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _write(text: str) -> None:
    from cachctl.errors import OutputUnwritable

    try:
        click.echo(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        _forget_stdout()
        raise OutputUnwritable(
            f"standard output cannot be written ({error.strerror}): the command itself was done"
        ) from error


def _forget_stdout() -> None:
    """What is still buffered would fail once more while the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def progress_bars(
    *, quiet: bool, counted: tuple[str, ...] = ()
) -> Iterator[Callable[[str, int, int], None]]:
    """A Progress that draws what is under way on standard error, where that is a terminal.

    Phases are in bytes, those named in `counted` in pieces.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda phase, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
        TextColumn("{task.description}", markup=False), BarColumn(), _amount(counted),
        TimeRemainingColumn(), console=Console(stderr=True), transient=True,
    ) as bars:  # fmt: skip
        yield _Bars(bars).tell


class _Bars:
    """One bar per phase; those that are full make room for the next. Any thread may tell."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()  # guards the two above

    def tell(self, phase: str, done: int, total: int) -> None:
        with self._lock:
            if phase not in self._tasks:
                self._remove_full()
                self._tasks[phase] = self._bars.add_task(phase, total=total)
            self._bars.update(self._tasks[phase], completed=done, total=total)

    def _remove_full(self) -> None:
        for task in self._bars.tasks:
            if task.finished:
                self._bars.remove_task(self._tasks.pop(task.description))


def _amount(counted: tuple[str, ...]) -> ProgressColumn:
    """`12.0 MB of 90.9 MB, 80.1 MB/s`, or `120 of 4000` for what is counted."""
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Amount(ProgressColumn):
        def render(self, task: Task) -> Text:
            done, total = int(task.completed), int(task.total or 0)
            if task.description in counted:
                return Text(f"{done} of {total}")
            speed = f", {size_text(int(task.speed))}/s" if task.speed else ""
            return Text(f"{size_text(done)} of {size_text(total)}{speed}")

    return Amount()


def size_text(count: int) -> str:
    """Bytes as people read them: `312.0 MB`."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def time_text(time_ms: int) -> str:
    """Unix milliseconds as UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def age_text(time_ms: int) -> str:
    seconds = max(0, round(time.time() - time_ms / 1000))
    return f"{seconds} s ago" if seconds < 120 else f"{seconds // 60} min ago"
