"""Where a webhook delivers to, as a value. Which addresses may be connected to is not said here:
a name may lead anywhere, so whoever connects looks at that."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from registry_core.domain import limits
from registry_core.errors import InvalidInput

_SHAPE = re.compile(r"https?://[!-~]+")


@dataclass(frozen=True, slots=True)
class WebhookUrl:
    """`http://` or `https://`, a host, and what follows; no user, no fragment."""

    text: str
    host: str

    @classmethod
    def parse(cls, text: str) -> WebhookUrl:
        if len(text) > limits.WEBHOOK_URL_CHARS_MAX or not _SHAPE.fullmatch(text):
            raise InvalidInput(
                f"url {text!r:.120} is not http://… or https://… of at most "
                f"{limits.WEBHOOK_URL_CHARS_MAX} characters"
            )
        try:
            parts = urlsplit(text)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise InvalidInput(f"url {text!r:.120} is not valid: {error}") from None
        if not host or "\\" in text:
            raise InvalidInput(f"url {text!r:.120} names no host")
        if "@" in parts.netloc:
            raise InvalidInput("url: leave user and password out; the signature says who sends")
        if parts.fragment:
            raise InvalidInput(f"url {text!r:.120} has a fragment, which nobody would receive")
        return cls(text, host)

    def __str__(self) -> str:
        return self.text
