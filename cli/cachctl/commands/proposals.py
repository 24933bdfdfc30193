"""`cachctl proposals`: what waits for signatures."""

from __future__ import annotations

import click
import msgspec

from cachctl.output import emit_json, emit_line, emit_table, time_text
from cachctl.target import Settings, with_settings
from registry_core.domain.split import percent_text


@click.command(name="proposals")
@click.option("--mine", is_flag=True, help="Only those that wait for a signature of yours.")
@with_settings
def command(settings: Settings, *, mine: bool) -> None:
    """List moves that are proposed and lack signatures.

    \b
    Examples:
      cachctl proposals
      cachctl proposals --mine --keys ~/keys
    """
    with settings.open(readonly=True) as registry:
        found = registry.approvals.open(mine=mine)
    if settings.as_json:
        emit_json({"proposals": [msgspec.to_builtins(one) for one in found]})
        return
    if not found:
        emit_line("nothing waits for a signature" + (" of yours" if mine else ""))
        return
    emit_table(
        "",
        ["proposal", "stage", "version", "instead of", "by", "since", "why"],
        (
            (
                one.id,
                f"{one.model}@{one.stage}",
                str(one.version.number) + (f" ({percent_text(one.split)})" if one.split else ""),
                str(one.previous.number) if one.previous else "-",
                ", ".join(signer.actor for signer in one.signers),
                time_text(one.signers[0].time_ms),
                one.signers[0].reason,
            )
            for one in found
        ),
    )
