"""Regions: each has one origin, and this is how the log says where that is. Pure.

What an origin is opened with (endpoint, region of the provider…) is said; credentials never are:
they come from the environment of whoever opens it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from registry_core.domain import limits
from registry_core.domain.identifiers import RegionName
from registry_core.errors import InvalidInput

HOME_REGION = RegionName("local")
"""What the region that is pushed to is called, unless `init` was told another name."""
EVERY_REGION = "*"
_OPTION = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_SECRET = re.compile(r"secret|password|token|credential|key|\bsas\b|_sas", re.IGNORECASE)
_NO_SECRET = frozenset({"sse_kms_key_id", "aws_sse_kms_key_id"})


@dataclass(frozen=True, slots=True)
class Region:
    """A region, the URL of its origin, and the options that origin's store is opened with."""

    name: RegionName
    url: str
    options: Mapping[str, str]

    @classmethod
    def parse(cls, name: RegionName, url: object, options: object) -> Region:
        return cls(name, _parse_url(url, "url"), _parse_options(options))


def _parse_url(text: object, what: str) -> str:
    if not isinstance(text, str) or not 1 <= len(text) <= limits.REGION_URL_CHARS_MAX:
        chars = limits.REGION_URL_CHARS_MAX
        raise InvalidInput(f"{what}: an origin's URL has 1 to {chars} characters")
    parts = urlsplit(text)
    if not parts.scheme or not text.isprintable():
        raise InvalidInput(f"{what} {text!r:.200} is not a URL such as s3://bucket/prefix")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InvalidInput(
            f"{what}: an origin's URL carries neither credentials nor a query: "
            "credentials come from the environment"
        )
    return text


def _parse_options(options: object) -> dict[str, str]:
    if not isinstance(options, dict) or len(options) > limits.REGION_OPTIONS_MAX:
        raise InvalidInput(f"options: at most {limits.REGION_OPTIONS_MAX}, as key and value")
    for key, value in options.items():
        if not isinstance(key, str) or not _OPTION.fullmatch(key):
            raise InvalidInput(f"option {key!r:.80} is no name of an option")
        if _SECRET.search(key) and key.lower() not in _NO_SECRET:
            raise InvalidInput(
                f"option {key} looks like a credential, and everybody can read the log: "
                "credentials come from the environment"
            )
        if not isinstance(value, str) or len(value) > limits.REGION_OPTION_CHARS_MAX:
            raise InvalidInput(
                f"option {key}: its value is text of at most {limits.REGION_OPTION_CHARS_MAX} "
                "characters"
            )
        if "://" in value:
            _parse_url(value, f"option {key}")
    return dict(options)
