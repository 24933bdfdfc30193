"""`cachctl policy`: whose signatures count for what."""

from __future__ import annotations

import json
from pathlib import Path

import click

from cachctl.output import emit_json, emit_line
from cachctl.target import Settings, with_settings
from registry_core.errors import InvalidInput


@click.command(name="policy")
@click.option(
    "--set",
    "file",
    type=click.Path(path_type=Path, readable=False),
    help="Replace the policy by this file, signed with the owner's key.",
)
@click.option("--reason", default="", help="Why, for the log.")
@with_settings
def command(settings: Settings, file: Path | None, reason: str) -> None:
    """Show the policy: keys, roles, and for each model and stage who must sign; or replace it.

    To change it, save what this prints, edit it, and give it back. A rule may hold `approvals` (how
    many besides the author, by keys of the role `approver`) and `evidence`: metrics with `min` and
    `max`, and allowed file `formats`. The first rule that matches counts.

    \b
    Examples:
      cachctl policy --json
      cachctl policy --set policy.json --reason 'two approvals for fraud'
    """  # fmt: skip
    from registry_core.domain import canonical, limits
    from registry_core.domain.policy import Policy

    if file is None:
        with settings.open(readonly=True) as registry:
            shown = json.loads(registry.control.policy().encoded)
        emit_json(shown) if settings.as_json else emit_line(json.dumps(shown, indent=2))
        return
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read ({error.strerror})") from error
    document = canonical.decode_any_json(data, bytes_max=limits.ENVELOPE_MAX, what=str(file))
    policy = Policy.parse(canonical.encode(document))
    with settings.open(readonly=False) as registry:
        made = registry.approvals.set_policy(policy, reason=reason)
    if settings.as_json:
        emit_json({"policy": str(made.digest)})
    else:
        emit_line(f"policy {made.digest} is in force")
