"""`cachctl list`: the models there are."""

from __future__ import annotations

import click

from cachctl.output import emit_json, emit_line, emit_table, time_text
from cachctl.target import Settings, with_settings


@click.command(name="list")
@with_settings
def command(settings: Settings) -> None:
    """List models with their newest version and what their stages serve.

    \b
    Examples:
      cachctl list
      cachctl list --json
    """
    from registry_core.domain.identifiers import ModelName

    with settings.open(readonly=True) as registry:
        models = [
            (model, registry.control.stages(ModelName(model.name))) for model in registry.models()
        ]
    if settings.as_json:
        emit_json(
            {
                "models": [
                    {
                        "name": model.name,
                        "versions": model.last_number,
                        "created_ms": model.created_ms,
                        "stages": {stage.stage: stage.in_force.number for stage in stages},
                    }
                    for model, stages in models
                ]
            }
        )
        return
    if not models:
        emit_line("no models yet: cachctl push DIR --model NAME")
        return
    emit_table(
        "",
        ["model", "newest", "stages", "since"],
        (
            (
                model.name,
                str(model.last_number),
                ", ".join(f"{stage.stage}={stage.in_force.number}" for stage in stages),
                time_text(model.created_ms),
            )
            for model, stages in models
        ),
    )
