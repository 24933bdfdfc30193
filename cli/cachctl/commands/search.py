"""`cachctl search`: find versions by what is known of them."""

from __future__ import annotations

from itertools import islice

import click
import msgspec

from cachctl.output import emit_json, emit_line, emit_table, time_text
from cachctl.target import Settings, with_settings


@click.command(name="search")
@click.argument("filter_text", metavar="FILTER", default="")
@click.option("--order-by", default="", metavar="FIELDS", help="e.g. 'metrics.auc DESC'.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 100_000))
@with_settings
def command(settings: Settings, filter_text: str, order_by: str, limit: int) -> None:
    """Versions that match FILTER: terms joined by AND over name, number, digest, created,
    publisher, actor, bytes, notes, stage, formats, tags.KEY, metrics.KEY and lineage.KEY, with = !=
    < <= > >= LIKE ILIKE IN, NOT IN and IS NULL.

    \b
    Examples:
      cachctl search "tags.team = 'fraud' AND metrics.auc >= 0.93"
      cachctl search "stage = 'production' AND created < '2026-06-01'"
      cachctl search "name LIKE 'fraud-%'" --order-by 'metrics.auc DESC' --limit 5
      cachctl search "lineage.dataset = 'sha256:…'" --json
    """
    with settings.open(readonly=True) as registry:
        found = list(islice(registry.metadata.search_all(filter_text, order_by=order_by), limit))
    if settings.as_json:
        emit_json({"versions": [msgspec.to_builtins(version) for version in found]})
        return
    if not found:
        emit_line("no version matches")
        return
    emit_table(
        "",
        ["version", "created", "tags", "metrics"],
        (
            (
                f"{version.model}/{version.number}",
                time_text(version.created_ms),
                ", ".join(f"{k}={v}" for k, v in sorted(version.tags.items())),
                ", ".join(f"{k}={v}" for k, v in sorted(version.metrics.items())),
            )
            for version in found
        ),
    )
