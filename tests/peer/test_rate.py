"""Rates as they are typed."""

from __future__ import annotations

import pytest

from cachd.peer.rate import Rate
from registry_core.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "bits_per_s"),
    [("800mbit", 800_000_000), ("2gbit", 2 * 10**9), ("2.5Gbit/s", 2_500_000_000),
     ("64kbit", 64_000), ("1tbit", 10**12)],
)  # fmt: skip
def test_they_are_bits_a_second(text: str, bits_per_s: int) -> None:
    assert Rate.parse(text).bits_per_s == bits_per_s
    assert Rate.parse(text).bytes_per_s == bits_per_s / 8
    assert Rate.parse(str(Rate.parse(text))) == Rate.parse(text)


@pytest.mark.parametrize(
    "text",
    ["", "800", "800 mbit", "100MB/s", "0mbit", "-1mbit", "0.0000001kbit", "1e3mbit", "mbit"],
)
def test_what_is_no_rate_is_told(text: str) -> None:
    with pytest.raises(InvalidInput, match="800mbit"):
        Rate.parse(text)
