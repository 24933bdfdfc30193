"""Who changes something, why, and in which request."""

from __future__ import annotations

import re
from dataclasses import dataclass

from registry_core.domain import limits
from registry_core.domain.identifiers import parse_hex32
from registry_core.errors import InvalidInput

_REQUEST_ID = re.compile(rf"[!\"$-~]{{0,{limits.REQUEST_ID_CHARS_MAX}}}")


@dataclass(frozen=True, slots=True)
class Change:
    """`request_id` is an Idempotency-Key if `body` is given, the SHA-256 (hex) of what was asked:
    the same request again is then answered as before and changes nothing."""

    actor: str
    reason: str
    request_id: str
    body: str = ""

    def __post_init__(self) -> None:
        if not 1 <= len(self.actor) <= limits.ACTOR_CHARS_MAX:
            raise InvalidInput(f"actor must have 1 to {limits.ACTOR_CHARS_MAX} characters")
        if len(self.reason) > limits.REASON_CHARS_MAX:
            raise InvalidInput(f"reason must have at most {limits.REASON_CHARS_MAX} characters")
        if not _REQUEST_ID.fullmatch(self.request_id) or (self.body and not self.request_id):
            raise InvalidInput(
                f"a request id or Idempotency-Key has 1 to {limits.REQUEST_ID_CHARS_MAX} printable "
                "ASCII characters without space or #"
            )
        if self.body:
            parse_hex32(self.body, "request hash")

    @property
    def logged_request(self) -> str:
        """What the log's entries carry (`registry_core.ledger.entries.requests`)."""
        return f"{self.request_id}#{self.body}" if self.body else self.request_id
