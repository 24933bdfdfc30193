"""`cachctl audit`: what happened, and what served at a moment in the past."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from cachctl.entry_output import brief, entry_json
from cachctl.output import emit_json, emit_line, emit_table, time_text
from cachctl.target import Settings, with_settings
from cachctl.times import parse_time_ms
from registry_core.domain.split import percent_text
from registry_core.errors import InvalidInput

if TYPE_CHECKING:
    from registry_core.domain.entry import Entry
    from registry_core.domain.past import AuditQuery, Said, ServedThen

_KEY_CHARS = 12


@click.command(name="audit")
@click.argument("reference", metavar="[NAME[@STAGE]]", default="")
@click.option("--at", metavar="TIME", help="What served at this moment, who approved it, and why.")
@click.option("--since", metavar="TIME", help="Entries from then on.")
@click.option("--until", metavar="TIME", help="Entries up to then.")
@click.option("--actor", default="", metavar="WHO", help="Entries by WHO; `ci*` is a beginning.")
@click.option(
    "--type",
    "kind",
    default="",
    metavar="TYPE",
    help="Entries of types that begin with this: stage, move.approved, policy.set.",
)
@partial(with_settings, own="actor")  # here it says whose entries
def command(
    settings: Settings, reference: str, at: str | None, since: str | None, until: str | None,
    actor: str, kind: str,
) -> None:  # fmt: skip
    """Show who changed what, when and why; or with --at what stages served at a moment, who had
    approved it, and on what evidence. Times are UTC: 2026-11-23T14:03, 14:03 (today), 90m (ago).

    \b
    Examples:
      cachctl audit --since 24h --actor 'ci*'
      cachctl audit fraud --type stage --since 2026-11-01 --until 2026-11-23
      cachctl audit fraud@production --at 14:03
    """  # fmt: skip
    if at is not None:
        if since or until or actor or kind:
            raise InvalidInput("--at goes without --since, --until, --actor and --type")
        _show_served(settings, reference, parse_time_ms(at, "--at"))
        return
    if "@" in reference:
        raise InvalidInput("entries are of a model: name it without a stage, or ask --at a time")
    query = _query(reference, since, until, actor, kind)
    with settings.open(readonly=True) as registry:
        found = registry.audit.entries(query)
        if settings.as_json:
            emit_json({"entries": [entry_json(entry) for entry in found]})
        else:
            _show_entries(found)


def _query(model: str, since: str | None, until: str | None, actor: str, kind: str) -> AuditQuery:
    from registry_core.domain import limits
    from registry_core.domain.identifiers import ModelName
    from registry_core.domain.past import AuditQuery

    return AuditQuery(
        parse_time_ms(since, "--since") if since else 0,
        parse_time_ms(until, "--until") if until else limits.INTEGER_MAX,
        actor,
        kind,
        ModelName.parse(model) if model else None,
    )


def _show_entries(found: Iterable[Entry]) -> None:
    emit_table(
        "",
        ["#", "when", "who", "what", "of", "before", "after", "why"],
        (
            (
                str(entry.sequence), time_text(entry.time_ms), entry.actor, entry.type.value,
                entry.subject.removeprefix("model/"), brief(entry.before), brief(entry.after),
                entry.reason,
            )
            for entry in found
        ),
    )  # fmt: skip


def _show_served(settings: Settings, reference: str, time_ms: int) -> None:
    import msgspec

    with settings.open(readonly=True) as registry:
        served = registry.audit.at(time_ms, reference)
        if settings.as_json:
            shown: list[Any] = [msgspec.to_builtins(one) for one in served]
            emit_json({"at_ms": time_ms, "stages": shown})
            return
        told = False
        for one in served:
            told = True
            for line in _told(one):
                emit_line(line)
    if not told:
        emit_line(f"nothing had been promoted at {time_text(time_ms)}")


def _told(one: ServedThen) -> Iterator[str]:
    move, evidence = one.move, one.evidence
    yield (
        f"{one.model}@{one.stage} served {one.model}/{one.number} ({one.digest}) under "
        f"{one.generation}.{one.choice}"
    )
    yield f"  in force   {_text(one.in_force)}"
    if one.split:
        share = percent_text(one.split)
        yield f"  split      {share} of the requests to {one.model}/{one.split_number}"
    if move.proposed is not None:
        yield f"  proposed   {_text(move.proposed)}"
    for said in move.approved:
        yield f"  approved   {_text(said)}"
    yield f"  moved      {_text(move.committed)}"
    for signer in move.signers:
        yield f"  signed     {signer.role}, key {signer.key[:_KEY_CHARS]}"
    yield f"  policy     {move.policy}"
    yield f"  published  key {evidence.publisher[:_KEY_CHARS]}, {', '.join(evidence.formats)}"
    for name, values in (
        ("metrics", evidence.metrics), ("lineage", evidence.lineage), ("tags", evidence.tags),
    ):  # fmt: skip
        if values:
            yield f"  {name:<9}  {', '.join(f'{key}={values[key]}' for key in sorted(values))}"


def _text(said: Said) -> str:
    why = f": {said.reason}" if said.reason else ""
    return f"{time_text(said.time_ms)} by {said.actor}, entry {said.sequence}{why}"
