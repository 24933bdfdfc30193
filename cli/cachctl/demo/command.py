"""`cachctl demo`: run the story, show a table."""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from cachctl import exits
from cachctl.demo.interruptions import ended_by_signals
from cachctl.output import emit_json, emit_table, size_text
from cachctl.target import Settings, with_settings


@click.command(name="demo")
@click.option(
    "--model",
    nargs=2,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR_V1 DIR_V2",
    help="Two versions of your own safetensors model.",
)
@click.option(
    "--workdir",
    type=click.Path(path_type=Path),
    help="Keep everything here.  [default: a temporary directory, removed]",
)
@click.option(
    "--requests-per-second",
    "per_second",
    default=250.0,
    show_default=True,
    type=click.FloatRange(1, 100_000),
    help="Of each worker.",
)
@click.option("--seed", type=int, help="Of the model and the questions.  [default: random]")
@with_settings
def command(
    settings: Settings, model: tuple[Path, Path] | None, workdir: Path | None, per_second: float,
    seed: int | None,
) -> int:  # fmt: skip
    """Run the main job on this machine: an authority, three nodes and four inference workers as
    processes; push two versions, promote, promote and roll back under load, kill -9 a worker and a
    node on the way. Every answer is checked against what the version that claims to have given it
    must answer.

    Without --model it makes a small classifier (25 MB) of its own. BERT models are run by a forward
    pass in numpy, any other safetensors model by a probe through its matrices.

    \b
    Examples:
      cachctl demo
      cachctl demo --json
      cachctl demo --model ./v1 ./v2 --requests-per-second 20
    """  # fmt: skip
    chosen = seed if seed is not None else random.SystemRandom().randrange(1 << 31)
    with ended_by_signals(), _folder(workdir) as folder:
        figures = _run(folder, model, per_second, chosen)
    for complaint in figures["complaints"]:
        click.echo(f"cachctl: {complaint}", err=True)
    if settings.as_json:
        emit_json(figures)
    else:
        _emit(figures)
    return exits.OK if figures["failed"] == figures["wrong"] == 0 else exits.INTERNAL


def _run(
    folder: Path, model: tuple[Path, Path] | None, per_second: float, seed: int
) -> dict[str, Any]:
    from cachctl.demo.fleet import Fleet
    from cachctl.demo.story import Story, tell_story
    from cachctl.demo.tiny_model import make_versions

    began = time.monotonic()

    def say(what: str) -> None:
        click.echo(f"{time.monotonic() - began:6.1f} s  {what}", err=True)

    first, second = model or make_versions(folder / "models", seed)
    with (
        tempfile.TemporaryDirectory(prefix="cachd-demo-", dir=_memory_folder()) as runtime,
        Fleet(folder, Path(runtime)) as fleet,
    ):
        story = Story(fleet, folder, Path(runtime), say, per_second, seed)
        return tell_story(story, first, second)


@contextmanager
def _folder(workdir: Path | None) -> Iterator[Path]:
    """Where everything is made: an empty `workdir`, which is kept, or a temporary directory."""
    if workdir is None:
        with tempfile.TemporaryDirectory(prefix="cachd-demo-") as folder:
            yield Path(folder)
        return
    workdir.mkdir(parents=True, exist_ok=True)
    if any(workdir.iterdir()):
        raise click.UsageError(f"--workdir {workdir} is not empty: give a new or empty directory")
    yield workdir.resolve()


def _memory_folder() -> str | None:
    """Sockets and flip pages belong in memory, as /run is; a disk's journal would delay flips."""
    candidates = (os.environ.get("XDG_RUNTIME_DIR", ""), "/dev/shm", "/run")  # noqa: S108  # a private folder is made in it
    return next((folder for folder in candidates if folder and os.access(folder, os.W_OK)), None)


def _emit(figures: dict[str, Any]) -> None:
    moved = max(figures["v2_bytes_moved_per_node"].values())
    rows = [
        ("requests answered and checked", f"{figures['requests']}"),
        ("failed", f"{figures['failed']}"),
        ("wrong or mixed versions", f"{figures['wrong']}"),
        ("flips", f"{figures['flips']}"),
        ("rollback, worst (receipt to last worker's answer)", f"{figures['rollback_ms']} ms"),
        ("rollback, median", f"{figures['rollback_ms_median']} ms"),
        ("slowest worker", f"{figures['rps_per_worker_min']} answers/s"),
        ("latency p50 / p99", f"{figures['p50_ms']} / {figures['p99_ms']} ms"),
        ("version 2 moved to a node, at most",
         f"{size_text(moved)} of {size_text(figures['v2_bytes_total'])}"),
        ("from the origin / from peers",
         f"{size_text(figures['bytes_from_origin'])} / {size_text(figures['bytes_from_peers'])}"),
        ("asked again after a kill", f"{figures['retried']}"),
    ]  # fmt: skip
    emit_table("", ["", ""], rows)
