"""`cachctl verify`: a registry, or what a node keeps, from end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cachctl import exits
from cachctl.output import emit_json, emit_line, progress_bars, size_text
from cachctl.target import Settings, with_settings
from cachctl.verification import (
    Verification,
    verify_embedded,
    verify_node,
    verify_remote,
)
from registry_core.backup.gather import LOG_PHASE
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
            found = verify_node(node_data, progress)
        elif settings.is_remote:
            found = verify_remote(settings, root_file=root_file, deep=deep, progress=progress)
        else:
            found = verify_embedded(settings, deep=deep, progress=progress)
    if settings.as_json:
        emit_json(_json(found))
    else:
        _emit(found)
    return exits.INTEGRITY if found.problems else exits.OK


def _json(found: Verification) -> dict[str, Any]:
    return {
        "clean": not found.problems,
        "entries": found.entries,
        "versions": found.versions,
        "chunks": found.chunks,
        "bytes_read": found.bytes_read,
        "problems": found.problems,
    }


def _emit(found: Verification) -> None:
    read = f", {size_text(found.bytes_read)} read" if found.bytes_read else ""
    emit_line(
        f"{found.entries} log entries, {found.versions} versions, {found.chunks} chunks{read}"
    )
    for problem in found.problems:
        emit_line(f"problem: {problem}")
    emit_line("clean" if not found.problems else f"{len(found.problems)} problem(s)")
