"""Which versions a model's retention rule lets go of. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from registry_core.ledger.records import VersionRecord

DAY_MS = 24 * 3600 * 1000


def expired(
    versions: Iterable[VersionRecord], rule: Mapping[str, int], named: Collection[int], now_ms: int
) -> list[VersionRecord]:
    """Those of a model's versions that exceed all that its rule gives: beyond the `keep_newest`
    newest (at least one) and older than `keep_days`. None in `named`, which stages and proposals
    name; no rule, none."""
    if not rule:
        return []
    live = sorted((v for v in versions if not v.deleted_ms), key=lambda v: v.number, reverse=True)
    oldest_ms = now_ms - rule.get("keep_days", 0) * DAY_MS
    return [
        version
        for version in live[max(1, rule.get("keep_newest", 1)) :]
        if version.created_ms < oldest_ms and version.number not in named
    ]


def rule_text(rule: Mapping[str, int]) -> str:
    """The rule as a reason in the log, e.g. `retention: keep_days=90 keep_newest=10`."""
    return "retention: " + " ".join(f"{name}={rule[name]}" for name in sorted(rule))
