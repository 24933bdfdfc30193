"""Every event in a real JetStream stream, once and in order, through kills of either side."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest

from registry_core.registry import Registry
from tests.events.deliverers import Authority, eventually, make_home, say
from tests.events.nats_server import NatsServer, Stored
from tests.models import make_model

pytestmark = pytest.mark.slow


@pytest.fixture
def server() -> Iterator[NatsServer]:
    with NatsServer.in_new_folder() as server:
        yield server


@pytest.fixture
def authority(tmp_path: Path, server: NatsServer) -> Iterator[Authority]:
    made = Authority(make_home(tmp_path / "registry", tmp_path), nats=server.url)
    yield made
    made.stop()


def everything(authority: Authority) -> list[str]:
    """Ids of all events, as the API has them."""
    found = authority.api().call("GET", "/v1/events?limit=1000")[1]["events"]
    return [event["id"] for event in found]


def ids(stored: list[Stored]) -> list[str]:
    return [json.loads(one.body)["id"] for one in stored]


def wait_for_some(server: NatsServer, count: int) -> None:
    eventually(lambda: len(server.stored()) >= count, "some are there")


def wait_for_all(authority: Authority, server: NatsServer, within_s: float = 30.0) -> list[Stored]:
    wanted = everything(authority)
    eventually(lambda: len(server.stored()) >= len(wanted), "all are there", within_s)
    stored = server.stored()
    assert ids(stored) == wanted, "each once, in order"
    return stored


def test_subjects_and_ids(authority: Authority, server: NatsServer, tmp_path: Path) -> None:
    with authority.connect() as registry:
        registry.push(make_model(tmp_path / "dotted", tensors=1, seed=7), "a.b_c")
        registry.promote("a.b_c@production", 1)
    stored = wait_for_all(authority, server)
    known = authority.api().call("GET", "/v1/events?limit=1000")[1]["events"]
    assert [json.loads(one.body) for one in stored] == known
    name = authority.api().call("GET", "/v1/registry")[1]["registry"]
    assert [one.id for one in stored] == [f"{name}-{event['id']}" for event in known]
    subjects = [one.subject.removeprefix(f"cachd.{name}.") for one in stored]
    assert subjects[:3] == ["registry.created._", "registry.policy.set._", "model.created.m"]
    assert subjects[-1] == "model.stage.moved.a%2Eb_c"


def test_the_authority_is_killed(authority: Authority, server: NatsServer) -> None:
    for number in range(3):
        with authority.connect() as registry:
            say(registry, 25)
        wait_for_some(server, 25 * number + 1)
        authority.kill()
        authority.start()
    wait_for_all(authority, server)


def test_repeats_are_dropped_by_the_server(authority: Authority, server: NatsServer) -> None:
    """As after a kill between the acknowledgement and the cursor."""
    stored = wait_for_all(authority, server)

    async def repeat() -> None:
        client = await nats.connect(server.url)
        for one in stored:
            ack = await client.jetstream().publish(
                one.subject, one.body, headers={"Nats-Msg-Id": one.id}
            )
            assert ack.duplicate
        await client.close()

    asyncio.run(repeat())
    assert server.stored() == stored


def test_the_server_is_killed(authority: Authority, server: NatsServer) -> None:
    with authority.connect() as registry:
        say(registry, 10)
        wait_for_all(authority, server)
        server.kill()
        _say_while_it_is_down(registry)
        server.start()
        say(registry, 5)
    wait_for_all(authority, server)


def test_a_server_that_comes_later(tmp_path: Path, server: NatsServer) -> None:
    server.kill()
    authority = Authority(make_home(tmp_path / "registry", tmp_path), nats=server.url)
    try:
        with authority.connect() as registry:
            _say_while_it_is_down(registry)
        server.start()
        wait_for_all(authority, server)
    finally:
        authority.stop()


def test_two_registries_share_a_stream(
    authority: Authority, server: NatsServer, tmp_path: Path
) -> None:
    """Their events have the same sequences, and none is taken for a repeat of another's."""
    mine = len(wait_for_all(authority, server))
    (tmp_path / "other").mkdir()
    other = Authority(make_home(tmp_path / "other" / "registry", tmp_path / "other"), server.url)
    try:
        theirs = len(everything(other))
        eventually(lambda: len(server.stored()) == mine + theirs, "those of both")
    finally:
        other.stop()


def _say_while_it_is_down(registry: Registry) -> None:
    say(registry, 10)
    assert registry.resolve("m/1").version.number == 1, "nothing else waits for it"
