"""`cachctl pin`: a version stays in memory on the nodes of a region."""

from __future__ import annotations

import click

from cachctl.output import emit_json, emit_line
from cachctl.pin_output import pin_json, until_text
from cachctl.target import Settings, with_settings
from cachctl.times import parse_duration_ms

_EVERY = "all"


@click.command(name="pin")
@click.argument("reference", metavar="REF")
@click.option(
    "--region",
    "regions",
    multiple=True,
    default=(_EVERY,),
    show_default=True,
    metavar="REGION",
    help="Whose nodes; may be given several times.",
)
@click.option("--for", "keep", metavar="TIME", help="So long: 4h, 7d.  [default: until unpinned]")
@click.option("--reason", required=True, help="Why, for the log.")
@with_settings
def command(
    settings: Settings, reference: str, regions: tuple[str, ...], keep: str | None, reason: str
) -> None:
    """Keep REF (NAME/3, or the version that NAME@STAGE means now) in memory on the nodes of a
    region that serve the model, whatever their grace and memory policy say.

    Nodes that lack it bring it. Pinned again, the time begins anew.

    \b
    Examples:
      cachctl pin fraud/12 --for 4h --reason 'release on trial'
      cachctl pin fraud@production --region eu --reason 'fallback for the audit'
    """
    from registry_core.domain.region import EVERY_REGION

    keep_ms = parse_duration_ms(keep, "--for") if keep is not None else None
    wanted = [EVERY_REGION] if _EVERY in regions else list(regions)
    with settings.open(readonly=False) as registry:
        version = registry.resolve(reference).version
        pins = registry.regions.pin(version, wanted, keep_ms, reason=reason)
    if settings.as_json:
        emit_json({"pins": [pin_json(one) for one in pins]})
        return
    emit_line(f"{version.model}/{version.number} is pinned {until_text(pins[0])}")
