"""`cachctl replicate`: versions to the origin of another region."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cachctl import exits
from cachctl.output import emit_json, emit_line, progress_bars, size_text
from cachctl.target import Settings, with_settings
from registry_core.errors import InvalidInput

if TYPE_CHECKING:
    from registry_core.replicate.replication import Replicated


@click.command(name="replicate")
@click.argument("what", metavar="[NAME|REF]", required=False, default="")
@click.option("--all", "everything", is_flag=True, help="Every version of every model.")
@click.option("--to", "region", required=True, metavar="REGION", help="See `cachctl region list`.")
@click.option("--dry-run", is_flag=True, help="Say what would be copied; change nothing.")
@click.option("--deep", is_flag=True, help="Read and hash what is there already, too.")
@click.option("--reason", default="", help="Why, for the log.")
@with_settings
def command(
    settings: Settings, what: str, everything: bool, region: str, dry_run: bool, deep: bool,
    reason: str,
) -> int:  # fmt: skip
    """Copy versions from the home region's origin to that of REGION: all of a model (NAME), or one
    (NAME/3, NAME@STAGE).

    Every chunk is hashed on the way; a version is visible there only when all of it is. Packs that
    are there are not copied again, so after an interruption run it again. Pushes and gc may go on
    meanwhile. Exits with 7 if a version could not be copied because of what the origin holds.

    \b
    Examples:
      cachctl replicate minilm@production --to us
      cachctl replicate --all --to us --dry-run
      cachctl replicate minilm --to us --deep --reason 'after the outage'
    """
    if bool(what) == everything:
        raise InvalidInput("name a model or a version, or say --all")
    with (
        settings.open(readonly=dry_run) as registry,
        progress_bars(quiet=bool(settings.as_json)) as progress,
    ):
        done = registry.replicate(
            what, to=region, deep=deep, dry_run=dry_run, reason=reason, progress=progress
        )
    _emit(settings, region, done, dry_run=dry_run)
    return exits.INTEGRITY if any(one.problem for one in done) else exits.OK


def _emit(settings: Settings, region: str, done: list[Replicated], *, dry_run: bool) -> None:
    copied, there = sum(one.bytes_copied for one in done), sum(one.bytes_there for one in done)
    if settings.as_json:
        emit_json({
            "region": region,
            "dry_run": dry_run,
            "bytes_copied": copied,
            "bytes_there": there,
            "versions": [
                {"version": one.name, "bytes_copied": one.bytes_copied,
                 "bytes_there": one.bytes_there, "problem": one.problem}
                for one in done
            ],
        })  # fmt: skip
        return
    said = "to be copied" if dry_run else "copied"
    for one in done:
        moved = f"{size_text(one.bytes_copied)} {said}, {size_text(one.bytes_there)} there already"
        emit_line(f"{one.name}: {f'not copied: {one.problem}' if one.problem else moved}")
    failed = sum(bool(one.problem) for one in done)
    emit_line(
        f"{len(done) - failed} version(s) {'to be ' * dry_run}in {region}: {size_text(copied)} "
        f"{said}, {size_text(there)} there already" + (f"; {failed} not" if failed else "")
    )
