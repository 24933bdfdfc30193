"""Options that say something about a version: metrics, lineage, schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cachctl.pairs import parse_pairs
from registry_core.domain.metadata import parse_metric
from registry_core.errors import InvalidInput


def field_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--metric, --lineage and --schema; pass what they give to `said_fields`."""
    for option in (
        click.option("--schema", type=click.Path(path_type=Path, dir_okay=False, exists=True),
                     help="A JSON file: {\"inputs\": …, \"outputs\": …}."),
        click.option("--lineage", multiple=True, metavar="K=V",
                     help="Where it comes from: dataset, parent, git_commit, run_url, …"),
        click.option("--metric", "metrics", multiple=True, metavar="K=NUMBER",
                     help="What an evaluation gave."),
    ):  # fmt: skip
        command = option(command)
    return command


def said_fields(
    *,
    tags: tuple[str, ...] = (),
    metrics: tuple[str, ...] = (),
    lineage: tuple[str, ...] = (),
    schema: Path | None = None,
) -> dict[str, Any]:
    """The fields as `Metadata.annotate` takes them."""
    fields: dict[str, Any] = {f"tags.{k}": v for k, v in parse_pairs("--tag", tags).items()}
    for key, value in parse_pairs("--metric", metrics).items():
        fields[f"metrics.{key}"] = parse_metric(value, f"--metric {key}")
    fields |= {f"lineage.{k}": v for k, v in parse_pairs("--lineage", lineage).items()}
    if schema is not None:
        try:
            fields["schema"] = json.loads(schema.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InvalidInput(f"--schema {schema} cannot be read as JSON: {error}") from error
    return fields
