"""Webhooks in the ledger, on both backends: what is bounded, what only the owner may write."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable

import msgspec
import pytest

from registry_core.domain import limits
from registry_core.domain.cloud_event import EventFilter
from registry_core.domain.standard_webhooks import Secret
from registry_core.domain.webhook_url import WebhookUrl
from registry_core.errors import Conflict, InvalidIdentifier, NotFound, NotOwner
from registry_core.ledger.position import Position
from registry_core.ledger.store import Reader, Table
from registry_core.ledger.webhooks.deliveries import Deliveries
from registry_core.ledger.webhooks.records import AttemptRecord, WebhookRecord
from registry_core.ledger.webhooks.webhooks import Webhooks
from tests.ledger.rig import REGISTRY, Books

URL = WebhookUrl.parse("http://127.0.0.1:9/")
SECRET = Secret(bytes(32))


def anybody(_: Reader) -> None:
    """A guard that lets everybody write."""


def nobody(_: Reader) -> None:
    raise NotOwner("another delivers")


def add(webhooks: Webhooks, name: str = "w") -> WebhookRecord:
    return webhooks.create(name, URL, EventFilter(), SECRET, 0)[0]


def attempt(sequence: int, outcome: str = "delivered") -> AttemptRecord:
    return AttemptRecord(
        time_ms=1, sequence=sequence, type="io.cachd.model.created", outcome=outcome,
        status=200, error="" if outcome == "delivered" else "no", duration_ms=1,
    )  # fmt: skip


def test_cursor_and_attempts(books: Books) -> None:
    webhooks, deliveries = Webhooks(books.store), Deliveries(books.store, REGISTRY, anybody)
    made = add(webhooks)
    deliveries.failed(made, attempt(1, "retry"), 60_000)
    failing = webhooks.standing("w")
    assert (failing.webhook.attempts, failing.webhook.cursor) == (1, 0)
    assert 55_000 < failing.webhook.retry_ms - failing.now_ms <= 60_000
    deliveries.delivered(made, attempt(1))
    assert (webhooks.get("w").attempts, webhooks.get("w").cursor) == (0, 1)
    deliveries.passed(made, 2)
    deliveries.delivered(made, attempt(1))
    assert webhooks.get("w").cursor == 2, "it only grows"
    assert [one.outcome for one in webhooks.history("w")] == ["delivered", "delivered", "retry"]


def test_what_only_the_owner_may_write(books: Books) -> None:
    webhooks, deliveries = Webhooks(books.store), Deliveries(books.store, REGISTRY, nobody)
    made = add(webhooks)
    writes: tuple[Callable[[], None], ...] = (
        lambda: deliveries.delivered(made, attempt(1)),
        lambda: deliveries.failed(made, attempt(1, "retry"), 1),
        lambda: deliveries.died(made, attempt(1, "dead"), "s"),
        lambda: deliveries.disabled(made, attempt(1, "disabled"), "gone"),
        lambda: deliveries.passed(made, 1),
        lambda: Position(books.store, "nats", nobody).move(1),
    )
    for write in writes:
        with pytest.raises(NotOwner):
            write()
    assert webhooks.get("w") == made
    assert webhooks.history("w") == []
    assert Position(books.store, "nats", anybody).get() == 0
    deliveries.tried_by_hand(made, attempt(0))
    assert len(webhooks.history("w")) == 1, "whoever asked may test"


def test_history_is_bounded(books: Books) -> None:
    webhooks, deliveries = Webhooks(books.store), Deliveries(books.store, REGISTRY, anybody)
    made = add(webhooks)
    add(webhooks, "w.2")
    for _ in range(limits.WEBHOOK_HISTORY_MAX + 3):
        deliveries.delivered(made, attempt(1))
    kept = [one.number for one in webhooks.history("w")]
    assert kept == list(range(limits.WEBHOOK_HISTORY_MAX + 3, 3, -1))
    assert webhooks.history("w.2") == []


def test_dead_letters_are_bounded(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DEAD_LETTERS_MAX", 3)  # a bound, not a failure: makes it quick
    webhooks, deliveries = Webhooks(books.store), Deliveries(books.store, REGISTRY, anybody)
    made = add(webhooks)
    for sequence in (1, 2, 3):
        deliveries.died(made, attempt(sequence, "dead"), "model/m")
    deliveries.died(made, attempt(4, "dead"), "model/m")
    full = webhooks.get("w")
    assert (full.enabled, full.cursor, full.dead_letters) == (False, 3, 3), "nothing is dropped"
    assert "3 dead letters" in full.disabled_because
    deliveries.tried_by_hand(made, attempt(2))
    assert [one.sequence for one in webhooks.dead_letters("w")] == [1, 3]
    assert webhooks.enable("w").enabled
    deliveries.died(made, attempt(4, "dead"), "model/m")
    assert webhooks.get("w").cursor == 4
    with pytest.raises(NotFound):
        deliveries.dead_event("w", 2)
    assert deliveries.dead_event("w", 1)["id"] == "1"


def test_one_removed_and_made_again_is_another(books: Books) -> None:
    webhooks, deliveries = Webhooks(books.store), Deliveries(books.store, REGISTRY, anybody)
    made = add(webhooks)
    deliveries.died(made, attempt(1, "dead"), "model/m")
    webhooks.delete("w")
    with books.store.read() as txn:
        assert list(txn.scan(Table.DELIVERIES)) == [], "nothing is left"
    add(webhooks)
    with pytest.raises(NotFound):
        deliveries.delivered(made, attempt(2))
    assert webhooks.get("w").cursor == 0


def test_secrets_are_kept_apart(books: Books) -> None:
    webhooks = Webhooks(books.store)
    add(webhooks)
    assert SECRET.text not in str(webhooks.get("w"))
    assert SECRET.text not in str(webhooks.standing("w"))
    newer = [Secret(bytes([number]) * 32) for number in range(1, 7)]
    for secret in newer:
        until_ms = webhooks.rotate("w", secret)
    standing = webhooks.standing("w")
    valid = standing.secrets.valid(standing.now_ms)
    assert valid == newer[:1:-1], "the newest four"
    assert standing.secrets.valid(until_ms) == newer[-1:], "after a day only the last"
    assert b64encode(bytes(32)).decode() not in str(msgspec.to_builtins(standing.secrets))


def test_how_many(books: Books) -> None:
    webhooks = Webhooks(books.store)
    for number in range(limits.WEBHOOKS_MAX):
        add(webhooks, f"w{number}")
    assert add(webhooks, "w0").name == "w0", "known"
    with pytest.raises(Conflict, match="remove some"):
        add(webhooks, "one-more")
    with pytest.raises(InvalidIdentifier, match="webhook name"):
        webhooks.get("no/slash")
