"""Where the origin is, as the authority says; remembered for when the authority is away.

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
from registry_core.errors import OriginError, RegistryError
from registry_core.origin.store import Origin

_log = structlog.get_logger("cachd.node")
_ASK_TIMEOUT_S = 3.0


class OriginPlace(msgspec.Struct, frozen=True):
    """An origin's URL and the options its store is opened with."""

    url: str
    options: dict[str, Any]


class OriginBook:
    """Thread-safe."""

    def __init__(self, file: Path, authority_url: str) -> None:
        self._file = file
        self._client = HttpClient(authority_url, timeout_s=_ASK_TIMEOUT_S)
        self._lock = threading.Lock()
        self._open: tuple[OriginPlace, Origin] | None = None

    def find(self) -> Origin | None:
        """The origin of this node's registry; None when nobody ever told, or it cannot be opened
        (peers may still have everything)."""
        place = self._ask() or self._remembered()
        if place is None:
            return None
        with self._lock:
            try:
                if self._open is None or self._open[0] != place:
                    self._open = (place, Origin.open(place.url, place.options))
                    self._remember(place)
            except OriginError as error:
                _log.warning("origin cannot be opened", url=place.url, error=str(error))
                return None
            return self._open[1]

    def place(self) -> tuple[str, dict[str, Any]]:
        """URL and options, as they were last told; the authority is asked where it never told."""
        place = self._remembered()
        if place is None:
            place = self._ask()
            if place is None:
                raise NotFreshEnough(
                    "this node was never told where the origin is, and no authority answers"
                )
            self._remember(place)
        return place.url, place.options

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
