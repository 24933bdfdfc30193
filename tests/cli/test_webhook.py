"""`cachctl webhook` at a real authority, with a real receiver."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cachctl.commands.webhook import command
from tests.cli.cachctl import cachctl
from tests.events.deliverers import Authority, eventually, make_home, say
from tests.events.receiver import Got, Receiver, Reply, receiving


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Authority]:
    made = Authority(make_home(tmp_path / "registry", tmp_path))
    yield made
    made.stop()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.mark.slow
def test_a_life(authority: Authority, receiver: Receiver, tmp_path: Path) -> None:
    at = authority.url
    added = cachctl(
        "webhook", "add", "ci", receiver.url, "--type", "model.annotated", "--json", registry=at
    )
    assert added.code == 0, added.err
    secret = added.json["secret"]
    again = cachctl("webhook", "add", "ci", receiver.url, "--type", "model.annotated", registry=at)
    assert (again.code, secret in again.out, "was there already" in again.out) == (0, False, True)
    other = cachctl("webhook", "add", "ci", "http://127.0.0.1:9/", registry=at)
    assert other.code == 4

    def only_first_fails(got: Got) -> Reply:
        return (500, {}) if got.event["data"].get("reason") == "bad" else (200, {})

    receiver.reply = only_first_fails
    with authority.connect() as registry:
        registry.metadata.annotate_model("m", {"notes": "x"}, reason="bad")
        say(registry, 1)
    receiver.wait(5)
    receiver.got[-1].verified(secret)
    bad = receiver.sequences[0]
    eventually(
        lambda: str(bad) in str(cachctl("webhook", "show", "ci", "--json", registry=at).json[
            "dead_letters"]),
        "a dead letter",
    )  # fmt: skip
    shown = cachctl("webhook", "show", "ci", registry=at).out
    for word in (receiver.url, "HTTP 500", "dead", "delivered", "enabled", str(bad)):
        assert word in shown
    listed = cachctl("webhook", "list", registry=at).out
    assert receiver.url in listed
    failed = cachctl("webhook", "redeliver", "ci", bad, registry=at)
    assert (failed.code, failed.out.startswith("not delivered: HTTP 500")) == (8, True)
    receiver.reply = lambda got: (200, {})
    assert cachctl("webhook", "redeliver", "ci", bad, registry=at).code == 0
    assert cachctl("webhook", "redeliver", "ci", bad, registry=at).code == 3
    own = tmp_path / "secret"
    own.write_text("whsec_" + "c2VjcmV0" * 4 + "\n")
    rotated = cachctl("webhook", "rotate", "ci", "--secret-file", own, "--json", registry=at)
    assert rotated.json["secret"] == own.read_text().strip()
    tested = cachctl("webhook", "test", "ci", registry=at)
    assert (tested.code, tested.out.startswith("delivered: HTTP 200")) == (0, True)
    receiver.got[-1].verified(secret)
    receiver.got[-1].verified(own.read_text().strip())
    assert cachctl("webhook", "enable", "ci", registry=at).out == "ci: enabled\n"
    assert cachctl("webhook", "remove", "ci", registry=at).code == 0
    assert cachctl("webhook", "show", "ci", registry=at).code == 3
    assert cachctl("webhook", "list", "--json", registry=at).json["webhooks"] == []


def test_it_needs_an_authority(home: Path) -> None:
    said = cachctl("webhook", "list", registry=home)
    assert (said.code, "http://HOST:PORT" in said.err) == (2, True)


def test_examples_of_each_part() -> None:
    assert isinstance(command, click.Group)
    outer = click.Context(command, info_name="webhook")
    for name, part in command.commands.items():
        _, _, text = (part.help or "").partition("Examples:")
        lines = [shlex.split(line) for line in text.splitlines() if line.strip()]
        assert lines, name
        for words in lines:
            assert words[:3] == ["cachctl", "webhook", name]
            part.make_context(name, words[3:], parent=outer)
