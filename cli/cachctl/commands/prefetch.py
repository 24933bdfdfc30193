"""`cachctl prefetch`: a version to the nodes of a region, before it is needed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from cachctl import exits
from cachctl.arrivals import RESIDENT, Arrival, arrivals
from cachctl.output import emit_json, emit_line, progress_bars, size_text, time_text
from cachctl.target import Settings, with_settings
from cachctl.times import parse_duration_ms
from registry_core.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from cachd.control.remote import RemoteControl
    from registry_core.ledger.records import PrefetchRecord, VersionRecord
    from registry_core.push.progress import Progress
    from registry_core.registry import Registry

_EVERY = "all"
_LOOK_S = 0.5


@click.command(name="prefetch")
@click.argument("reference", metavar="REF")
@click.option(
    "--region",
    "regions",
    multiple=True,
    required=True,
    metavar="REGION",
    help="Whose nodes; may be given several times. `all` for every node.",
)
@click.option(
    "--for",
    "keep",
    default="24h",
    show_default=True,
    metavar="TIME",
    help="Nodes keep it for so long, whether a stage comes to name it or not.",
)
@click.option(
    "--timeout",
    default="30m",
    show_default=True,
    metavar="TIME",
    help="Wait for no longer than this.",
)
@click.option("--no-wait", is_flag=True, help="Only ask for it.")
@click.option("--reason", default="", help="Why, for the log.")
@with_settings
def command(
    settings: Settings, reference: str, regions: tuple[str, ...], keep: str, timeout: str,
    no_wait: bool, reason: str,
) -> int:  # fmt: skip
    """Let the nodes of a region that serve the model bring REF (NAME/3, NAME@STAGE), verified and
    in memory, before anything names it; wait until all that are alive have it.

    The wish is in the log: nodes that start later bring it as well, and keep it until it ends.
    Exits with 8 if it is not everywhere in time (nodes go on), with 7 if a node refuses it, with 3
    if no node of the region serves the model.

    \b
    Examples:
      cachctl prefetch minilm/3 --region us --registry http://127.0.0.1:7420
      cachctl prefetch minilm@staging --region all --for 48h --no-wait
    """
    from cachctl.controls import remote_control

    if not settings.is_remote:
        raise InvalidInput(
            "nodes report to an authority: give its URL, --registry http://HOST:PORT"
        )
    keep_ms, timeout_ms = parse_duration_ms(keep, "--for"), parse_duration_ms(timeout, "--timeout")
    with (
        settings.open(readonly=False) as registry,
        progress_bars(quiet=bool(settings.as_json)) as progress,
    ):
        control = remote_control(registry)
        version = registry.resolve(reference).version
        wanted = _wanted(registry, control, regions)
        asked = registry.regions.prefetch(version, wanted, keep_ms, reason=reason)
        if no_wait:
            return _emit_asked(settings, version, asked)
        waited = _wait(control, version, asked, time.monotonic() + timeout_ms / 1000, progress)
    return _emit(settings, version, asked, waited, timeout)


def _wanted(registry: Registry, control: RemoteControl, regions: Sequence[str]) -> list[str]:
    """As the log names them; NotFound for one that nobody has heard of."""
    from registry_core.domain.identifiers import RegionName
    from registry_core.domain.region import EVERY_REGION

    if _EVERY in regions:
        return [EVERY_REGION]
    known = registry.regions.known()
    there = {known.home, *(one.name for one in known.others)}
    there |= {seen.report.region for seen in control.nodes()}
    for name in regions:
        if RegionName.parse(name).text not in there:
            raise NotFound(
                f"there is no region {name}, and no node is in it: `cachctl region list`"
            )
    return list(regions)


def _wait(
    control: RemoteControl, version: VersionRecord, asked: Sequence[PrefetchRecord],
    deadline_s: float, progress: Progress,
) -> list[Arrival]:  # fmt: skip
    """Until the version is on all nodes, or the time is over; how far it is."""
    regions, sequence = [one.region for one in asked], max(one.sequence for one in asked)
    while True:
        found = arrivals(control.nodes(), regions, version.digest, sequence)
        done = sum(_done(one, version) for one in found)
        progress("prefetch", done, max(done, len(found) * version.bytes))
        if all(one.state == RESIDENT for one in found) or time.monotonic() >= deadline_s:
            return found
        time.sleep(_LOOK_S)


def _done(arrival: Arrival, version: VersionRecord) -> int:
    return version.bytes if arrival.state == RESIDENT else arrival.bytes_done


def _emit_asked(settings: Settings, version: VersionRecord, asked: Sequence[PrefetchRecord]) -> int:
    if settings.as_json:
        emit_json(_document(version, asked))
    else:
        emit_line(f"{_name(version)} is asked for until {time_text(asked[0].until_ms)}")
    return exits.OK


def _emit(
    settings: Settings, version: VersionRecord, asked: Sequence[PrefetchRecord],
    found: Sequence[Arrival], timeout: str,
) -> int:  # fmt: skip
    resident = [one for one in found if one.state == RESIDENT]
    if settings.as_json:
        emit_json(_document(version, asked) | {
            "done": bool(found) and len(resident) == len(found),
            "nodes": [asdict(one) for one in found],
        })  # fmt: skip
    elif found:
        late = "" if len(resident) == len(found) else f" after {timeout}"
        emit_line(f"{_name(version)} is resident on {len(resident)} of {len(found)} node(s){late}")
        for one in found:
            if one.state != RESIDENT:
                emit_line(f"  {one.node} ({one.region}): {_how_far(one)}")
    else:
        emit_line(
            f"no node of {', '.join(one.region for one in asked)} that is alive serves "
            f"{version.model}; those that start before {time_text(asked[0].until_ms)} bring it"
        )
    if not found:
        return exits.NOT_FOUND
    if any(one.state == "refused" for one in found):
        return exits.INTEGRITY
    return exits.OK if len(resident) == len(found) else exits.UNAVAILABLE


def _how_far(one: Arrival) -> str:
    so_far = f", {size_text(one.bytes_done)} of {size_text(one.bytes_total)}"
    return (
        one.state + (so_far if one.bytes_total else "") + (f": {one.detail}" if one.detail else "")
    )


def _document(version: VersionRecord, asked: Sequence[PrefetchRecord]) -> dict[str, object]:
    return {
        "version": _name(version),
        "digest": version.digest,
        "regions": [one.region for one in asked],
        "until_ms": max(one.until_ms for one in asked),
    }


def _name(version: VersionRecord) -> str:
    return f"{version.model}/{version.number}"
