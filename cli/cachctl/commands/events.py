"""`cachctl events`: what happens, as it happens."""

from __future__ import annotations

import json
from typing import Any

import click

from cachctl.output import emit_line
from cachctl.target import Settings, with_settings

_PAGE, _WAIT_S = 100, 20


@click.command(name="events")
@click.option("--after", default=0, type=click.IntRange(0), help="Only beyond this position.")
@click.option(
    "--type",
    "types",
    multiple=True,
    metavar="TYPE",
    help="Only this type, or those that begin so: model.stage, model.move.approved.",
)
@click.option("--model", default="", metavar="NAME", help="Only what is about this model.")
@click.option("--follow", is_flag=True, help="Go on as things happen.")
@with_settings
def command(
    settings: Settings, after: int, types: tuple[str, ...], model: str, *, follow: bool
) -> None:
    """Show the registry's events, oldest first, one a line; with --json each as a CloudEvent.

    \b
    Examples:
      cachctl events --model fraud
      cachctl events --type model.stage --follow
      cachctl events --after 1234 --json
    """  # fmt: skip
    from registry_core.domain.cloud_event import EventFilter

    wanted = EventFilter.parse(types, model)
    with settings.open(readonly=True) as registry:
        read = registry.control.events.read
        while True:
            batch = read(wanted, after, _PAGE, _WAIT_S if follow else 0)
            for event in batch.events:
                emit_line(json.dumps(event) if settings.as_json else _line(event))
            if not follow and batch.next == after:
                return
            after = batch.next


def _line(event: dict[str, Any]) -> str:
    data = event["data"]
    kind = event["type"].removeprefix("io.cachd.")
    reason = f"  {data['reason']}" if data["reason"] else ""
    return f"{event['id']:>8}  {event['time']}  {kind}  {event['subject']}  {data['actor']}{reason}"
