"""Regions as a script works with them.

registry.regions.add("us", "s3://models-us", {"region": "us-east-1"})
registry.regions.holding(registry.resolve("fraud/3").version)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from registry_core.control.protocol import Control
from registry_core.control.regions import Known
from registry_core.domain.identifiers import ModelName, RegionName
from registry_core.domain.region import EVERY_REGION, Region
from registry_core.errors import InvalidInput, NotFound, OriginError
from registry_core.ledger.change import Change
from registry_core.ledger.records import PrefetchRecord, RegionRecord, VersionRecord
from registry_core.origin.store import Origin


@dataclass(frozen=True, slots=True)
class Holding:
    """Whether the origin of a region holds all of a version."""

    region: str
    holds: bool
    home: bool


class Regions:
    """`Registry.regions`."""

    def __init__(self, control: Control, change: Callable[[str], Change]) -> None:
        self._control = control
        self._change = change

    def known(self) -> Known:
        """The home region, which is pushed to, and the others."""
        return self._control.regions.known()

    def add(
        self, name: str, origin: str, options: Mapping[str, str] | None = None, *, reason: str = ""
    ) -> RegionRecord:
        """Add a region with its origin; nodes there fetch from it what it holds.

        `options` are as for `init`; credentials come from the environment, never from here."""
        region = Region.parse(RegionName.parse(name), origin, dict(options or {}))
        return self._control.regions.add(region, self._change(reason))

    def remove(self, name: str, *, reason: str = "") -> None:
        """Forget a region: its nodes go on with the home region's origin. Its own origin is left
        as it is."""
        self._control.regions.remove(RegionName.parse(name), self._change(reason))

    def find(self, name: str) -> RegionRecord:
        """A region that is copied to."""
        known = self.known()
        region = RegionName.parse(name).text
        if region == known.home:
            raise InvalidInput(f"{region} is the home region: it holds whatever was pushed")
        for one in known.others:
            if one.name == region:
                return one
        raise NotFound(f"there is no region {name}: `cachctl region list` shows those there are")

    def origin(self, name: str) -> Origin:
        """Of a region that is copied to."""
        found = self.find(name)
        return Origin.open(found.url, found.options)

    def origins(self, home: Origin) -> dict[str, Origin]:
        """By region, `home` among them; one that cannot be opened from here is left out."""
        known = self.known()
        found = {known.home: home}
        for one in known.others:
            with suppress(OriginError):
                found[one.name] = Origin.open(one.url, one.options)
        return found

    def count_held(self, name: str) -> int:
        """How many versions the origin of a region other than home holds."""
        return len(self._control.regions.copies_in(RegionName.parse(name)))

    def holding(self, version: VersionRecord) -> list[Holding]:
        """Which regions' origins hold all of a version; the home region comes first."""
        known = self.known()
        copies = self._control.regions.copies(ModelName(version.model), version.number)
        held = {copy.region for copy in copies}
        others = [Holding(one.name, one.name in held, home=False) for one in known.others]
        return [Holding(known.home, holds=True, home=True), *others]

    def prefetch(
        self, version: VersionRecord, regions: Sequence[str], keep_ms: int, *, reason: str = ""
    ) -> Sequence[PrefetchRecord]:
        """Let the nodes of `regions` (`*`: of all) that serve the model bring a version, and keep
        it for so long, whether a stage comes to name it or not."""
        change = self._change(reason)
        return self._control.regions.prefetch(version, regions, keep_ms, change)

    def pins(self) -> Sequence[PrefetchRecord]:
        """Versions that nodes keep in memory, by region."""
        return self._control.regions.pins()

    def pin(
        self,
        version: VersionRecord,
        regions: Sequence[str] = (EVERY_REGION,),
        keep_ms: int | None = None,
        *,
        reason: str = "",
    ) -> Sequence[PrefetchRecord]:
        """Let the nodes of `regions` that serve the model keep a version in memory, for so long or
        until `unpin`, whatever their grace and policy say."""
        return self._control.regions.pin(version, regions, keep_ms, self._change(reason))

    def unpin(self, version: VersionRecord, *, reason: str = "") -> Sequence[PrefetchRecord]:
        """End it, in all regions; the pins that there were."""
        return self._control.regions.unpin(version, self._change(reason))
