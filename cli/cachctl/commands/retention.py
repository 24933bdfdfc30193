"""`cachctl retention`: how many versions of a model gc leaves."""

from __future__ import annotations

from typing import Any

import click

from cachctl.output import emit_json, emit_line
from cachctl.target import Settings, with_settings
from registry_core.domain.identifiers import ModelName
from registry_core.errors import InvalidInput, NotFound
from registry_core.ledger.records import ModelRecord

_FIELDS = ("keep_newest", "keep_days")


@click.command(name="retention")
@click.argument("model", metavar="NAME")
@click.option("--keep-newest", type=int, metavar="N", help="The N newest versions stay.")
@click.option("--keep-days", type=int, metavar="D", help="Versions younger than D days stay.")
@click.option("--off", is_flag=True, help="Every version stays.")
@click.option("--reason", default="", help="Why, for the log.")
@with_settings
def command(settings: Settings, model: str, off: bool, reason: str, **keep: int | None) -> None:
    """Show or set a model's retention rule. `cachctl gc` deletes the versions that are beyond all
    that the rule gives, and that no stage and no proposal names.

    \b
    Examples:
      cachctl retention fraud
      cachctl retention fraud --keep-newest 10 --keep-days 90
      cachctl retention fraud --off --reason 'audit'
    """
    wanted: dict[str, Any] = {name: keep[name] for name in _FIELDS if keep[name] is not None}
    if off and wanted:
        raise InvalidInput("--off goes without --keep-newest and --keep-days")
    change = wanted or (dict.fromkeys(_FIELDS) if off else {})
    with settings.open(readonly=not change) as registry:
        name = ModelName.parse(model)
        if change:
            fields = {f"retention.{name}": value for name, value in change.items()}
            record = registry.metadata.annotate_model(str(name), fields, reason=reason)
        else:
            record = _known(registry.control.find_model(name), name)
    if settings.as_json:
        emit_json({"model": record.name, "retention": record.retention})
    else:
        emit_line(f"{record.name}: {_text(record.retention)}")


def _known(found: ModelRecord | None, name: ModelName) -> ModelRecord:
    if found is None:
        raise NotFound(f"there is no model {name}: `cachctl list` shows what there is")
    return found


def _text(rule: dict[str, int]) -> str:
    newest, days = rule.get("keep_newest"), rule.get("keep_days")
    parts = [f"the {newest} newest"] * (newest is not None)
    parts += [f"those younger than {days} days"] * (days is not None)
    return f"keeps {' and '.join(parts)}" if parts else "keeps every version"
