"""Tables for people and JSON for programs on standard output, progress on standard error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click


def emit_json(document: Any) -> None:
    click.echo(json.dumps(document))


def emit_table(title: str, columns: list[str], rows: Iterable[Iterable[str]]) -> None:
    """A table, in colour on a terminal, plain in a pipe."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    console.print(table)


@contextmanager
def progress_bars(*, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A Progress that draws one bar per phase on standard error, where that is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda phase, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn
    from rich.progress import TransferSpeedColumn as Speed

    with Progress(
        "{task.description}", BarColumn(), DownloadColumn(), Speed(), TimeRemainingColumn(),
        console=Console(stderr=True), transient=True,
    ) as bars:  # fmt: skip
        tasks: dict[str, Any] = {}

        def tell(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = bars.add_task(phase, total=total)
            bars.update(tasks[phase], completed=done, total=total)

        yield tell


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
