"""Points in time as people write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from registry_core.errors import InvalidInput

_AGO = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_CLOCK = re.compile(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?")


def parse_time_ms(text: str, option: str, now: datetime | None = None) -> int:
    """Unix milliseconds of `2026-11-23T14:03[:05[.250]][Z|+01:00]`, `2026-11-23`, `14:03` (today)
    or `90m` (so long ago; s, m, h, d). UTC where no offset is given."""
    now = now or datetime.now(UTC)
    try:
        if ago := _AGO.fullmatch(text):
            meant = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        elif _CLOCK.fullmatch(text):
            meant = datetime.fromisoformat(f"{now:%Y-%m-%d}T{text.zfill(5)}")
        else:
            meant = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise InvalidInput(
            f"{option}: {text!r:.40} is no time: write 2026-11-23T14:03, 14:03 (today) or 90m (ago)"
        ) from None
    if meant.tzinfo is None:
        meant = meant.replace(tzinfo=UTC)
    return int(meant.timestamp() * 1000)


def parse_duration_ms(text: str, option: str) -> int:
    """Milliseconds of `90s`, `30m`, `24h` or `7d`."""
    found = _AGO.fullmatch(text)
    if found is None:
        raise InvalidInput(
            f"{option}: {text!r:.40} is no length of time: write 90s, 30m, 24h or 7d"
        )
    return int(timedelta(**{_UNITS[found[2]]: int(found[1])}).total_seconds() * 1000)
