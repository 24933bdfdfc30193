"""`cachctl annotate`: say something about a version or a model."""

from __future__ import annotations

from typing import Any

import click

from cachctl.fields import field_options, said_fields
from cachctl.output import emit_json, emit_line
from cachctl.target import Settings, with_settings
from registry_core.errors import InvalidInput


@click.command(name="annotate")
@click.argument("reference", metavar="NAME|REF")
@click.option("--tag", "tags", multiple=True, metavar="K=V", help="Set a tag.")
@click.option("--notes", help="Replace the notes.")
@field_options
@click.option("--unset", multiple=True, metavar="FIELD", help="Take away, e.g. tags.team.")
@click.option("--reason", default="", help="Why, for the log.")
@with_settings
def command(
    settings: Settings,
    reference: str,
    tags: tuple[str, ...],
    notes: str | None,
    unset: tuple[str, ...],
    reason: str,
    **given: Any,
) -> None:
    """Set tags, metrics, lineage, schema and notes of a version (NAME/3, NAME@STAGE), or tags and
    notes of a model (NAME). Each change is in the log with what was there before.

    \b
    Examples:
      cachctl annotate fraud/3 --metric auc=0.93 --lineage git_commit=4f2c1e --tag team=fraud
      cachctl annotate fraud/3 --unset tags.team --reason 'moved to another team'
      cachctl annotate fraud --notes 'owned by the payments team'
    """
    fields = said_fields(tags=tags, **given)
    if notes is not None:
        fields["notes"] = notes
    fields |= dict.fromkeys(unset)
    if not fields:
        raise InvalidInput("nothing to say: give --tag, --metric, --lineage, --notes or --unset")
    with settings.open(readonly=False) as registry:
        metadata = registry.metadata
        if "/" in reference.removeprefix("models:/") or "@" in reference:
            version = metadata.annotate(reference, fields, reason=reason)
            name = f"{version.model}/{version.number}"
        else:
            name = metadata.annotate_model(reference, fields, reason=reason).name
    if settings.as_json:
        emit_json({"annotated": name, "fields": fields})
    else:
        emit_line(f"{name}: {', '.join(fields)}")
