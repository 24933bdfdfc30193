"""A quota as people write it."""

from __future__ import annotations

import pytest

from cachd.cache.quota import Quota
from registry_core.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("200GiB", 200 * 2**30), ("1.5 GB", 1_500_000_000), ("64k", 64_000), ("10Ki", 10_240),
        ("4096", 4096), ("4096B", 4096), ("80%", 800), ("12.5%", 125), ("100%", 1000),
    ],
)  # fmt: skip
def test_sizes_and_shares(text: str, size: int) -> None:
    assert Quota.parse(text).of(1000) == size


@pytest.mark.parametrize("text", ["", "0", "0%", "101%", "-1", "1 PB", "%", "GiB", "nan", "1e3"])
def test_what_is_no_quota_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="200GiB"):
        Quota.parse(text)
