"""`cachctl status`: desired and observed version of a model on every node."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import click

from cachctl.output import age_text, emit_json, emit_line, emit_table, size_text
from cachctl.request_output import emit_requests
from cachctl.target import Settings, with_settings
from registry_core.domain.identifiers import ModelName
from registry_core.domain.split import percent_text

_WATCH_S = 1.0


@click.command(name="status")
@click.argument("model", metavar="NAME")
@click.option(
    "--watch",
    is_flag=True,
    help="Look again every second until interrupted; with --json a line each time.",
)
@with_settings
def command(settings: Settings, model: str, watch: bool) -> None:
    """Show what each stage should serve and what each node does serve.

    Nodes report to an authority; a registry without one has only the stages to show.

    \b
    Examples:
      cachctl --registry http://127.0.0.1:7420 status minilm
      cachctl status minilm --registry http://127.0.0.1:7420 --watch
    """
    name = ModelName.parse(model)
    while True:
        document = _status(settings, name)
        if settings.as_json:
            emit_json(document)
        else:
            if watch:
                click.clear()  # on a terminal only
            _emit(document)
        if not watch:
            return
        time.sleep(_WATCH_S)


def _status(settings: Settings, model: ModelName) -> dict[str, Any]:
    with settings.open(readonly=True) as registry:
        if settings.is_remote:
            from cachd.control.remote import RemoteControl

            control = registry.control
            if isinstance(control, RemoteControl):
                return control.status(model)
        from cachctl.stage_output import stage_json

        stages = [stage_json(stage) for stage in registry.stages(model.text)]
        return {"model": model.text, "stages": stages, "nodes": None}


def _emit(document: dict[str, Any]) -> None:
    model = document["model"]
    emit_table(
        "",
        ["stage", "serves", "guard"],
        (
            (f"{model}@{stage['stage']}", _serves(stage), stage["guard"])
            for stage in document["stages"]
        ),
    )
    if document["nodes"] is None:
        emit_line("nodes report to an authority: name one with --registry http://HOST:PORT")
        return
    if not document["nodes"]:
        emit_line("no node serves this model yet")
        return
    emit_table(
        "",
        [
            "node",
            "stage",
            "desired",
            "observed",
            "state",
            "bytes",
            "came from",
            "workers",
            "rollback",
            "memory",
            "cache",
            "seen",
            "detail",
        ],
        (row for node in document["nodes"] for row in _rows(node)),
    )
    emit_requests(document["nodes"])


def _rows(node: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for stage in node["stages"]:
        moved = f"{size_text(stage['bytes_done'])} / {size_text(stage['bytes_total'])}"
        yield (
            node["node"],
            stage["stage"],
            _point(stage["desired"]),
            _point(stage["observed"]),
            "silent" if node["silent"] else stage["state"],
            moved if stage["bytes_total"] else "-",
            _came_from(stage),
            _workers(stage),
            "ready" if stage["standby"] else "-",
            _memory(node, stage["observed"]),
            _cache(node),
            age_text(node["seen_ms"]),
            stage["detail"] or _local(stage["local"]) or node["alarm"],
        )


def _workers(stage: dict[str, Any]) -> str:
    """How many answer by the flip in force, unless all do."""
    workers, switched = stage["workers"], stage["switched"]
    return str(workers) if switched == workers else f"{switched} of {workers} switched"


def _memory(node: dict[str, Any], observed: dict[str, Any] | None) -> str:
    """Of the version that is served: whether it can leave memory, and how much of it is there."""
    digest = observed["digest"] if observed else None
    held = next((one for one in node["memory"] if one["digest"] == digest), None)
    if held is None:
        return "-"
    if held["locked"] >= held["bytes"]:
        return "locked"
    return f"warm {100 * held['there'] // max(1, held['bytes'])} %"


def _cache(node: dict[str, Any]) -> str:
    held = f"{size_text(node['cache_bytes'])} / {size_text(node['cache_limit'])}"
    return f"{held}, {node['chunks_damaged']} damaged" if node["chunks_damaged"] else held


def _came_from(stage: dict[str, Any]) -> str:
    """What moved for the version that is desired, and what this host's other versions had."""
    home = stage["bytes_from_home"]
    named = (
        ("origin", stage["bytes_from_origin"] - home),
        ("home origin", home),
        ("peers", stage["bytes_from_peers"]),
        ("local", stage["bytes_local"]),
    )
    return ", ".join(f"{name} {size_text(count)}" for name, count in named if count) or "-"


def _local(choice: dict[str, Any] | None) -> str:
    """That the host went back by itself, or that its going back has ended."""
    if choice is None:
        return ""
    if choice["ended"]:
        return f"local rollback at {choice['at']} ended at {choice['ended']}"
    ago = age_text(choice["since_ms"])
    why = f": {choice['reason']}" if choice["reason"] else ""
    return f"rolled back on this host at {choice['at']}, {ago}, by uid {choice['uid']}{why}"


def _serves(stage: dict[str, Any]) -> str:
    split, number = stage["split"], stage["in_force"]["number"]
    return (
        f"{number}, {percent_text(split)} to {stage['version']['number']}" if split else str(number)
    )


def _point(point: dict[str, Any] | None) -> str:
    if point is None:
        return "-"
    split = f", {percent_text(point['split'])} split" if point["split"] else ""
    return f"{point['number']} ({point['generation']}.{point['choice']}{split})"
