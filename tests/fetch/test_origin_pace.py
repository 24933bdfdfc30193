"""Asking an origin for less when it cannot keep up: the rule, and whole fetches from a server that
refuses what is more than it can do."""

from __future__ import annotations

import dataclasses
import threading
import time
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from blake3 import blake3

from cachd.fetch.errors import FetchFailed
from cachd.fetch.origin_pace import OriginPace
from registry_core.domain.identifiers import ChunkId
from registry_core.domain.packs import Location, PackName, pack_trailer
from registry_core.origin.layout import pack_key
from registry_core.origin.patience import PROMPT
from registry_core.origin.store import Origin
from tests.cache.versions import make_version, random_bytes
from tests.fetch.rig import SETTINGS, node, put_packs, served

CHUNK = 16 * 1024
MANIFEST, CHUNKS = make_version({"weights.bin": random_bytes(60 * CHUNK, 31)}, CHUNK)


def put_apart(origin: Origin) -> dict[ChunkId, Location]:
    """Each chunk in a pack of its own: none has a neighbour to come with."""
    places = {}
    for chunk in MANIFEST.unique_chunks.values():
        data = CHUNKS[chunk.id] + pack_trailer([chunk])
        name = PackName(blake3(data).digest())
        origin.put(pack_key(name), data)
        places[chunk.id] = Location(name, 0, chunk.length)
    return places


def test_it_halves_and_climbs_by_one_for_each_round() -> None:
    pace = OriginPace(8)
    pace.slow_down(in_flight=8)
    assert pace.at_once == 4
    for _ in range(5):  # a round of four, and the fraction that was lost
        pace.gave(1, 0.0)
    assert pace.at_once == 5
    for _ in range(100):
        pace.gave(1, 0.0)
    assert pace.at_once == 8, "never more than the plan would ask for"


def test_a_run_grows_while_it_takes_hardly_longer_than_one() -> None:
    """The origin answers after 0.2 s, and gives 50 chunks a second from then on."""
    pace = OriginPace(4)
    for together in (1, 1, 2, 4):
        pace.gave(together, 0.2 + together / 50)
        assert pace.run == 2 * together, "one chunk alone costs as much as several"
    pace.gave(8, 0.2 + 8 / 50)
    assert pace.run == 4, "eight take longer than others may be made to wait"
    pace.gave(4, 0.2 + 4 / 50)
    assert pace.run == 8


def test_over_a_slow_link_chunks_are_asked_for_one_by_one() -> None:
    """Four at once share it."""
    pace = OriginPace(4)
    pace.gave(1, 0.08)
    for _ in range(8):
        pace.gave(1, 4 * 0.08)
        assert pace.run == 1


def test_it_halves_what_was_asked_for_and_ends_at_one() -> None:
    pace = OriginPace(8)
    pace.slow_down(in_flight=2)
    assert pace.at_once == 1
    pace.slow_down(in_flight=1)
    assert pace.at_once == 1


class Capacity:
    """Of a server: how many requests it does at once, and what became of them."""

    def __init__(self, at_once: int, refuse_first: int = 0) -> None:
        self.at_once = at_once
        self.refuse_first = refuse_first
        self.lock = threading.Lock()
        self.now = self.served = self.refused = 0

    def begin(self) -> bool:
        with self.lock:
            if self.now >= self.at_once or self.refused < self.refuse_first:
                self.refused += 1
                return False
            self.now += 1
            self.served += 1
            return True

    def end(self) -> None:
        with self.lock:
            self.now -= 1


def serving(root: Path, capacity: Capacity, status: int = 503) -> AbstractContextManager[Origin]:
    """The files below `root` over HTTP, with ranges; 20 ms for each, and refusals at once."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if not capacity.begin():
                self._answer(status, b"<Error><Code>SlowDown</Code></Error>")
                return
            try:
                time.sleep(0.02)  # what serving costs here
                data = (root / self.path.lstrip("/")).read_bytes()
                first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
                self._answer(206, data[first : last + 1], f"bytes {first}-{last}/{len(data)}")
            finally:
                capacity.end()

        def _answer(self, status: int, body: bytes, content_range: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
            if content_range:
                self.send_header("Content-Range", content_range)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name
            pass

    return served(Handler, PROMPT)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "origin"


@pytest.mark.parametrize("status", [503, 429])
def test_an_origin_that_can_do_two_at_once_is_asked_for_that(
    tmp_path: Path, root: Path, status: int
) -> None:
    places = put_apart(Origin.open(root.as_uri()))
    capacity = Capacity(at_once=2)
    with serving(root, capacity, status) as origin, node(tmp_path / "a", origin) as one:
        report = one.fetch(MANIFEST, places)
    assert report.bytes_from_origin == sum(map(len, CHUNKS.values()))
    assert report.complaints == ()
    print(f"{capacity.refused} refused, {capacity.served} served")
    assert 0 < capacity.refused < capacity.served


def test_an_origin_that_is_busy_is_no_origin_that_fails(tmp_path: Path, root: Path) -> None:
    """Far more refusals in a row than failures would be borne; how long they take is chance."""
    places = put_packs(Origin.open(root.as_uri()), MANIFEST, CHUNKS)
    capacity = Capacity(at_once=99, refuse_first=25)
    patient = dataclasses.replace(SETTINGS, stall_timeout_s=60.0)
    with serving(root, capacity) as origin, node(tmp_path / "a", origin, patient) as one:
        assert one.fetch(MANIFEST, places).complaints == ()
    assert capacity.refused == 25


def test_an_origin_that_stays_busy_is_told_of_in_the_end(tmp_path: Path, root: Path) -> None:
    places = put_packs(Origin.open(root.as_uri()), MANIFEST, CHUNKS)
    with (
        serving(root, Capacity(at_once=0)) as origin,
        node(tmp_path / "a", origin) as one,
        pytest.raises(FetchFailed, match="SlowDown"),
    ):
        one.fetch(MANIFEST, places)


def test_an_origin_that_fails_is_given_up_soon(tmp_path: Path, root: Path) -> None:
    """Two requests for each attempt, one attempt after another in the end: few in all."""
    places = put_packs(Origin.open(root.as_uri()), MANIFEST, CHUNKS)
    capacity = Capacity(at_once=0)
    with (
        serving(root, capacity, status=500) as origin,
        node(tmp_path / "a", origin) as one,
        pytest.raises(FetchFailed, match="gave up"),
    ):
        one.fetch(MANIFEST, places)
    assert capacity.refused <= 2 * (6 + 4)
