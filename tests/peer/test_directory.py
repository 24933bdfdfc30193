"""A peer's address has one spelling for people and one parser."""

from __future__ import annotations

import pytest

from cachd.peer.directory import PeerAddress
from registry_core.errors import InvalidIdentifier


@pytest.mark.parametrize(
    "text",
    [
        "node-a=127.0.0.1:7420",
        "a=models.example.com:1@eu-west",
        "a=h:1@eu/rack-1",
        "a=h:1@/rack-1",
        "n.1=[::1]:65535",
        "a=10.0.0.1:9",
    ],
)
def test_text_round_trips(text: str) -> None:
    assert str(PeerAddress.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "node-a",
        "node-a=127.0.0.1",
        "node-a=:7420",
        "=127.0.0.1:7420",
        "Node=127.0.0.1:7420",
        "a=127.0.0.1:0",
        "a=127.0.0.1:65536",
        "a=127.0.0.1:7420@EU",
        "a=host name:1",
        "a=" + "h" * 300 + ":1",
        None,
    ],
)
def test_anything_else_is_refused(text: object) -> None:
    with pytest.raises(InvalidIdentifier):
        PeerAddress.parse(text)


@pytest.mark.parametrize(
    ("text", "has_name"),
    [("a=10.0.0.1:9", False), ("a=[::1]:9", False), ("a=localhost:9", True), ("a=h.eu:9", True)],
)
def test_a_name_is_to_be_looked_up(text: str, *, has_name: bool) -> None:
    assert PeerAddress.parse(text).has_name is has_name
