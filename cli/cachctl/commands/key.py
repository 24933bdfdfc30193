"""`cachctl key`: a key of one's own."""

from __future__ import annotations

from pathlib import Path

import click

from cachctl.output import emit_json, emit_line
from cachctl.target import DEFAULT_HOME, Settings, with_settings


@click.command(name="key")
@click.argument("role", metavar="ROLE")
@with_settings
def command(settings: Settings, role: str) -> None:
    """Make a key for ROLE (promoter, approver, publisher, …) in the keyring (--keys DIR), and print
    its public part, for an owner to put into the policy (`cachctl policy`). The private part stays
    in DIR/ROLE.pem and goes nowhere.

    \b
    Examples:
      cachctl key approver --keys ~/keys
    """
    from registry_core.trust.keys import Keyring, SigningKey

    folder = (
        Path(settings.keys).expanduser() if settings.keys else DEFAULT_HOME.expanduser() / "keys"
    )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = SigningKey.generate_p256()
    Keyring(folder).create(role, made)
    if settings.as_json:
        emit_json({"role": role, "id": made.key_id, "public": made.public_pem})
    else:
        emit_line(f"{folder / role}.pem, key id {made.key_id}")
        emit_line(made.public_pem.strip())
