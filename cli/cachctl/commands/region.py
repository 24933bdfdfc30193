"""`cachctl region`: where versions are kept besides the home region."""

from __future__ import annotations

from typing import Any

import click

from cachctl.output import emit_json, emit_line, emit_table
from cachctl.pairs import parse_pairs
from cachctl.target import Settings, merge, target_options, with_settings


@click.group(name="region")
@target_options
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Regions: each has one origin, and nodes that fetch from it (`cachd node --region`).

    What is pushed goes to the origin of the home region, which `cachctl init` was given; `cachctl
    replicate` copies it to the others.

    \b
    Examples:
      cachctl region add us --origin s3://models-us/team --origin-option region=us-east-1
      cachctl region list
    """
    ctx.obj = merge(ctx.obj if isinstance(ctx.obj, Settings) else Settings(), given)


@command.command()
@click.argument("name")
@click.option("--origin", required=True, metavar="URL", help="file://, s3://, gs://, az://.")
@click.option(
    "--origin-option",
    "options",
    multiple=True,
    metavar="K=V",
    help="For the object store, as `cachctl init` takes them; never a credential.",
)
@click.option("--reason", default="", help="Why, for the log.")
@with_settings
def add(settings: Settings, name: str, origin: str, options: tuple[str, ...], reason: str) -> None:
    """Add region NAME with its origin, which must be this registry's alone.

    Whoever opens the origin (authority, nodes, who copies) takes credentials from the environment.

    \b
    Examples:
      cachctl region add us --origin s3://models-us/team --origin-option region=us-east-1
      cachctl region add lab --origin file:///mnt/lab/origin --reason 'second site'
    """
    with settings.open(readonly=False) as registry:
        made = registry.regions.add(
            name, origin, parse_pairs("--origin-option", options), reason=reason
        )
    if settings.as_json:
        emit_json({"region": made.name, "origin": made.url, "options": made.options})
    else:
        emit_line(
            f"region {made.name} has its origin at {made.url}\n"
            f"next: cachctl replicate --all --to {made.name}"
        )


@command.command(name="list")
@with_settings
def list_regions(settings: Settings) -> None:
    """List regions, their origins, and how many versions each holds.

    \b
    Examples:
      cachctl region list
    """
    with settings.open(readonly=True) as registry:
        known, home_url = registry.regions.known(), registry.origin.url
        held = {one.name: registry.regions.count_held(one.name) for one in known.others}
    if settings.as_json:
        emit_json({
            "home": {"region": known.home, "origin": home_url},
            "others": [
                {"region": one.name, "origin": one.url, "options": one.options,
                 "versions": held[one.name]}
                for one in known.others
            ],
        })  # fmt: skip
        return
    rows = [[f"{known.home} (home)", home_url, "all"]]
    rows += [[one.name, one.url, str(held[one.name])] for one in known.others]
    emit_table("", ["region", "origin", "versions"], rows)


@command.command()
@click.argument("name")
@click.option("--reason", default="", help="Why, for the log.")
@with_settings
def remove(settings: Settings, name: str, reason: str) -> None:
    """Forget region NAME and what it held. Its nodes go on with the home region's origin.

    What lies in its origin stays there, and gc does not look at it any more.

    \b
    Examples:
      cachctl region remove lab --reason 'site closed'
    """
    with settings.open(readonly=False) as registry:
        registry.regions.remove(name, reason=reason)
    emit_json({"removed": name}) if settings.as_json else emit_line(f"{name} is removed")
