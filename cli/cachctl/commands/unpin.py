"""`cachctl unpin`: a pinned version may leave memory again."""

from __future__ import annotations

import click

from cachctl.output import emit_json, emit_line
from cachctl.pin_output import pin_json
from cachctl.target import Settings, with_settings


@click.command(name="unpin")
@click.argument("reference", metavar="REF")
@click.option("--reason", default="", help="Why, for the log.")
@with_settings
def command(settings: Settings, reference: str, reason: str) -> None:
    """End the pins of REF (NAME/3, or the version that NAME@STAGE means now), in all regions. Exits
    with 3 if it is not pinned.

    \b
    Examples:
      cachctl unpin fraud/12
    """
    with settings.open(readonly=False) as registry:
        version = registry.resolve(reference).version
        ended = registry.regions.unpin(version, reason=reason)
    if settings.as_json:
        emit_json({"unpinned": [pin_json(one) for one in ended]})
        return
    emit_line(f"{version.model}/{version.number} is not pinned any more")
