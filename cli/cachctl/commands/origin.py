"""`cachctl origin`: whether the origin has what live versions need, and putting it back."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cachctl import exits
from cachctl.output import emit_json, emit_line, progress_bars, size_text
from cachctl.target import Settings, merge, target_options, with_settings

if TYPE_CHECKING:
    from registry_core.repair.check import Checked, OriginCheck
    from registry_core.repair.sources import Source


@click.group(name="origin")
@target_options
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Look after the origin: the object storage that holds every version's bytes.

    \b
    Examples:
      cachctl origin verify --deep
      cachctl origin verify --repair --from s3://copy/models
    """
    ctx.obj = merge(ctx.obj if isinstance(ctx.obj, Settings) else Settings(), given)


@command.command()
@click.option("--deep", is_flag=True, help="Read and hash every chunk.")
@click.option("--repair", is_flag=True, help="Put back what is missing or damaged.")
@click.option(
    "--from",
    "origins",
    multiple=True,
    metavar="URL",
    help="Another origin that may have what this one lost. May be given several times.",
)
@click.option(
    "--from-node",
    "nodes",
    multiple=True,
    type=click.Path(path_type=Path, readable=False),
    metavar="DIR",
    help="A node's data directory, or a copy of it, whose cache may have it.",
)
@click.option(
    "--region",
    default="",
    metavar="REGION",
    help="Of this region's origin, and what it is to hold.  [default: the home region]",
)
@click.option("--after", default="", metavar="NAME/NUMBER", help="Go on after this version.")
@click.option("--reason", default="", help="Why, for the log.")
@with_settings
def verify(
    settings: Settings, deep: bool, repair: bool, origins: tuple[str, ...], nodes: tuple[Path, ...],
    region: str, after: str, reason: str,
) -> int:  # fmt: skip
    """Check that the origin has every object of every live version; with --repair, heal it.

    Lost hints are made anew of the packs themselves. Lost chunks come from whole packs elsewhere,
    from what a damaged pack still has, or from a node's cache; each is verified before it is
    used. Other regions' origins are asked as well. What a region cannot be given back is withdrawn
    from it, so that its nodes go on with the home region's. Pushes and gc may go on meanwhile.
    Exits with 7 if anything is wrong and not healed.

    \b
    Examples:
      cachctl origin verify
      cachctl origin verify --deep --after resnet/12
      cachctl origin verify --region us --repair
      cachctl origin verify --repair --from file:///mnt/copy --from-node /var/lib/cachd
    """
    from registry_core.errors import InvalidInput

    if (origins or nodes) and not repair:
        raise InvalidInput("--from and --from-node say where to repair from: add --repair")
    sources = _sources(origins, nodes)
    with ExitStack() as stack:
        registry = stack.enter_context(settings.open(readonly=not repair))
        progress = stack.enter_context(progress_bars(quiet=bool(settings.as_json)))
        check = registry.check_origin(
            deep=deep,
            repair=repair,
            sources=sources,
            region=region,
            reason=reason,
            progress=progress,
        )
        found, count = [], 0
        for checked in check.run(after):
            count += 1
            if checked.problems:
                found.append(checked)
    _emit(settings, check, count, found)
    sound = not found or (repair and not any(one.lost for one in found))
    return exits.OK if sound else exits.INTEGRITY


def _sources(origins: tuple[str, ...], nodes: tuple[Path, ...]) -> list[Source]:
    from cachd.cache.source import CacheSource
    from registry_core.errors import NotFound
    from registry_core.origin.store import Origin
    from registry_core.repair.sources import OriginSource

    sources: list[Source] = []
    for url in origins:
        if url.startswith("file://") and not Path(url.removeprefix("file://")).is_dir():
            raise NotFound(f"--from {url}: there is no such directory")
        sources.append(OriginSource(Origin.open(url)))
    return sources + [CacheSource(node) for node in nodes]


def _emit(settings: Settings, check: OriginCheck, count: int, found: list[Checked]) -> None:
    if settings.as_json:
        emit_json({
            "versions": count,
            "bytes_read": check.bytes_read,
            "clean": not found,
            "found": [
                {"version": one.name, "problems": one.problems, "healed": one.healed,
                 "lost": one.lost}
                for one in found
            ],
        })  # fmt: skip
        return
    read = f", {size_text(check.bytes_read)} of packs read" if check.bytes_read else ""
    emit_line(f"{count} version(s){read}")
    for one in found:
        emit_line("\n".join([
            *(f"{one.name}: {problem}" for problem in one.problems),
            *(f"  put back: {said}" for said in one.healed),
            *(f"  lost: {said}" for said in one.lost),
        ]))  # fmt: skip
    emit_line(_summary(check, found))


def _summary(check: OriginCheck, found: list[Checked]) -> str:
    if not found:
        return "clean"
    if not check.repairs:
        return f"{len(found)} version(s) with problems: --repair puts back what can be had"
    lost = sum(bool(one.lost) for one in found)
    return f"{len(found) - lost} version(s) healed" + (f", {lost} not" if lost else "")
