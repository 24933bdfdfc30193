"""`cachctl verify`: a registry, or what a node keeps, from end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cachctl import exits
from cachctl.audit import Audit, audit_embedded, audit_node, audit_remote
from cachctl.output import emit_json, progress_bars, size_text
from cachctl.target import Settings, with_settings


@click.command(name="verify")
@click.option("--deep", is_flag=True, help="Read and hash every chunk in the origin.")
@click.option(
    "--node",
    "node_data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The data directory of a stopped node: verify its replica and cache.",
)
@with_settings
def command(settings: Settings, deep: bool, node_data: Path | None) -> int:
    """Replay the log and compare everything with it; check every version's documents and packs.

    Works beside a running authority. Exits with 7 and a list if anything is wrong.

    \b
    Examples:
      cachctl verify
      cachctl verify --deep --registry http://127.0.0.1:7420
      cachctl verify --node /var/lib/cachd
    """
    with progress_bars(quiet=bool(settings.as_json)) as progress:
        if node_data is not None:
            audit = audit_node(node_data, progress)
        elif settings.is_remote:
            audit = audit_remote(settings, deep=deep, progress=progress)
        else:
            audit = audit_embedded(settings, deep=deep, progress=progress)
    if settings.as_json:
        emit_json(_json(audit))
    else:
        _emit(audit)
    return exits.INTEGRITY if audit.problems else exits.OK


def _json(audit: Audit) -> dict[str, Any]:
    return {
        "clean": not audit.problems,
        "entries": audit.entries,
        "versions": audit.versions,
        "chunks": audit.chunks,
        "bytes_read": audit.bytes_read,
        "problems": audit.problems,
    }


def _emit(audit: Audit) -> None:
    read = f", {size_text(audit.bytes_read)} read" if audit.bytes_read else ""
    click.echo(
        f"{audit.entries} log entries, {audit.versions} versions, {audit.chunks} chunks{read}"
    )
    for problem in audit.problems:
        click.echo(f"problem: {problem}")
    click.echo("clean" if not audit.problems else f"{len(audit.problems)} problem(s)")
