"""Two authorities on one PostgreSQL ledger: one is killed under load, again and again.

No acknowledged write is lost, none is made twice, clients retry through, and a reader of the log
that goes from one authority to the other sees every entry once and in order.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import registry_core
from cachctl.demo.fleet import Fleet
from cachctl.target import Settings
from cachctl.verification import verify_embedded
from cachd.control.http import HttpClient
from cachd.control.problems import AuthorityUnavailable
from cachd.control.remote import RemoteControl, connect
from registry_core.domain.entry import Entry, LogRecord
from registry_core.domain.identifiers import ModelName
from registry_core.errors import Conflict, Stale
from registry_core.ledger.log_frames import RECORD, FrameParser
from registry_core.ledger.records import StageRecord
from registry_core.push.progress import silent
from registry_core.trust.keys import Keyring
from tests.ledger.postgres_server import PostgresServer
from tests.models import make_model

PROMOTERS, KILLS = 8, 3


class Pair:
    """Two authorities as processes, each restarted on its port."""

    def __init__(self, home: Path, fleet: Fleet) -> None:
        self._home, self.fleet = home, fleet
        self.urls = {name: self._start(name, 0) for name in ("one", "two")}

    @property
    def url(self) -> str:
        return ",".join(self.urls.values())

    def kill_and_restart(self, name: str) -> None:
        self.fleet.kill(name)
        self._start(name, int(self.urls[name].rpartition(":")[2]))

    def _start(self, name: str, port: int) -> str:
        said = self.fleet.start_daemon(
            name, "authority", "--home", str(self._home), "--listen", f"127.0.0.1:{port}"
        )
        return str(said["url"])


@pytest.fixture
def pair(tmp_path: Path, postgres: PostgresServer) -> Iterator[Pair]:
    home = tmp_path / "registry"
    with registry_core.init(home, ledger=postgres.new_database()) as registry:
        for number in range(3):
            registry.push(make_model(tmp_path / f"v{number}", tensors=1, seed=number), "m")
        for stage in range(3):
            registry.promote(f"m@s{stage}", 1)
    with Fleet(tmp_path) as fleet:
        yield Pair(home, fleet)
    settings = Settings(registry=str(home))
    assert verify_embedded(settings, deep=False, progress=silent).problems == []


class Load:
    """Promoters that read a stage, decide, and promote, until they are told to stop."""

    def __init__(self, url: str, home: Path, seed: int) -> None:
        self._url, self._home = url, home
        self.made: list[tuple[StageRecord, str]] = []
        self.stale = 0
        self.failed: list[BaseException] = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._promote, args=(random.Random(f"{seed} {n}"), f"actor-{n}")
            )
            for n in range(PROMOTERS)
        ]

    @contextmanager
    def running(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(60)

    def _promote(self, rng: random.Random, actor: str) -> None:
        with connect(self._url, Keyring(self._home / "keys"), actor) as registry:
            while not self._stop.is_set():
                try:
                    stage = f"m@s{rng.randrange(3)}"
                    made = registry.promote(stage, rng.randrange(1, 4))
                    self.made.append((made, actor))
                except Stale:
                    self.stale += 1
                except Conflict:
                    continue
                except BaseException as error:
                    self.failed.append(error)
                    return


class Follower:
    """Reads the log from whichever authority answers, and goes on where it was."""

    def __init__(self, urls: list[str]) -> None:
        self._urls = urls
        self.entries: list[Entry] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def stop_at(self, sequence: int) -> None:
        deadline = time.monotonic() + 30
        while not self.entries or self.entries[-1].sequence < sequence:
            assert time.monotonic() < deadline, "the follower did not catch up"
            time.sleep(0.02)
        self._stop.set()
        self._thread.join(30)

    def _follow(self) -> None:
        turn = 0
        while not self._stop.is_set():
            client = HttpClient(self._urls[turn % 2], timeout_s=1.0)
            turn += 1
            parser, after = FrameParser(), self.entries[-1].sequence if self.entries else 0
            try:
                for piece in client.stream(f"/v1/log?after={after}"):
                    for frame in parser.feed(piece):
                        if frame.kind == RECORD:
                            self.entries.append(LogRecord.decode(frame.payload).entry())
                    if self._stop.is_set():
                        return
            except AuthorityUnavailable:
                time.sleep(0.02)


@pytest.mark.slow
def test_one_is_killed_under_load(pair: Pair, tmp_path: Path, seed: int) -> None:
    home, rng = tmp_path / "registry", random.Random(seed)
    load, follower = Load(pair.url, home, seed), Follower(list(pair.urls.values()))
    with load.running():
        for _ in range(KILLS):
            before = len(load.made)
            _until(lambda before=before: len(load.made) > before + 30 or bool(load.failed))
            pair.kill_and_restart(rng.choice(["one", "two"]))
    assert load.failed == []
    with registry_core.open(home, readonly=True) as registry:
        history = {entry.sequence: entry for entry in registry.history("m", newest=1_000_000)}
    for made, actor in load.made:
        entry = history[made.sequence]
        assert (entry.type, entry.actor) == ("stage.moved", actor)
        assert entry.after["generation"] == made.generation
    assert len({made.sequence for made, _ in load.made}) == len(load.made), "none answered twice"
    moves = [e for e in history.values() if e.type == "stage.moved" and e.actor != _filler(history)]
    assert len(moves) == len(load.made), "every move was acknowledged once, retries included"
    for stage in range(3):
        generations = [
            entry.after["generation"]
            for _, entry in sorted(history.items())
            if entry.subject == f"model/m/stage/s{stage}"
        ]
        assert generations == list(range(1, len(generations) + 1)), "each won by one promoter"
    follower.stop_at(max(history))
    assert [e.sequence for e in follower.entries] == list(range(1, len(follower.entries) + 1))
    assert {e.sequence: e for e in follower.entries if "model/m" in e.subject} == history
    print(json.dumps({"promotes": len(load.made), "stale": load.stale}))


@pytest.mark.slow
def test_a_node_goes_on_with_the_other(pair: Pair, tmp_path: Path) -> None:
    """It follows and reports to whichever is there, and both know what it serves."""
    home = tmp_path / "registry"
    pair.fleet.start_daemon(
        "node", "node", "--name", "n1", "--authority", pair.url,
        "--root", str(home / "root.json"), "--data", str(tmp_path / "node"),
        "--listen", "127.0.0.1:0", "--serve", "m@s0",
    )  # fmt: skip

    def serves(url: str, number: int) -> bool:
        with connect(url, Keyring(home / "keys"), "tester") as registry:
            control = registry.control
            assert isinstance(control, RemoteControl)
            return any(
                stage["observed"] and stage["observed"]["number"] == number
                for node in control.status(ModelName("m"))["nodes"]
                for stage in node["stages"]
            )

    for number, name in ((2, "one"), (3, "two"), (1, "one")):
        other = "two" if name == "one" else "one"
        with connect(pair.urls[name], Keyring(home / "keys"), "tester") as registry:
            registry.promote("m@s0", number)
        for url in pair.urls.values():
            _until(lambda url=url, number=number: serves(url, number))
        pair.kill_and_restart(other)


def _filler(history: dict[int, Entry]) -> str:
    """Who made the registry before the load began."""
    return history[min(history)].actor


def _until(holds: Any) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
