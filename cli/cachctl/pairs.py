"""Options that are given as K=V, any number of times."""

from __future__ import annotations

from registry_core.errors import InvalidInput


def parse_pairs(option: str, given: tuple[str, ...]) -> dict[str, str]:
    """Key -> value of each `given`; InvalidInput names the `option`."""
    pairs = {}
    for item in given:
        key, equals, value = item.partition("=")
        if not key or not equals:
            raise InvalidInput(f"{option} {item!r:.80} is not K=V")
        pairs[key] = value
    return pairs
