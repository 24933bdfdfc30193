"""What workers observed of their requests, by version: below the table of `status`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cachctl.output import emit_table


def emit_requests(nodes: list[dict[str, Any]]) -> None:
    """Nothing, where no worker tells of requests."""
    rows = [row for node in nodes for stage in node["stages"] for row in _rows(node, stage)]
    if rows:
        columns = ["node", "stage", "version", "requests", "failed", "p50", "p95"]
        emit_table("requests since the daemon's start", columns, rows)


def _rows(node: dict[str, Any], stage: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for told in stage["requests"]:
        yield (
            node["node"],
            stage["stage"],
            str(told["number"]),
            str(told["requests"]),
            f"{told['failed']} ({told['failed'] / max(told['requests'], 1):.2%})",
            f"{told['p50_ms']:.2f} ms",
            f"{told['p95_ms']:.2f} ms",
        )
