"""Signatures of webhooks as https://www.standardwebhooks.com has them, so that receivers verify
them with a stock library. Pure.

    webhook-id         names the message; the same however often it is sent
    webhook-timestamp  Unix seconds of this attempt
    webhook-signature  `v1,` and the base64 of HMAC-SHA256(secret, "id.timestamp.body"); several,
                       with blanks between, while a secret is being rotated

A secret is 24 to 64 random bytes, written `whsec_` and their base64. It is shown nowhere: not in an
error, not in its repr.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

from registry_core.domain import limits
from registry_core.errors import InvalidInput

_PREFIX = "whsec_"


@dataclass(frozen=True, slots=True)
class Secret:
    """What sender and receiver share. `raw` is 24 to 64 bytes."""

    raw: bytes = field(repr=False)

    def __post_init__(self) -> None:
        low, high = limits.WEBHOOK_SECRET_BYTES_MIN, limits.WEBHOOK_SECRET_BYTES_MAX
        if not low <= len(self.raw) <= high:
            raise InvalidInput(
                f"secret: it has {len(self.raw)} bytes and must have {low} to {high}"
            )

    @classmethod
    def parse(cls, text: str) -> Secret:
        encoded = text.removeprefix(_PREFIX)
        if encoded == text or len(encoded) > 2 * limits.WEBHOOK_SECRET_BYTES_MAX:
            raise InvalidInput(f"secret: it is not {_PREFIX} and base64")
        try:
            return cls(base64.b64decode(encoded, validate=True))
        except (binascii.Error, ValueError):
            raise InvalidInput(f"secret: what follows {_PREFIX} is not base64") from None

    @property
    def text(self) -> str:
        return _PREFIX + base64.b64encode(self.raw).decode()


def signature_headers(
    secrets: Sequence[Secret], message: str, time_s: int, body: bytes
) -> dict[str, str]:
    """The three headers; signed with each of `secrets`. A `message` id must not hold a dot."""
    if "." in message:
        raise InvalidInput(
            f"message id {message!r:.80} holds a dot, which separates what is signed"
        )
    return {
        "webhook-id": message,
        "webhook-timestamp": str(time_s),
        "webhook-signature": " ".join(_sign(one, message, time_s, body) for one in secrets),
    }


def _sign(secret: Secret, message: str, time_s: int, body: bytes) -> str:
    signed = f"{message}.{time_s}.".encode() + body
    digest = hmac.new(secret.raw, signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
