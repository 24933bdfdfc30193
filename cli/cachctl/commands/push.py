"""`cachctl push`: a directory becomes a version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cachctl.fields import field_options, said_fields
from cachctl.output import emit_json, emit_line, progress_bars, size_text
from cachctl.pairs import parse_pairs
from cachctl.target import Settings, with_settings


@click.command(name="push")
@click.argument("directory", type=click.Path(path_type=Path, readable=False))
@click.option("--model", required=True, metavar="NAME", help="The model; it is made if it is new.")
@click.option("--tag", "tags", multiple=True, metavar="K=V", help="A tag of the version.")
@click.option("--notes", default="", help="What is worth knowing about this version.")
@field_options
@click.option("--reason", default="", help="Why, for the log.")
@with_settings
def command(
    settings: Settings, directory: Path, model: str, tags: tuple[str, ...], notes: str, reason: str,
    **given: Any,
) -> None:  # fmt: skip
    """Upload the files in DIRECTORY and register them as the next version of a model.

    Chunks that earlier versions of the model have are not uploaded again; the same files give the
    same version.

    \b
    Examples:
      cachctl push ./model --model minilm
      cachctl push ./model --model minilm --tag run=1234 --notes 'more epochs'
      cachctl push ./model --model minilm --metric auc=0.93 --lineage git_commit=4f2c1e
    """
    with (
        settings.open(readonly=False) as registry,
        progress_bars(quiet=bool(settings.as_json)) as progress,
    ):
        report = registry.push(
            directory,
            model,
            tags=parse_pairs("--tag", tags),
            notes=notes,
            fields=said_fields(**given),
            reason=reason,
            progress=progress,
        )
    version = report.version
    if settings.as_json:
        emit_json(
            {
                "model": model,
                "number": version.number,
                "digest": version.digest,
                "created": report.created,
                "bytes_total": report.bytes_total,
                "bytes_new": report.bytes_new,
                "bytes_uploaded": report.bytes_uploaded,
            }
        )
    elif report.created:
        emit_line(
            f"{model}/{version.number} {version.digest}\n"
            f"{size_text(report.bytes_new)} of {size_text(report.bytes_total)} are new"
        )
    else:
        emit_line(f"these files are {model}/{version.number} already: nothing was uploaded")
