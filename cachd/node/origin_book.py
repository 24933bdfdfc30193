"""Where the origin is, as the authority says; remembered for when the authority is away.

Blocking; called from the threads that fetch. Credentials come from this host's environment.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import msgspec

from cachd.control.documents import RegistryBody
from cachd.control.http import HttpClient
from cachd.control.problems import AuthorityUnavailable
from registry_core.errors import RegistryError
from registry_core.origin.store import Origin

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

    def current(self) -> Origin:
        """The origin of this node's registry. AuthorityUnavailable if nobody ever told."""
        place = self._ask() or self._remembered()
        with self._lock:
            if self._open is None or self._open[0] != place:
                self._open = (place, Origin.open(place.url, place.options))
                self._remember(place)
            return self._open[1]

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

    def _remembered(self) -> OriginPlace:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=OriginPlace)
        except (OSError, msgspec.DecodeError) as error:
            raise AuthorityUnavailable(
                "this node does not know its origin yet and the authority does not answer: it "
                "goes on as soon as `cachd authority` runs"
            ) from error

    def _remember(self, place: OriginPlace) -> None:
        aside = self._file.with_suffix(".tmp")
        with aside.open("wb") as file:
            file.write(msgspec.json.encode(place))
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._file)
