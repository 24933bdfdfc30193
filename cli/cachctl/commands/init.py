"""`cachctl init`: make a registry."""

from __future__ import annotations

from pathlib import Path

import click

from cachctl.output import emit_json, emit_line
from cachctl.pairs import parse_pairs
from cachctl.target import Settings, with_settings
from registry_core.errors import InvalidInput


@click.command(name="init")
@click.argument("path", required=False, type=click.Path(path_type=Path, readable=False))
@click.option(
    "--origin",
    default="",
    metavar="URL",
    help="Where chunks live: file://, s3://, gs://, az://.  [default: PATH/origin]",
)
@click.option(
    "--origin-option",
    "options",
    multiple=True,
    metavar="K=V",
    help="For the object store, e.g. endpoint=http://…, allow_http=true.",
)
@click.option(
    "--region",
    default="local",
    show_default=True,
    metavar="NAME",
    help="What the region of this origin is called.",
)
@click.option(
    "--ledger",
    default="",
    metavar="URL",
    help="postgresql://… for several authorities.  [default: LMDB in PATH/ledger]",
)
@with_settings
def command(
    settings: Settings, path: Path | None, origin: str, options: tuple[str, ...], region: str,
    ledger: str,
) -> None:  # fmt: skip
    """Make a registry in PATH (default: the --registry target): ledger, keys, root of trust.

    \b
    Examples:
      cachctl init ./registry
      cachctl init ./registry --origin s3://models/team --origin-option region=eu-central-1
      cachctl init ./registry --origin s3://models/team --region eu
      cachctl init ./registry --ledger postgresql://cachd@db.internal/cachd
    """
    import registry_core
    from registry_core.home import RegistryHome

    if settings.is_remote and path is None:
        raise InvalidInput("a registry is made in a directory: name one, `cachctl init PATH`")
    home = path or settings.home
    registry_core.init(
        home,
        origin=origin,
        origin_options=parse_pairs("--origin-option", options),
        region=region,
        ledger=ledger,
        actor=settings.actor,
    ).close()
    made = RegistryHome.load(home)
    keys = sorted(made.keyring().names())
    document = {
        "registry": made.registry,
        "path": str(home),
        "origin": made.origin_url,
        "region": made.region.text,
        "root": str(home / "root.json"),
        "keys": keys,
    }
    if settings.as_json:
        emit_json(document)
        return
    emit_line(
        f"registry {made.registry} made in {home}\n"
        f"  chunks   {made.origin_url}\n"
        f"  keys     {home / 'keys'}: {', '.join(keys)}\n"
        f"  nodes    give each a copy of {home / 'root.json'}\n"
        f"next: cachctl --registry {home} push DIR --model NAME"
    )
