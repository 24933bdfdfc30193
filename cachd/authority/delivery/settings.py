"""Times and counts of delivery. The defaults are what is documented; tests are less patient."""

from __future__ import annotations

from dataclasses import dataclass

from registry_core.domain import limits
from registry_core.errors import InvalidInput

_STREAM_CHARS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """After failure n the next attempt comes after up to `retry_s_min` times `retry_factor` to the
    power of n - 1, at most `retry_s_max`: 5 s, 20 s, 80 s, … 30 min, for about half a day."""

    retry_s_min: float = 5.0
    retry_factor: float = 4.0
    retry_s_max: float = 1_800.0
    attempts_max: int = limits.WEBHOOK_ATTEMPTS_MAX
    retry_after_s_max: float = 3_600.0
    """The longest that a receiver may ask us to stay away."""
    timeout_s: float = 15.0
    """Of one attempt, from looking up the name to the end of the answer."""


@dataclass(frozen=True, slots=True)
class NatsSettings:
    """`url`: nats://HOST:PORT, several with commas between. `stream` is made if it is missing."""

    url: str
    stream: str = "CACHD"

    def __post_init__(self) -> None:
        if not self.stream or len(self.stream) > 128 or not _STREAM_CHARS.issuperset(self.stream):
            raise InvalidInput(f"--nats-stream {self.stream!r:.80}: use A-Z a-z 0-9 _ -")
        for one in self.servers:
            if not one.startswith(("nats://", "tls://")):
                raise InvalidInput("--nats: each server is nats://HOST:PORT or tls://HOST:PORT")

    @property
    def servers(self) -> list[str]:
        return [one.strip() for one in self.url.split(",")]


READ_EVENTS = 100
"""Events that are held at once, per webhook."""
ANSWER_BYTES_READ = 4 * 1024
"""More of an answer's body is not read, and none of it is kept."""
BY_HAND_MAX = 8
"""Tests and redeliveries at once; others wait."""
THREADS = 8
LOOK_S = 1.0
"""How often the owner renews, and looks for webhooks that came, went or changed."""
TROUBLE_S = 2.0
"""Pause after the store failed."""

NATS_CONNECT_S = 5.0
NATS_ACK_S = 5.0
NATS_RETRY_S_MIN, NATS_RETRY_S_MAX = 0.2, 10.0
NATS_DUPLICATES_S = 3_600.0
"""How long a stream that we make remembers message ids."""
