"""Origin over a directory: durable writes, bounded reads, one error that says what to do."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from registry_core.domain.packs import Location, PackName
from registry_core.errors import InvalidInput, NotFound, OriginError
from registry_core.origin.layout import pack_key
from registry_core.origin.store import Origin

NAME = PackName(b"\xab" * 32)


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin.open((tmp_path / "an origin").as_uri())


def test_put_size_get_delete(origin: Origin, tmp_path: Path) -> None:
    assert origin.size("a/b") is None
    for data in (b"first", bytearray(b"second"), memoryview(b"third")):
        origin.put("a/b", data)
        assert origin.get("a/b", bytes_max=100) == bytes(data)
        assert origin.size("a/b") == len(data)
    assert (tmp_path / "an origin" / "a" / "b").read_bytes() == b"third"
    origin.delete("a/b")
    with pytest.raises(NotFound, match="there is nothing to read a/b"):
        origin.get("a/b", bytes_max=100)


def test_put_new_leaves_what_is_there(origin: Origin) -> None:
    assert origin.put_new("a/b", b"first")
    assert not origin.put_new("a/b", b"second")
    assert origin.get("a/b", bytes_max=100) == b"first"


def test_put_new_lets_one_of_many_win(origin: Origin) -> None:
    start, won = threading.Barrier(8), []

    def race(number: int) -> None:
        start.wait(10)
        if origin.put_new("a/b", b"%d" % number):
            won.append(b"%d" % number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert won == [origin.get("a/b", bytes_max=10)]


def test_more_than_expected_is_not_read(origin: Origin) -> None:
    origin.put("a/b", bytes(101))
    with pytest.raises(OriginError, match="has 101 bytes where at most 100") as caught:
        origin.get("a/b", bytes_max=100)
    assert not caught.value.retryable


def test_chunks(origin: Origin) -> None:
    origin.put(pack_key(NAME), b"hello cachd")
    assert bytes(origin.read_chunk(Location(NAME, 6, 5))) == b"cachd"
    for place in (Location(NAME, 6, 6), Location(NAME, 100, 5)):
        with pytest.raises(OriginError):
            origin.read_chunk(place)
    with pytest.raises(NotFound):
        origin.read_chunk(Location(PackName(bytes(32)), 0, 1))


def test_a_chunk_in_parts(origin: Origin) -> None:
    origin.put(pack_key(NAME), bytes(range(256)) * 1000)
    place = Location(NAME, 3, 200_000)
    parts = [bytes(part) for part in origin.chunk_in_parts(place, 1000)]
    assert b"".join(parts) == (bytes(range(256)) * 1000)[3:200_003]
    assert all(len(part) >= 1000 for part in parts[:-1])
    for place in (Location(NAME, 255_999, 2), Location(NAME, 300_000, 5)):
        with pytest.raises(OriginError):
            list(origin.chunk_in_parts(place, 1000))
    with pytest.raises(NotFound):
        list(origin.chunk_in_parts(Location(PackName(bytes(32)), 0, 1), 1000))


@pytest.mark.parametrize("url", ["/plain/path", "ftp://x", "", "file", "s3://id:secret@b/p"])
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        Origin.open(url)


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OriginError, match="cannot be opened"):
        Origin.open((tmp_path / "file" / "below").as_uri())


def test_a_place_that_is_no_file_is_one_error(origin: Origin, tmp_path: Path) -> None:
    origin.put("a/b", b"x")
    for act in (
        lambda: origin.put("a/b/c", b"y"),
        lambda: origin.get("a", bytes_max=10),
        lambda: origin.put_new("a/b/c", b"y"),
    ):
        with pytest.raises((OriginError, NotFound)):
            act()
    assert [path.name for path in (tmp_path / "an origin" / "a").iterdir()] == ["b"]
