"""`cachctl restore`: a registry, from its backup and from what nodes hold of its log."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cachctl.output import emit_json, emit_line, progress_bars
from cachctl.pairs import parse_pairs
from cachctl.target import Settings, with_settings
from cachctl.times import parse_time_ms
from registry_core.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from registry_core.backup.gather import Until
    from registry_core.backup.restore import Restored
    from registry_core.backup.sources import Source
    from registry_core.domain.policy import Root
    from registry_core.origin.store import Origin


@click.command(name="restore")
@click.argument("home", type=click.Path(path_type=Path))
@click.option(
    "--origin",
    "origin_url",
    required=True,
    metavar="URL",
    help="The registry's origin, which holds its backup and its files.",
)
@click.option(
    "--origin-option",
    "origin_options",
    multiple=True,
    metavar="K=V",
    help="As `cachctl init` takes them.",
)
@click.option(
    "--id",
    "registry_id",
    default="",
    metavar="ID",
    help="Of several registries in the origin, this one.",
)
@click.option(
    "--line",
    default="",
    metavar="LINE",
    help="Of several backup lines, this one.  [default: the one written to last]",
)
@click.option(
    "--from-node",
    "nodes",
    multiple=True,
    metavar="DIR|URL",
    help="What a node has: its data directory, or where it answers reads.",
)
@click.option(
    "--root",
    "root_file",
    type=click.Path(path_type=Path, readable=False),
    metavar="FILE",
    help="root.json, if the origin holds no backup.",
)
@click.option("--at", metavar="SEQUENCE|TIME", help="Up to this entry, or this moment (UTC).")
@click.option("--partial", is_flag=True, help="Even if entries are known to be missing.")
@with_settings
def command(
    settings: Settings, home: Path, origin_url: str, origin_options: tuple[str, ...],
    registry_id: str, line: str, nodes: tuple[str, ...], root_file: Path | None, at: str | None,
    partial: bool,
) -> int:  # fmt: skip
    """Make the registry's directory HOME (new or empty) of the backup in its origin and of what
    nodes hold. It is there whole or not at all; everything is verified.

    The keys are in no backup: --keys names a directory with the authority's key, and those others
    that are to be in HOME. Where entries were lost, `cachctl epoch --open` lets moves go on.

    \b
    Examples:
      cachctl restore ./registry --origin file:///srv/origin --keys ./keys
      cachctl restore ./registry --origin s3://models --keys ./keys --at 2026-11-23T14:03
      cachctl restore ./registry --origin s3://models --keys ./keys --from-node /var/lib/cachd
    """  # fmt: skip
    from registry_core.backup.gather import EVERYTHING, LOG_PHASE
    from registry_core.backup.restore import Wanted, restore_home
    from registry_core.origin.store import Origin
    from registry_core.trust.keys import Keyring

    if settings.keys is None:
        raise InvalidInput("--keys names a copy of the registry's keys, which are in no backup")
    keys = Keyring(Path(settings.keys).expanduser())
    options = parse_pairs("--origin-option", origin_options)
    origin = Origin.open(origin_url, options)
    until = EVERYTHING if at is None else _until(at)
    with (
        ExitStack() as stack,
        progress_bars(quiet=bool(settings.as_json), counted=(LOG_PHASE,)) as progress,
    ):
        root, sources = _backup(origin, registry_id, line, root_file)
        sources += [_node_source(node, stack) for node in nodes]
        wanted = Wanted(origin_url, options, until, partial)
        restored = restore_home(home, root, keys, sources, wanted, progress)
    _tell(settings, home, restored)
    return 0


def _backup(
    origin: Origin, registry_id: str, line: str, root_file: Path | None
) -> tuple[Root, list[Source]]:
    """The root of trust, and the backup, if there is one or none is needed."""
    from registry_core.backup.line import find_registry, newest_line, read_root
    from registry_core.domain.policy import Root

    root = None
    if root_file is not None:
        try:
            root = Root.parse(root_file.read_bytes())
        except OSError as error:
            raise NotFound(f"{root_file} cannot be read ({error.strerror})") from error
    try:
        registry = root.registry if root is not None else find_registry(origin, registry_id)
        return root or read_root(origin, registry), [newest_line(origin, registry, line)]
    except NotFound:
        if root is None:
            raise
        return root, []


def _node_source(node: str, stack: ExitStack) -> Source:
    from cachd.control.http import HttpClient
    from cachd.control.log_download import LogDownload
    from registry_core.backup.sources import StoreSource, StreamSource

    if node.startswith(("http://", "https://")):
        client = HttpClient(node)
        stack.callback(client.close)
        download = LogDownload(client)
        return stack.enter_context(StreamSource(node, download, download.note))
    source = StoreSource.open(Path(node))
    stack.callback(source.close)
    return source


def _until(at: str) -> Until:
    from registry_core.backup.gather import Until

    return Until(sequence=int(at)) if at.isdecimal() else Until(time_ms=parse_time_ms(at, "--at"))


def _tell(settings: Settings, home: Path, restored: Restored) -> None:
    if settings.as_json:
        emit_json(
            {
                "home": str(home),
                "entries": restored.entries,
                "known": restored.known,
                "lost": restored.lost,
                "problems": list(restored.problems),
            }
        )
        return
    for problem in restored.problems:
        emit_line(f"gone round: {problem}")
    emit_line(f"{home}: {restored.entries} log entries, all verified")
    if restored.lost:
        emit_line(
            f"{restored.lost}. Reads and rollbacks work; before the next move: "
            f"cachctl epoch --open --registry {home}"
        )
