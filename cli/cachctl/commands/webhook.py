"""`cachctl webhook`: where an authority sends events to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cachctl import exits
from cachctl.output import emit_json, emit_line, emit_table, time_text
from cachctl.target import Settings, merge, target_options, with_settings

if TYPE_CHECKING:  # loaded when a command asks the authority, not for --help
    from cachd.control.remote_webhooks import RemoteWebhooks
    from registry_core.ledger.webhooks.records import AttemptRecord, WebhookRecord

_SECRET_FILE = click.option(
    "--secret-file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="Holds the secret, `whsec_…`; - is standard input.  [default: the registry makes one]",
)


@click.group(name="webhook")
@target_options
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Send events to a URL: signed as Standard Webhooks, in order, at least once.

    An authority delivers them, so --registry is its URL. A receiver that fails is tried again for
    about half a day; what it still did not take is kept as a dead letter, and the next event has
    its turn.

    \b
    Examples:
      cachctl webhook add deploys https://ci.internal/hook --type model.stage
      cachctl webhook test deploys
      cachctl webhook show deploys
      cachctl webhook redeliver deploys 1234
    """
    ctx.obj = merge(ctx.obj if isinstance(ctx.obj, Settings) else Settings(), given)


@command.command()
@click.argument("name")
@click.argument("url")
@click.option(
    "--type",
    "types",
    multiple=True,
    metavar="TYPE",
    help="Only this type, or those that begin so: model.stage, model.move.approved.",
)
@click.option("--model", default="", metavar="NAME", help="Only what is about this model.")
@click.option(
    "--start",
    type=click.IntRange(0),
    metavar="POSITION",
    help="Begin beyond this position.  [default: what is still to come]",
)
@_SECRET_FILE
@with_settings
def add(
    settings: Settings, name: str, url: str, types: tuple[str, ...], model: str,
    start: int | None, secret_file: Path | None,
) -> None:  # fmt: skip
    """Send events to URL. The secret is shown this once.

    \b
    Examples:
      cachctl webhook add deploys https://ci.internal/hook --type model.stage --model fraud
      cachctl webhook add mirror http://127.0.0.1:9000/ --start 0
    """
    from cachd.control.documents_webhooks import WebhookBody

    body = WebhookBody(name, url, list(types), model, _read(secret_file), start)
    with _webhooks(settings) as webhooks:
        made = webhooks.add(body)
    if settings.as_json:
        emit_json({"webhook": _document(made.webhook), "secret": made.secret})
    elif made.secret:
        emit_line(f"{name} sends to {url}, beyond position {made.webhook.cursor}")
        emit_line(f"secret, shown this once: {made.secret}")
    else:
        emit_line(f"{name} was there already; `cachctl webhook rotate {name}` makes a new secret")


@command.command(name="list")
@with_settings
def list_webhooks(settings: Settings) -> None:
    """List webhooks and how far behind they are.

    \b
    Examples:
      cachctl webhook list
    """
    with _webhooks(settings) as webhooks:
        found = webhooks.all()
    if settings.as_json:
        emit_json({"webhooks": [_document(one) for one in found.webhooks],
                   "log_entries": found.log_entries})  # fmt: skip
        return
    rows = [
        [one.name, one.url, _state(one), str(found.log_entries - one.cursor),
         str(one.dead_letters)]
        for one in found.webhooks
    ]  # fmt: skip
    emit_table("", ["name", "url", "state", "behind", "dead letters"], rows)


@command.command()
@click.argument("name")
@with_settings
def show(settings: Settings, name: str) -> None:
    """Show a webhook, its last attempts and its dead letters.

    \b
    Examples:
      cachctl webhook show deploys
    """
    with _webhooks(settings) as webhooks:
        one, tried, dead = (
            webhooks.get(name),
            webhooks.deliveries(name),
            webhooks.dead_letters(name),
        )
    if settings.as_json:
        emit_json({"webhook": _document(one), "deliveries": [_document(a) for a in tried],
                   "dead_letters": [_document(d) for d in dead]})  # fmt: skip
        return
    wanted = ", ".join(one.types) or "all events"
    about = f" about {one.model}" if one.model else ""
    emit_line(f"{one.name} -> {one.url}")
    emit_line(f"{wanted}{about}; done up to position {one.cursor}; {_state(one)}")
    emit_table(
        "last attempts",
        ["time", "event", "type", "outcome", "answer", "ms"],
        [[time_text(a.time_ms), str(a.sequence), a.type, a.outcome,
          a.error or f"HTTP {a.status}", str(a.duration_ms)] for a in tried],
    )  # fmt: skip
    emit_table(
        "dead letters",
        ["event", "type", "subject", "attempts", "error"],
        [[str(d.sequence), d.type, d.subject, str(d.attempts), d.error] for d in dead],
    )


