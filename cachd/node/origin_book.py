"""Where this node fetches from: the origin of its region, as the replica says, and behind it that
of the home region, as the authority says, which is remembered for when the authority is away.

Blocking; called from the threads that fetch. Credentials come from this host's environment.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import msgspec
import structlog

from cachd.control.documents import RegistryBody
from cachd.control.http import HttpClient
from cachd.control.problems import NotFreshEnough
from cachd.node.durable import replace_durably
from registry_core.domain.identifiers import RegionName
from registry_core.errors import RegistryError
from registry_core.ledger import regions
from registry_core.ledger.replica import Replica
from registry_core.origin.fallback import FallbackOrigin
from registry_core.origin.patience import PROMPT
from registry_core.origin.store import Origin

_log = structlog.get_logger("cachd.node")
_ASK_TIMEOUT_S = 3.0


class OriginPlace(msgspec.Struct, frozen=True):
    """An origin's URL and the options its store is opened with."""

    url: str
    options: dict[str, Any]


class OriginBook:
    """Thread-safe. `replica` is read for where the origin of `region` is."""

    def __init__(self, file: Path, authority_url: str, replica: Replica, region: str) -> None:
        self._file = file
        self._client = HttpClient(authority_url, timeout_s=_ASK_TIMEOUT_S)
        self._replica = replica
        self._region = RegionName.parse(region)
        self._lock = threading.Lock()  # guards what follows
        self._open: dict[str, tuple[OriginPlace, Origin]] = {}
        self._said = False

    def find(self) -> Origin | None:
        """The origin to fetch a version from, for the time of one fetch; None when nobody ever told
        of any, or none can be opened (peers may still have everything)."""
        home_place = self._ask() or self._remembered()
        own_place = self._of_region()
        with self._lock:
            home = self._opened("home", home_place)
            own = self._opened("own", own_place)
        if home_place is not None and home is not None and home_place != self._remembered():
            self._remember(home_place)
        return FallbackOrigin(own, home) if own is not None else home

    def place(self) -> tuple[str, dict[str, Any]]:
        """URL and options of the home region's origin, as they were last told; the authority is
        asked where it never told."""
        place = self._remembered()
        if place is None:
            place = self._ask()
            if place is None:
                raise NotFreshEnough(
                    "this node was never told where the origin is, and no authority answers"
                )
            self._remember(place)
        return place.url, place.options

    def _of_region(self) -> OriginPlace | None:
        """Where this region's own origin is; None if it has none, or is the home region."""
        with self._replica.read() as txn:
            known = regions.find_region(txn, self._region)
            home = regions.home_region(txn)
        if known is None and self._region != home and not self._said:
            self._said = True
            _log.info(
                "this region has no origin of its own: fetching from the home region's",
                region=self._region.text, home=home.text,
            )  # fmt: skip
        return OriginPlace(known.url, dict(known.options)) if known is not None else None

    def _opened(self, which: str, place: OriginPlace | None) -> Origin | None:
        if place is None:
            return None
        try:
            if which not in self._open or self._open[which][0] != place:
                self._open[which] = (place, Origin.open(place.url, place.options, PROMPT))
        except RegistryError as error:
            _log.warning("origin cannot be opened", url=place.url, error=str(error))
            return None
        return self._open[which][1]

    def _ask(self) -> OriginPlace | None:
        try:
            about = msgspec.json.decode(
                self._client.request("GET", "/v1/registry"), type=RegistryBody
            )
        except (RegistryError, msgspec.DecodeError):
            return None
        finally:
            self._client.close()
        return OriginPlace(about.origin_url, about.origin_options)

    def _remembered(self) -> OriginPlace | None:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=OriginPlace)
        except (OSError, msgspec.DecodeError):
            return None

    def _remember(self, place: OriginPlace) -> None:
        replace_durably(self._file, msgspec.json.encode(place))
