"""`cachctl migrate`: the ledger moves to another backend."""

from __future__ import annotations

import click

from cachctl.output import emit_json, emit_line, progress_bars
from cachctl.target import Settings, with_settings
from registry_core.errors import InvalidInput


@click.command(name="migrate")
@click.argument("target", metavar="URL|lmdb")
@with_settings
def command(settings: Settings, target: str) -> None:
    """Move the ledger of an embedded registry to PostgreSQL (postgresql://…) or back to LMDB
    (`lmdb`), log and all. Stop its authorities first. The old ledger stays as it is, as a backup.

    \b
    Examples:
      cachctl migrate postgresql://cachd@db.internal/cachd --registry /srv/registry
      cachctl migrate lmdb --registry /srv/registry
    """
    from registry_core.home import RegistryHome
    from registry_core.migrate import migrate

    if settings.is_remote:
        raise InvalidInput("migrate works on the registry's directory: --registry DIR")
    if target != "lmdb" and not target.startswith(("postgresql://", "postgres://")):
        raise InvalidInput(f"{target!r:.80} is neither postgresql://… nor lmdb")
    home = RegistryHome.load(settings.home)
    with progress_bars(quiet=bool(settings.as_json)) as progress:
        moved = migrate(home, "" if target == "lmdb" else target, progress)
    if settings.as_json:
        emit_json({"entries": moved, "ledger": "lmdb" if target == "lmdb" else "postgresql"})
    else:
        emit_line(f"{moved} entries moved and checked; start the authorities again")
