"""Reads that fall back from one origin to another, object by object or for good."""

from __future__ import annotations

from pathlib import Path

import pytest
from blake3 import blake3

from registry_core.domain.packs import Location, PackName
from registry_core.errors import NotFound, OriginError
from registry_core.origin.fallback import FallbackOrigin
from registry_core.origin.layout import pack_key
from registry_core.origin.store import Origin

NAME = PackName(blake3(b"a pack").digest())
PLACE = Location(NAME, 2, 4)


@pytest.fixture
def origins(tmp_path: Path) -> tuple[Origin, Origin]:
    """The first has what is asked for, and so has the second, in other words."""
    first, second = (Origin.open((tmp_path / name).as_uri()) for name in ("first", "second"))
    for origin, data in ((first, b"..first.."), (second, b"..second..")):
        origin.put(pack_key(NAME), data)
        origin.put("manifests/aa/x", data)
    return first, second


def read(origin: Origin) -> tuple[bytes, bytes]:
    return bytes(origin.read_chunk(PLACE)), origin.get("manifests/aa/x", bytes_max=100)


def break_(tmp_path: Path) -> None:
    """Reading the first's pack fails, and not because it is missing."""
    pack = tmp_path / "first" / pack_key(NAME)
    pack.unlink()
    pack.symlink_to(pack)


def test_the_first_answers_what_it_can(origins: tuple[Origin, Origin]) -> None:
    origin = FallbackOrigin(*origins)
    assert read(origin) == (b"firs", b"..first..")
    assert (origin.url, origin.bytes_from_second) == (origins[0].url, 0)


@pytest.mark.parametrize("harm", ["missing", "cut"])
def test_one_object_that_is_harmed_says_nothing_of_others(
    origins: tuple[Origin, Origin], harm: str
) -> None:
    origins[0].delete(pack_key(NAME))
    if harm == "cut":
        origins[0].put(pack_key(NAME), b"..fi")
    origin = FallbackOrigin(*origins)
    assert read(origin) == (b"seco", b"..first..")
    assert origin.bytes_from_second == 4


def test_one_that_fails_is_not_asked_again(origins: tuple[Origin, Origin], tmp_path: Path) -> None:
    break_(tmp_path)
    origin = FallbackOrigin(*origins)
    assert read(origin) == (b"seco", b"..second..")
    assert not origin.give_up(), "that is no news"


def test_it_can_be_given_up(origins: tuple[Origin, Origin]) -> None:
    origin = FallbackOrigin(*origins)
    assert origin.give_up()
    assert read(origin) == (b"seco", b"..second..")
    assert not origin.give_up()


def test_without_a_second_it_is_the_first(origins: tuple[Origin, Origin], tmp_path: Path) -> None:
    origin = FallbackOrigin(origins[0], None)
    assert not origin.give_up()
    assert read(origin) == (b"firs", b"..first..")
    origins[0].delete("manifests/aa/x")
    with pytest.raises(NotFound):
        origin.get("manifests/aa/x", bytes_max=100)
    break_(tmp_path)
    with pytest.raises(OriginError):
        origin.read_chunk(PLACE)
