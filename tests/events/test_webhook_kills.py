"""Nothing is lost or out of order when the authority that delivers is killed, stalled, stopped."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from registry_core.registry import Registry
from tests.events.deliverers import Authority, add_webhook, eventually, make_home, say, webhook
from tests.events.receiver import OK, Got, Receiver, Reply, receiving
from tests.ledger.postgres_server import PostgresServer

pytestmark = pytest.mark.slow
HAND_OVER_S = 5.0


def in_order_but_for_repeats(sequences: list[int]) -> list[int]:
    """What came, without repeats; a repeat is of the last one that came before a kill."""
    first: list[int] = []
    for sequence in sequences:
        if sequence not in first:
            assert not first or sequence > first[-1], sequences
            first.append(sequence)
    return first


def wanted(authority: Authority) -> list[int]:
    found = authority.api().call("GET", "/v1/events?limit=1000")[1]["events"]
    return [int(event["id"]) for event in found]


@pytest.fixture
def single(tmp_path: Path) -> Iterator[Authority]:
    made = Authority(make_home(tmp_path / "registry", tmp_path))
    yield made
    made.stop()


def test_killed_in_the_middle(single: Authority) -> None:
    slowly = threading.Event()

    def reply(got: Got) -> Reply:
        slowly.wait(0.02)
        return OK

    with receiving(reply) as receiver:
        add_webhook(single.api(), "all", receiver.url, start=0)
        for _ in range(3):
            before = len(receiver.got)
            with single.connect() as registry:
                say(registry, 30)
            receiver.wait(before + 10)
            single.kill()
            single.start()
        everything = wanted(single)
        eventually(lambda: receiver.sequences[-1:] == everything[-1:], "the last one came")
        assert in_order_but_for_repeats(receiver.sequences) == everything
        assert len(receiver.sequences) <= len(everything) + 3, "a kill repeats one at most"


def test_a_kill_does_not_begin_the_schedule_anew(tmp_path: Path) -> None:
    """What has failed counts, and the wait for the next attempt goes on."""
    home = make_home(tmp_path / "registry", tmp_path)
    authority = Authority(home, retry_s_min=3600.0, retry_s_max=3600.0)
    try:
        with receiving(lambda got: (500, {})) as receiver:
            add_webhook(authority.api(), "down", receiver.url)
            with authority.connect() as registry:
                say(registry, 1)
            eventually(lambda: webhook(authority.api(), "down")["attempts"] == 1, "it failed")
            before = webhook(authority.api(), "down")
            authority.kill()
            authority.start()
            assert webhook(authority.api(), "down") == before
            assert authority.api().call("POST", "/v1/webhooks/down/test")[1]["status"] == 500
            assert len(receiver.got) == 2, "the attempt before the kill and the test"
            receiver.reply = lambda got: OK
            authority.api().call("POST", "/v1/webhooks/down/enable")
            receiver.wait(3)
    finally:
        authority.stop()


class Pair:
    """Two authorities on one PostgreSQL, and which of them delivers."""

    def __init__(self, home: Path, database: str) -> None:
        self._database = database
        self.both = [Authority(home), Authority(home)]

    def deliverer(self) -> Authority:
        said = [
            [line for line in one.log.read_text().splitlines() if "delivers" in line]
            for one in self.both
        ]
        owners = [
            one
            for one, lines in zip(self.both, said, strict=True)
            if lines and "delivers events" in lines[-1]
        ]
        assert len(owners) == 1, said
        return owners[0]

    def other(self, than: Authority) -> Authority:
        return self.both[1 - self.both.index(than)]

    def stall(self, one: Authority) -> float:
        """Stop a process between two transactions, as a pause of its machine may; since when. (One
        that is paused within a transaction holds up the whole ledger, which is another matter.)"""
        while True:
            began_s = time.monotonic()
            os.kill(one.pid(), signal.SIGSTOP)
            if not self._holds_a_transaction():
                return began_s
            os.kill(one.pid(), signal.SIGCONT)

    def _holds_a_transaction(self) -> bool:
        """Whether one has been open for long; those of the other authority are short."""
        deadline = time.monotonic() + 0.5
        with psycopg.connect(self._database, autocommit=True) as connection:
            while time.monotonic() < deadline:
                old = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
                    "clock_timestamp() - xact_start > interval '0.3 s'"
                ).fetchone()
                if old and old[0]:
                    return True
        return False

    def stop(self) -> None:
        for one in self.both:
            one.stop()


@pytest.fixture
def pair(tmp_path: Path, postgres: PostgresServer) -> Iterator[Pair]:
    database = postgres.new_database()
    made = Pair(make_home(tmp_path / "registry", tmp_path, database), database)
    yield made
    made.stop()


def first_after(receiver: Receiver, registry: Registry, began_s: float) -> float:
    """Seconds from `began_s` until an event arrives."""
    count = len(receiver.got)
    say(registry, 5)
    return receiver.wait(count + 1)[count].at_s - began_s


@pytest.mark.parametrize("how", ["kill", "stop", "stall"])
def test_another_authority_goes_on(pair: Pair, how: str) -> None:
    with receiving() as receiver:
        add_webhook(pair.both[0].api(), "all", receiver.url, start=0)
        with pair.both[1].connect() as registry:
            say(registry, 20)
        receiver.wait(20)
        owner = pair.deliverer()
        other = pair.other(owner)
        began_s = time.monotonic()
        if how == "kill":
            owner.kill()
        elif how == "stop":
            owner.stop()
        else:
            began_s = pair.stall(owner)
        with other.connect() as registry:
            taken_s = first_after(receiver, registry, began_s)
        print(f"after {how}: {taken_s:.2f} s")
        assert taken_s < HAND_OVER_S
        if how == "stall":
            os.kill(owner.pid(), signal.SIGCONT)
            with other.connect() as registry:
                say(registry, 20)
            eventually(lambda: "delivers no events" in owner.log.read_text(), "it notices")
        everything = wanted(other)
        eventually(lambda: receiver.sequences[-1:] == everything[-1:], "the last one came")
        assert in_order_but_for_repeats(receiver.sequences) == everything
        eventually(lambda: webhook(other.api(), "all")["cursor"] == everything[-1], "the cursor")
