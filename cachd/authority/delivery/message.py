"""An event as a request: a CloudEvent in structured JSON mode, signed as a Standard Webhook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as package_version
from typing import Any

import msgspec

from registry_core.domain.cloud_event import PREFIX
from registry_core.domain.standard_webhooks import Secret, signature_headers

CONTENT_TYPE = "application/cloudevents+json"
_AGENT = f"cachd/{package_version('cachd')}"
_encode = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class Message:
    """`id` is the same for every attempt, and names the event beyond its registry."""

    id: str
    sequence: int
    type: str
    subject: str
    body: bytes

    @classmethod
    def of(cls, registry: str, event: dict[str, Any]) -> Message:
        number = int(event["id"])
        return cls(
            message_id(registry, number), number, event["type"], event["subject"], _encode(event)
        )

    @classmethod
    def test(cls, registry: str, webhook: str, unique: str) -> Message:
        """An event that is in no log: whoever gets it sees that it is a test."""
        kind, subject = f"{PREFIX}webhook.test", f"webhook/{webhook}"
        event = {
            "specversion": "1.0",
            "id": f"test-{unique}",
            "source": f"urn:cachd:registry:{registry}",
            "type": kind,
            "subject": subject,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "data": {"webhook": webhook},
        }
        return cls(f"{registry}-test-{unique}", 0, kind, subject, _encode(event))

    def headers(self, secrets: Sequence[Secret], time_s: int) -> dict[str, str]:
        signed = signature_headers(secrets, self.id, time_s, self.body)
        return {"Content-Type": CONTENT_TYPE, "User-Agent": _AGENT} | signed


def message_id(registry: str, sequence: int) -> str:
    """Of an event, wherever it is sent: receivers tell repeats by it."""
    return f"{registry}-{sequence}"
