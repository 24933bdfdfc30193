"""The authorities of a registry as a daemon knows them: one in use, the others in reserve."""

from __future__ import annotations

from urllib.parse import urlsplit

from registry_core.errors import InvalidInput


class Authorities:
    """`text`: a URL, or several with commas between; `relays` come before them. Event loop only."""

    def __init__(self, text: str, relays: str = "") -> None:
        self._relays = [_checked(one.strip()) for one in relays.split(",") if one.strip()]
        self._urls = self._relays + [_checked(one.strip()) for one in text.split(",")]
        self._current = 0

    @property
    def url(self) -> str:
        """Of the one in use."""
        return self._urls[self._current]

    @property
    def is_relay(self) -> bool:
        """Whether the one in use relays what an authority said."""
        return self._current < len(self._relays)

    @property
    def could_relay(self) -> bool:
        """Whether there is a relay, and another is in use."""
        return bool(self._relays) and not self.is_relay

    def prefer_relays(self) -> None:
        self._current = 0

    def gave_up_on(self, url: str) -> None:
        """`url` does not answer: the next one, unless somebody has moved on already."""
        if url == self.url:
            self._current = (self._current + 1) % len(self._urls)


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise InvalidInput(f"{url!r:.200} is not the URL of an authority, http://HOST:PORT")
    return url.rstrip("/")