@command.command()
@click.argument("name")
@with_settings
def test(settings: Settings, name: str) -> int:
    """Send a test event now and say what came back.

    \b
    Examples:
      cachctl webhook test deploys
    """
    with _webhooks(settings) as webhooks:
        return _say(settings, webhooks.test(name))


@command.command()
@click.argument("name")
@click.argument("sequence", type=click.IntRange(1))
@with_settings
def redeliver(settings: Settings, name: str, sequence: int) -> int:
    """Send a dead letter once more; it is forgotten if it arrives.

    \b
    Examples:
      cachctl webhook redeliver deploys 1234
    """
    with _webhooks(settings) as webhooks:
        return _say(settings, webhooks.redeliver(name, sequence))


@command.command()
@click.argument("name")
@_SECRET_FILE
@with_settings
def rotate(settings: Settings, name: str, secret_file: Path | None) -> None:
    """Sign with a new secret, and for 24 hours with the old one as well.

    \b
    Examples:
      cachctl webhook rotate deploys
    """
    with _webhooks(settings) as webhooks:
        made = webhooks.rotate(name, _read(secret_file))
    if settings.as_json:
        emit_json({"secret": made.secret, "old_until_ms": made.old_until_ms})
        return
    emit_line(f"secret, shown this once: {made.secret}")
    emit_line(f"the old one is signed with as well until {time_text(made.old_until_ms)}")


@command.command()
@click.argument("name")
@with_settings
def enable(settings: Settings, name: str) -> None:
    """Deliver on from where a webhook was disabled; or now, where it waits to try again.

    \b
    Examples:
      cachctl webhook enable deploys
    """
    with _webhooks(settings) as webhooks:
        one = webhooks.enable(name)
    emit_json(_document(one)) if settings.as_json else emit_line(f"{name}: {_state(one)}")


@command.command()
@click.argument("name")
@with_settings
def remove(settings: Settings, name: str) -> None:
    """Forget a webhook, with its history and dead letters.

    \b
    Examples:
      cachctl webhook remove deploys
    """
    with _webhooks(settings) as webhooks:
        webhooks.remove(name)
    emit_json({"removed": name}) if settings.as_json else emit_line(f"{name} is removed")


@contextmanager
def _webhooks(settings: Settings) -> Iterator[RemoteWebhooks]:
    from cachd.control.http import HttpClient
    from cachd.control.remote_webhooks import RemoteWebhooks
    from registry_core.errors import InvalidInput

    if not settings.is_remote:
        raise InvalidInput(
            "webhooks are delivered by an authority: give its URL, --registry http://HOST:PORT"
        )
    client = HttpClient(str(settings.registry))
    try:
        yield RemoteWebhooks(client)
    finally:
        client.close()


def _read(secret_file: Path | None) -> str:
    if secret_file is None:
        return ""
    from registry_core.errors import InvalidInput

    try:
        with click.open_file(str(secret_file), encoding="utf-8") as file:
            return str(file.read(1_024)).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"--secret-file {secret_file} cannot be read: {error}") from error


def _say(settings: Settings, attempt: AttemptRecord) -> int:
    """What came back; the exit code for it."""
    arrived = attempt.outcome == "delivered"
    if settings.as_json:
        emit_json(_document(attempt))
    elif arrived:
        emit_line(f"delivered: HTTP {attempt.status} in {attempt.duration_ms} ms")
    else:
        emit_line(f"not delivered: {attempt.error} ({attempt.duration_ms} ms)")
    return exits.OK if arrived else exits.UNAVAILABLE


def _state(one: WebhookRecord) -> str:
    if not one.enabled:
        return f"disabled: {one.disabled_because}"
    if one.attempts:
        return f"{one.attempts} failed, next {time_text(one.retry_ms)}: {one.last_error}"
    return "enabled"


def _document(record: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(record)
