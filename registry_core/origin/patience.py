"""How long a request to an origin is tried again beneath `Origin`, and how long one may take.

obstore tries again by itself what may help: answers 5xx and 429, connections that fail or drop,
timeouts. These are its only settings, so that the sum of tries is known: a caller that has no tries
of its own is PATIENT; a fetch, which has, and is to notice when the origin has too much to do, is
PROMPT. A library of retries around `Origin` (stamina, say) would multiply these by its own, and
know less: obstore sees the answer's status and a body that broke off, this code only that it
failed. What a fetch does about it is in cachd.fetch.blame and origin_pace: a pause for that source,
and other sources meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds. At most `retries_max` more tries, none begun later than `retry_s` after the first;
    pauses double from `pause_first_s` to `pause_max_s`, with jitter. `request_s` is for one try,
    its body included."""

    retries_max: int
    retry_s: float
    request_s: float
    pause_first_s: float = 0.1
    pause_max_s: float = 10.0
    connect_s: float = 5.0

    def retry_config(self) -> Any:
        """As obstore's stores take it."""
        return {
            "max_retries": self.retries_max,
            "retry_timeout": timedelta(seconds=self.retry_s),
            "backoff": {
                "init_backoff": timedelta(seconds=self.pause_first_s),
                "max_backoff": timedelta(seconds=self.pause_max_s),
                "base": 2,
            },
        }

    def client_options(self) -> dict[str, Any]:
        """Of the HTTP client; what an operator gives goes before."""
        return {"timeout": f"{self.request_s:g}s", "connect_timeout": f"{self.connect_s:g}s"}


PATIENT = Patience(retries_max=10, retry_s=180, request_s=90)
"""Half a minute of answers like 503 is survived. Two packs of 64 MiB at once fit on 12 Mbit/s."""
PROMPT = Patience(retries_max=1, retry_s=10, request_s=30)
"""One more try, for a kept connection that had gone. Its pause is 0.1 s."""
ONCE = Patience(retries_max=0, retry_s=10, request_s=30)
"""For a question whose second answer would be another."""
