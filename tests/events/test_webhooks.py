"""Webhooks from a real authority to real receivers that answer, fail, hang and go away."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from registry_core.registry import Registry
from tests.events.deliverers import (
    Authority,
    add_webhook,
    eventually,
    log_size,
    make_home,
    say,
    webhook,
)
from tests.events.receiver import OK, Got, Receiver, Reply, in_turn, receiving
from tests.system.api import Api


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    folder = tmp_path_factory.mktemp("webhooks")
    made = Authority(make_home(folder / "registry", folder))
    yield made
    made.stop()
    assert "whsec_" not in made.log.read_text(), "no secret is ever logged"


@pytest.fixture
def registry(authority: Authority) -> Iterator[Registry]:
    with authority.connect() as registry:
        yield registry


@pytest.fixture
def api(authority: Authority) -> Iterator[Api]:
    """All webhooks of a test are removed at its end."""
    api = authority.api()
    yield api
    for one in api.call("GET", "/v1/webhooks")[1]["webhooks"]:
        api.call("DELETE", f"/v1/webhooks/{one['name']}")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def history(api: Api, name: str) -> list[dict[str, Any]]:
    return list(api.call("GET", f"/v1/webhooks/{name}/deliveries")[1]["deliveries"])


def dead(api: Api, name: str) -> list[int]:
    found = api.call("GET", f"/v1/webhooks/{name}/dead-letters")[1]["dead_letters"]
    return [one["sequence"] for one in found]


def test_each_event_once_in_order_signed(api: Api, registry: Registry, receiver: Receiver) -> None:
    made = add_webhook(api, "all", receiver.url, start=0)
    secret = made["secret"]
    say(registry, 20)
    known = api.call("GET", "/v1/events?limit=1000")[1]["events"]
    got = receiver.wait(len(known))
    assert [one.verified(secret) for one in got] == known, "a stock library accepts the signatures"
    assert [one.sequence for one in got] == sorted(one.sequence for one in got)
    first, about = got[0].headers, api.call("GET", "/v1/registry")[1]
    assert first["Content-Type"] == "application/cloudevents+json"
    assert first["webhook-id"] == f"{about['registry']}-{got[0].sequence}"
    assert secret not in str(api.call("GET", "/v1/webhooks/all")[1])
    again = add_webhook(api, "all", receiver.url, start=0)
    assert (again["secret"], again["webhook"]["id"]) == ("", made["webhook"]["id"]), "told once"
    eventually(lambda: webhook(api, "all")["cursor"] == int(known[-1]["id"]), "the cursor")


def test_only_what_is_asked_for(api: Api, registry: Registry, receiver: Receiver) -> None:
    add_webhook(api, "moves", receiver.url, types=["model.stage"], model="m")
    say(registry, 3)
    registry.promote("m@production", 1)
    say(registry, 3)
    registry.promote("m@staging", 1)
    got = receiver.wait(2)
    assert [one.event["type"] for one in got] == ["io.cachd.model.stage.moved"] * 2
    assert [one.event["data"]["stage"] for one in got] == ["production", "staging"]


def test_failures_are_tried_again_in_order(api: Api, registry: Registry) -> None:
    with receiving(in_turn((500, {}), "close", (404, {}), OK)) as receiver:
        add_webhook(api, "flaky", receiver.url)
        say(registry, 3)
        got = receiver.wait(6)
    sequences = [one.sequence for one in got]
    assert sequences[:4] == [sequences[0]] * 4, "nothing overtakes it"
    assert sequences[3:] == [sequences[0], sequences[0] + 1, sequences[0] + 2]
    assert len({one.headers["webhook-id"] for one in got[:4]}) == 1, "the same message"
    eventually(lambda: len(history(api, "flaky")) == 6, "the last attempt is noted")
    told = [(one["outcome"], one["status"]) for one in reversed(history(api, "flaky"))]
    assert told == [("retry", 500), ("retry", 0), ("retry", 404)] + [("delivered", 200)] * 3
    _, metrics, _ = api.call("GET", "/metrics", check=False)
    counted = dict(re.findall(rb'webhook_attempts_total{outcome="(\w+)"} (\d+)', metrics))
    assert {outcome: int(count) >= 3 for outcome, count in counted.items()} == {
        b"retry": True, b"delivered": True,
    }  # fmt: skip
    assert history(api, "flaky")[4]["error"], "says what was wrong"


def test_a_dead_letter_lets_the_next_pass(api: Api, registry: Registry) -> None:
    bad = log_size(api) + 2

    def reply(got: Got) -> Reply:
        return (500, {}) if got.sequence == bad else OK

    with receiving(reply) as receiver:
        secret = add_webhook(api, "poison", receiver.url)["secret"]
        say(registry, 4)
        receiver.wait(3 + 4)
        assert receiver.sequences == [bad - 1, bad, bad, bad, bad, bad + 1, bad + 2]
        eventually(lambda: webhook(api, "poison")["cursor"] == bad + 2, "all is settled")
        assert (dead(api, "poison"), webhook(api, "poison")["dead_letters"]) == ([bad], 1)
        redeliver = f"/v1/webhooks/poison/dead-letters/{bad}/redelivery"
        assert api.call("POST", redeliver)[1]["outcome"] == "dead", "it still fails"
        assert dead(api, "poison") == [bad]
        receiver.reply = lambda got: OK
        assert api.call("POST", redeliver)[1] | {"duration_ms": 0} == {
            "number": 0, "time_ms": history(api, "poison")[0]["time_ms"], "sequence": bad,
            "type": "io.cachd.model.annotated", "outcome": "delivered", "status": 200,
            "error": "", "duration_ms": 0,
        }  # fmt: skip
        assert (dead(api, "poison"), webhook(api, "poison")["dead_letters"]) == ([], 0)
        assert api.call("POST", redeliver)[0] == 404
        assert receiver.got[-1].verified(secret)["id"] == str(bad)
        assert receiver.got[-1].headers["webhook-id"] == receiver.got[1].headers["webhook-id"]


def test_gone_disables_until_enabled(api: Api, registry: Registry) -> None:
    with receiving(lambda got: (410, {})) as receiver:
        add_webhook(api, "gone", receiver.url)
        say(registry, 2)
        eventually(lambda: not webhook(api, "gone")["enabled"], "it is disabled")
        assert "410" in webhook(api, "gone")["disabled_because"]
        say(registry, 1)
        receiver.reply = lambda got: OK
        assert api.call("POST", "/v1/webhooks/gone/enable")[1]["enabled"]
        receiver.wait(4)
        first = receiver.sequences[0]
        assert receiver.sequences == [first, first, first + 1, first + 2], "nothing was lost"


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after(status: int, api: Api, registry: Registry) -> None:
    asked = [(status, {"Retry-After": seconds}) for seconds in ("1", "99")]
    with receiving(in_turn(*asked, OK)) as receiver:
        add_webhook(api, "busy", receiver.url)
        say(registry, 1)
        first, second, third = (one.at_s for one in receiver.wait(3))
    assert 0.95 < second - first < 5, "what was asked for"
    assert 0.95 < third - second < 5, "no more than the bound, which is 1 s here"


def test_one_that_hangs_does_not_delay_another(api: Api, registry: Registry) -> None:
    with receiving(lambda got: "hang") as slow, receiving() as quick:
        for number in range(3):
            add_webhook(api, f"slow{number}", slow.url)
        add_webhook(api, "quick", quick.url)
        say(registry, 1)
        slow.wait(3)
        began_s = time.monotonic()
        say(registry, 5)
        quick.wait(6, within_s=1.9)
        assert time.monotonic() - began_s < 1.9, "before even one attempt of the others is over"
        eventually(lambda: bool(history(api, "slow0")), "an attempt is over")
        assert history(api, "slow0")[-1]["error"] == "no answer within 2 s"


def test_rotation_signs_with_both(api: Api, registry: Registry, receiver: Receiver) -> None:
    first = add_webhook(api, "rotating", receiver.url)["secret"]
    made = api.call("POST", "/v1/webhooks/rotating/secret", b"{}")[0:2]
    assert made[0] == 200, made
    second = made[1]["secret"]
    assert second != first
    day_ms = made[1]["old_until_ms"] - time.time() * 1000
    assert 23 * 3600_000 < day_ms <= 24 * 3600_000
    say(registry, 1)
    (got,) = receiver.wait(1)
    assert got.verified(first) == got.verified(second)
    own = "whsec_" + "c2VjcmV0" * 4
    rotated = api.call("POST", "/v1/webhooks/rotating/secret", {"secret": own})[1]
    assert rotated["secret"] == own
    say(registry, 1)
    got = receiver.wait(2)[1]
    for secret in (first, second, own):
        got.verified(secret)
    assert got.headers["webhook-signature"].count("v1,") == 3


def test_a_test_says_what_came_back(api: Api, receiver: Receiver) -> None:
    secret = add_webhook(api, "tried", receiver.url)["secret"]
    said = api.call("POST", "/v1/webhooks/tried/test")[1]
    assert (said["outcome"], said["status"], said["sequence"]) == ("delivered", 200, 0)
    assert receiver.got[0].verified(secret)["type"] == "io.cachd.webhook.test"
    receiver.reply = lambda got: (302, {"Location": "http://127.0.0.1:1/"})
    said = api.call("POST", "/v1/webhooks/tried/test")[1]
    assert (said["outcome"], said["status"]) == ("dead", 302)
    assert "redirects are not followed" in said["error"]
    assert len(receiver.got) == 2
    add_webhook(api, "named", receiver.url.replace("127.0.0.1", "localhost"))
    receiver.reply = lambda got: OK
    assert api.call("POST", "/v1/webhooks/named/test")[1]["status"] == 200
    add_webhook(api, "nowhere", "http://nowhere.invalid/")
    said = api.call("POST", "/v1/webhooks/nowhere/test")[1]
    assert (said["outcome"], "nowhere.invalid" in said["error"]) == ("dead", True)
    assert webhook(api, "tried")["cursor"] == log_size(api), "the log was not touched"


def test_metadata_addresses_are_refused(api: Api) -> None:
    for url in ("http://169.254.169.254/latest/", "http://[fe80::1]/", "http://[::ffff:a9fe:1]/"):
        status, problem, _ = api.call("POST", "/v1/webhooks", {"name": "x", "url": url})
        assert (status, "link-local" in problem["detail"]) == (400, True), url
    add_webhook(api, "numeric", "http://2852039166/")  # 169.254.169.254, written as one number
    said = api.call("POST", "/v1/webhooks/numeric/test")[1]
    assert said["outcome"] == "dead"
    assert said["duration_ms"] < 1_000


@pytest.mark.parametrize(
    "body",
    [
        {}, {"name": "a"}, {"name": "A!", "url": "http://a/"}, {"name": "a", "url": "a"},
        {"name": "a", "url": "http://a/", "more": 1}, {"name": "a", "url": "http://u:p@a/"},
        {"name": "a", "url": "http://a/", "types": ["nothing"]},
        {"name": "a", "url": "http://a/", "secret": "whsec_short"},
        {"name": "a", "url": "http://a/", "start": 999_999},
        {"name": "a", "url": "http://a/", "start": -1},
    ],
)  # fmt: skip
def test_refusals(body: dict[str, Any], api: Api) -> None:
    assert api.call("POST", "/v1/webhooks", body or b"{}")[0] == 400


def test_conflicts_and_what_is_not_there(api: Api, receiver: Receiver) -> None:
    add_webhook(api, "taken", receiver.url)
    other = {"name": "taken", "url": receiver.url, "types": ["model.stage"]}
    assert api.call("POST", "/v1/webhooks", other)[0] == 409
    for method, path in (
        ("GET", ""), ("DELETE", ""), ("POST", "/test"), ("POST", "/enable"), ("GET", "/deliveries"),
        ("GET", "/dead-letters"), ("POST", "/dead-letters/1/redelivery"),
    ):  # fmt: skip
        assert api.call(method, f"/v1/webhooks/none{path}")[0] == 404, path
    assert api.call("POST", "/v1/webhooks/none/secret", b"{}")[0] == 404
    assert api.call("POST", "/v1/webhooks/taken/dead-letters/x/redelivery")[0] == 400
    assert api.call("POST", "/v1/webhooks/taken/dead-letters/1/redelivery")[0] == 404
