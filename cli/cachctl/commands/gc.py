"""`cachctl gc`: delete from the origin what no version needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cachctl.output import emit_json, emit_line, emit_table, progress_bars, size_text
from cachctl.target import Settings, with_settings

if TYPE_CHECKING:
    from registry_core.control.garbage import GcReport, ModelGarbage


@click.command(name="gc")
@click.option("--dry-run", is_flag=True, help="Say what would go now; change nothing.")
@click.option("--reason", default="", help="Why, for the log.")
@with_settings
def command(settings: Settings, dry_run: bool, reason: str) -> None:
    """Delete versions beyond their model's retention rule, and packs that no version needs.

    A pack that nothing refers to is condemned by one run and deleted by a later one, an hour after
    at the earliest. Pushes may go on meanwhile. Versions that a stage or a proposal names stay, and
    so do the objects of those that a node still holds.

    \b
    Examples:
      cachctl gc --dry-run
      cachctl gc --reason 'nightly'
      cachctl gc --json --registry http://127.0.0.1:7420
    """
    import msgspec

    from registry_core.garbage.collect import COUNTED_PHASES

    with (
        settings.open(readonly=dry_run) as registry,
        progress_bars(quiet=bool(settings.as_json), counted=COUNTED_PHASES) as progress,
    ):
        report = registry.garbage.collect(dry_run=dry_run, reason=reason, progress=progress)
    if settings.as_json:
        emit_json(msgspec.to_builtins(report))
    else:
        _emit(report)


def _emit(report: GcReport) -> None:
    columns = ["model", "versions deleted", "condemned", "deleted"]
    rows = [_row(model) for model in report.models]
    if rows:
        emit_table("this would go" if report.dry_run else "", columns, rows)
    later = f", {_packs(report.packs_waiting, report.bytes_waiting)} wait" if (
        report.packs_waiting
    ) else ""  # fmt: skip
    emit_line(
        f"{_packs(report.packs_condemned, report.bytes_condemned)} condemned, "
        f"{_packs(report.packs_deleted, report.bytes_deleted)} deleted{later}"
    )
    if report.more:
        emit_line("there is more than one run looks at: run it again")


def _row(model: ModelGarbage) -> list[str]:
    return [
        model.model or "(pushes that died)",
        ", ".join(map(str, model.versions_deleted)),
        _packs(model.packs_condemned, model.bytes_condemned),
        _packs(model.packs_deleted, model.bytes_deleted),
    ]


def _packs(count: int, size: int) -> str:
    return f"{count} pack(s), {size_text(size)}" if count else "nothing"
