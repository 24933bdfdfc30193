"""`cachctl resolve`: what a reference means now."""

from __future__ import annotations

import click

from cachctl.output import emit_json, emit_line
from cachctl.target import Settings, with_settings
from registry_core.domain.split import percent_text


@click.command(name="resolve")
@click.argument("reference", metavar="REF")
@with_settings
def command(settings: Settings, reference: str) -> None:
    """Say which version REF is: NAME@STAGE, NAME/3 or NAME@sha256:…, also behind models:/.

    \b
    Examples:
      cachctl resolve minilm@production
      cachctl resolve models:/minilm/3 --json
    """
    with settings.open(readonly=True) as registry:
        found = registry.resolve(reference)
    version, stage = found.version, found.stage
    if settings.as_json:
        emit_json(
            {
                "model": version.model,
                "number": version.number,
                "digest": version.digest,
                "guard": str(stage.guard) if stage else None,
                "split": (
                    {"number": stage.version.number, "per_mille": stage.split}
                    if stage and stage.split
                    else None
                ),
            }
        )
    else:
        guard = f" {stage.guard}" if stage else ""
        split = (
            f" ({percent_text(stage.split)} to {version.model}/{stage.version.number})"
            if stage and stage.split
            else ""
        )
        emit_line(f"{version.model}/{version.number} {version.digest}{guard}{split}")
