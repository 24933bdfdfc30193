"""`cachctl verify`: a registry, or what a node keeps, from end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cachctl import exits
from cachctl.audit import LOG_PHASE, Audit, audit_embedded, audit_node, audit_remote
from cachctl.output import emit_json, emit_line, progress_bars, size_text
from cachctl.target import Settings, with_settings
from registry_core.errors import InvalidInput


@click.command(name="verify")
@click.option("--deep", is_flag=True, help="Read and hash every chunk in the origin.")
@click.option(
    "--node",
    "node_data",
    type=click.Path(path_type=Path, readable=False),
    metavar="DIR",
    help="A node's data directory: verify its replica and its cache instead.",
)
@click.option(
    "--root",
    "root_file",
    type=click.Path(path_type=Path, readable=False),
    metavar="FILE",
    help="The root.json that an authority must answer to.  [default: the one it shows]",
)
@with_settings
def command(settings: Settings, deep: bool, node_data: Path | None, root_file: Path | None) -> int:
    """Replay the log and compare everything with it; check every version's documents and packs.

    Reads only, and works beside a running authority or node. Exits with 7 and a list if anything
    is wrong.

    \b
    Examples:
      cachctl verify
      cachctl verify --deep --registry http://127.0.0.1:7420 --root root.json
      cachctl verify --node /var/lib/cachd
    """
    if root_file is not None and (node_data is not None or not settings.is_remote):
        raise InvalidInput("--root is for a registry behind an authority: --registry http://…")
    with progress_bars(quiet=bool(settings.as_json), counted=(LOG_PHASE,)) as progress:
        if node_data is not None:
            audit = audit_node(node_data, progress)
        elif settings.is_remote:
            audit = audit_remote(settings, root_file=root_file, deep=deep, progress=progress)
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
    emit_line(
        f"{audit.entries} log entries, {audit.versions} versions, {audit.chunks} chunks{read}"
    )
    for problem in audit.problems:
        emit_line(f"problem: {problem}")
    emit_line("clean" if not audit.problems else f"{len(audit.problems)} problem(s)")
