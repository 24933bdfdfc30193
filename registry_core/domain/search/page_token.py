"""Where a page ended: opaque to clients, bound to the query it belongs to.

base64url (no padding) of canonical JSON {"v":1,"q":<16 hex of SHA-256 of the query>,"at":"<hex>"}.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from registry_core.domain import canonical, limits
from registry_core.errors import InvalidInput

_FORMAT = 1


def encode_token(query: str, position: bytes) -> str:
    """`query` is all that decides what comes after `position`."""
    data = canonical.encode({"v": _FORMAT, "q": _hash(query), "at": position.hex()})
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode_token(token: str, query: str) -> bytes:
    """The position, or InvalidInput if the token is damaged or of another query."""
    token = token[: limits.PAGE_TOKEN_CHARS_MAX + 1]
    try:
        data = base64.urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        document = canonical.decode(data, bytes_max=limits.PAGE_TOKEN_CHARS_MAX, what="page_token")
        if document["v"] == _FORMAT and document["q"] == _hash(query):
            return bytes.fromhex(document["at"])
    except (ValueError, KeyError, TypeError, binascii.Error, InvalidInput):
        pass
    raise InvalidInput("page_token is not of this search: start again without it")


def _hash(query: str) -> str:
    return hashlib.sha256(query.encode()).hexdigest()[:16]
