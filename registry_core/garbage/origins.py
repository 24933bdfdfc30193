"""The origins of all regions as gc sees them: as one.

A pack has the same name wherever it lies, so it is condemned once for all of them: it is as young
as the youngest of its copies, and goes everywhere before it is forgotten. A run that cannot reach
one of the origins fails before it has deleted any pack.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from registry_core.domain.packs import PackName
from registry_core.embedded.control import EmbeddedControl
from registry_core.errors import InvalidIdentifier, NotFound
from registry_core.garbage.plan import StoredPack
from registry_core.origin.layout import PACKS, pack_key
from registry_core.origin.store import Listed, Origin


@dataclass(frozen=True, slots=True)
class Leftover:
    """Half of an object, and where it lies."""

    origin: Origin
    found: Listed


class Origins:
    """`home` and, by the names of their regions, the `others`."""

    def __init__(self, home: Origin, others: dict[str, Origin]) -> None:
        self.home = home
        self.others = others

    @classmethod
    def of(cls, control: EmbeddedControl, home: Origin) -> Origins:
        known = control.regions.known().others
        return cls(home, {one.name: Origin.open(one.url, one.options) for one in known})

    @property
    def all(self) -> list[Origin]:
        return [self.home, *self.others.values()]

    def list(self, prefix: str) -> Iterator[Listed]:
        """What lies in any of them; a key may come several times."""
        for origin in self.all:
            yield from origin.list(prefix)

    def packs_beyond(self, referenced: Collection[PackName]) -> Iterator[StoredPack]:
        """Packs that are not in `referenced`, each once."""
        if not self.others:
            yield from _packs(self.home, referenced)
            return
        merged: dict[PackName, StoredPack] = {}
        for origin in self.all:
            for pack in _packs(origin, referenced):
                known = merged.get(pack.name, replace(pack, bytes=0))
                newest_ms = max(known.modified_ms, pack.modified_ms)
                merged[pack.name] = StoredPack(pack.name, known.bytes + pack.bytes, newest_ms)
        yield from merged.values()

    def leftovers(self) -> Iterator[Leftover]:
        for origin in self.all:
            for found in origin.leftovers():
                yield Leftover(origin, found)

    def delete(self, key: str) -> None:
        """Wherever it is."""
        for origin in self.all:
            with suppress(NotFound):
                origin.delete(key)


def _packs(origin: Origin, referenced: Collection[PackName]) -> Iterator[StoredPack]:
    """Objects whose keys are not those of packs are none of ours, and left alone."""
    for found in origin.list(PACKS):
        try:
            name = PackName.parse_hex(found.key.rpartition("/")[2])
        except InvalidIdentifier:
            continue
        if found.key == pack_key(name) and name not in referenced:
            yield StoredPack(name, found.bytes, found.modified_ms)
