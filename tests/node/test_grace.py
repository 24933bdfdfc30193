"""Grace per stage, as an operator writes it."""

from __future__ import annotations

import pytest

from cachd.node.grace import Grace, GraceRule
from registry_core.errors import InvalidInput


def test_the_first_rule_that_matches_counts() -> None:
    rules = ("fraud@production=30m", "fraud@*=0", "*@staging=1.5h", "m@*=90s")
    grace = Grace(900, tuple(GraceRule.parse(text) for text in rules))
    assert grace.of("fraud", "production") == 1800
    assert grace.of("fraud", "staging") == 0
    assert grace.of("other", "staging") == 5400
    assert grace.of("m", "x") == 90
    assert grace.of("other", "production") == 900


@pytest.mark.parametrize(
    "text", ["", "fraud=1", "fraud@*", "fraud@*=", "@x=1", "fraud@*=-1", "fraud@*=25h", "a@b=1d"]
)
def test_what_is_no_rule(text: str) -> None:
    with pytest.raises(InvalidInput, match="for example"):
        GraceRule.parse(text)
