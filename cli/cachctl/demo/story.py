"""What happens in the demo, in order. Ends with figures, or with DemoFailed."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import registry_core
from cachctl.demo.fleet import DemoFailed, Fleet
from cachctl.demo.forward import forward_of_directory
from cachctl.demo.load import SWITCH_INTERVAL_S, Key, Lane, LaneTally, Reference, same
from cachctl.demo.tensors import Array
from cachd.control.remote import RemoteControl, connect
from registry_core.domain.identifiers import ModelName
from registry_core.ledger.records import StageRecord, VersionRecord
from registry_core.registry import Registry
from registry_core.trust.keys import Keyring

MODEL, STAGE = "demo", "production"
NODES = ("node-1", "node-2", "node-3")
WORKERS = {"worker-1": "node-1", "worker-2": "node-1", "worker-3": "node-2", "worker-4": "node-3"}
_QUESTIONS, _TOKENS, _VOCABULARY = 64, 12, 30_000
_DRAWN_MAX = 2 * _QUESTIONS
_QUIET_S = 1.0
_TOGGLES = 5

Say = Callable[[str], None]


@dataclass
class Story:
    """The state of a running demo and what was measured so far."""

    fleet: Fleet
    folder: Path
    runtime: Path
    say: Say
    per_second: float
    seed: int
    url: str = ""
    questions: list[Array] = field(default_factory=list)
    sockets: dict[str, str] = field(default_factory=dict)
    lanes: dict[str, Lane] = field(default_factory=dict)
    flips: int = 0
    in_force: dict[Key, int] = field(default_factory=dict)
    rollbacks_ms: list[float] = field(default_factory=list)
    promote_ms: float = 0.0
    moved: dict[str, int] = field(default_factory=dict)
    counted: dict[tuple[str, int], tuple[int, int, int]] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)


def tell_story(story: Story, first: Path, second: Path) -> dict[str, Any]:
    """Run it all; the figures."""
    began = time.monotonic()
    expected = _expect(story, first, second)
    registry_core.init(story.folder / "registry").close()
    story.url = story.fleet.start_daemon(
        "authority", "authority", "--home", str(story.folder / "registry"),
        "--listen", "127.0.0.1:0",
    )["url"]  # fmt: skip
    for node in NODES:
        _start_node(story, node)
    story.say(f"authority at {story.url}, three nodes")

    keys = Keyring(story.folder / "registry" / "keys")
    with connect(story.url, keys, "demo") as registry:
        one, two = _push(story, registry, first), _push(story, registry, second)
        _change(story, registry.promote(f"{MODEL}@{STAGE}", one.number), "promoted version 1")
        references = {
            bytes.fromhex(version.digest.removeprefix("sha256:")): Reference(
                version.number, vectors
            )
            for version, vectors in zip((one, two), expected, strict=True)
        }
        with _load(story, references):
            _under_load(story, registry, two)
    return _figures(story, two, time.monotonic() - began)


def _under_load(story: Story, registry: Registry, two: VersionRecord) -> None:
    stage = f"{MODEL}@{STAGE}"
    time.sleep(_QUIET_S)
    began = time.monotonic()
    _change(story, registry.promote(stage, two.number), "promoted version 2 under load")
    story.promote_ms = (time.monotonic() - began) * 1e3
    story.moved = _moved(story, registry)
    _wait_for_standby(story, registry)
    for _ in range(_TOGGLES):
        _rollback(story, registry, NODES)

    story.fleet.kill("worker-2")
    _rollback(story, registry, NODES, without="worker-2")
    _start_worker(story, "worker-2")
    _settle(story, registry, tuple(WORKERS))
    story.say("killed worker-2, flipped without it, started it again")

    _count_bytes(story, registry)
    story.fleet.kill("node-3")
    alive = NODES[:2]
    _rollback(story, registry, alive, without="worker-4")
    _start_node(story, "node-3")
    _settle(story, registry, tuple(WORKERS))
    story.say("killed node-3, flipped the others, started it again: its worker never stopped")
    for _ in range(2):
        _rollback(story, registry, NODES)
    _count_bytes(story, registry)
    time.sleep(_QUIET_S / 2)
    story.ended = story.fleet.ended()


def _start_node(story: Story, node: str) -> None:
    ready = story.fleet.start_daemon(
        node, "node", "--name", node, "--authority", story.url,
        "--root", str(story.folder / "registry" / "root.json"),
        "--data", str(story.folder / node), "--run", str(story.runtime / node),
        "--listen", "127.0.0.1:0", "--serve", f"{MODEL}@{STAGE}", "--grace-s", "600",
    )  # fmt: skip
    story.sockets[node] = ready["socket"]


def _start_worker(story: Story, worker: str) -> None:
    story.fleet.start_worker(worker, story.sockets[WORKERS[worker]], MODEL, STAGE)
    story.fleet.wait_for_worker(worker)


def _push(story: Story, registry: Registry, folder: Path) -> VersionRecord:
    report = registry.push(folder, MODEL)
    megabytes = report.bytes_new / 1e6
    story.say(
        f"pushed version {report.version.number}: {megabytes:.1f} MB of "
        f"{report.bytes_total / 1e6:.1f} MB are new"
    )
    return report.version


def _expect(story: Story, first: Path, second: Path) -> list[list[Array]]:
    """What each version must answer to each question, from the original files. Questions that both
    answer alike, as some do by chance, are left out: a mix could not be seen by them."""
    rng = np.random.default_rng(story.seed)
    forwards = [forward_of_directory(folder) for folder in (first, second)]
    expected: list[list[Array]] = [[], []]
    for _ in range(_DRAWN_MAX):
        question = rng.integers(0, _VOCABULARY, _TOKENS).astype(np.int32)
        one, two = (forward(question) for forward in forwards)
        if same(one, two):
            continue
        story.questions.append(question)
        for answers, answer in zip(expected, (one, two), strict=True):
            answers.append(answer)
        if len(story.questions) == _QUESTIONS:
            return expected
    raise DemoFailed("the two versions answer most questions alike: a mix could not be seen")


@contextmanager
def _load(story: Story, references: dict[bytes, Reference]) -> Iterator[None]:
    for worker in WORKERS:
        _start_worker(story, worker)
    sockets = {worker: story.fleet.worker_socket(worker) for worker in WORKERS}
    story.lanes = {
        worker: Lane(worker, sockets, story.questions, references, story.per_second)
        for worker in WORKERS
    }
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()  # a full collection would stop all lanes at once
    for lane in story.lanes.values():
        lane.start()
    story.say(f"four workers, each asked {story.per_second:.0f} times a second")
    try:
        yield
    finally:
        for lane in story.lanes.values():
            lane.stop()


def _change(story: Story, stage: StageRecord, said: str) -> None:
    """Wait until every node, and every worker that is asked, has followed a change."""
    key = _note(story, stage)
    with connect(story.url, Keyring(story.folder), "demo") as registry:
        _wait_for_nodes(story, registry, NODES, key)
    _wait_for_workers(story, tuple(story.lanes), key)
    story.say(said)


def _rollback(story: Story, registry: Registry, nodes: tuple[str, ...], without: str = "") -> None:
    """Roll back (or forward again) and time it: from each node's receipt to its last worker's
    first answer by the version now in force."""
    stage = registry.rollback(f"{MODEL}@{STAGE}")
    key = _note(story, stage)
    workers = tuple(w for w, node in WORKERS.items() if node in nodes and w != without)
    _wait_for_workers(story, workers, key)
    received = _wait_for_nodes(story, registry, nodes, key)
    for worker in workers:
        answered_ns = _first_answer_ns(story, worker, key)
        story.rollbacks_ms.append((answered_ns - received[WORKERS[worker]]) / 1e6)
    story.say(f"{stage.guard}: version {stage.in_force.number} in force")


def _note(story: Story, stage: StageRecord) -> Key:
    """A flip: its guard, and keep which version is in force under it."""
    key = (stage.generation, stage.choice)
    story.in_force[key] = stage.in_force.number
    story.flips += 1
    return key


def _settle(story: Story, registry: Registry, workers: tuple[str, ...]) -> None:
    """Until everybody who may have been away follows what is in force."""
    stage = registry.stages(MODEL)[0]
    key = (stage.generation, stage.choice)
    _wait_for_nodes(story, registry, NODES, key)
    _wait_for_workers(story, workers, key)
    _wait_for_standby(story, registry)


def _wait_for_standby(story: Story, registry: Registry) -> None:
    """Until a rollback would find the other version loaded everywhere."""

    def ready() -> bool:
        return all(stage["standby"] for _, stage in _stages(registry))

    story.fleet.wait(ready, "every worker has both versions loaded", "authority")


def _wait_for_nodes(
    story: Story, registry: Registry, nodes: tuple[str, ...], key: Key
) -> dict[str, int]:
    """When each node received the change (CLOCK_MONOTONIC), once all of them serve it."""
    received: dict[str, int] = {}

    def served() -> bool:
        for node, stage in _stages(registry):
            seen = stage["observed"]
            if stage["state"] == "serving" and (seen["generation"], seen["choice"]) == key:
                received[node] = stage["received_ns"]
        return set(nodes) <= received.keys()

    story.fleet.wait(served, f"{', '.join(nodes)} serve {key[0]}.{key[1]}", "authority")
    return received


def _wait_for_workers(story: Story, workers: tuple[str, ...], key: Key) -> None:
    for worker in workers:
        story.fleet.wait(
            partial(_answers_by, story.lanes[worker], worker, key),
            f"{worker} answers by {key[0]}.{key[1]}",
            worker,
        )


def _answers_by(lane: Lane, worker: str, key: Key) -> bool:
    if not lane.is_running:
        raise DemoFailed("; ".join(lane.tally.complaints))
    return lane.tally.now.get(worker) == key


def _first_answer_ns(story: Story, worker: str, key: Key) -> int:
    """The first answer that any lane got from `worker` under `key`."""
    answers = (lane.tally.first_ns.get((worker, key)) for lane in story.lanes.values())
    return min(answer for answer in answers if answer is not None)


def _stages(registry: Registry) -> Iterator[tuple[str, dict[str, Any]]]:
    control = registry.control
    if isinstance(control, RemoteControl):
        for node in control.status(ModelName(MODEL))["nodes"]:
            for stage in node["stages"]:
                yield node["node"], stage


def _moved(story: Story, registry: Registry) -> dict[str, int]:
    """Bytes that each node fetched for the version it serves now."""
    moved = {
        node: stage["bytes_from_origin"] + stage["bytes_from_peers"]
        for node, stage in _stages(registry)
    }
    shown = ", ".join(f"{count / 1e6:.1f} MB" for count in moved.values())
    story.say(f"version 2 moved {shown} to the nodes; the rest they had")
    return moved


def _count_bytes(story: Story, registry: Registry) -> None:
    """Counters begin anew with each start of a node: keep those of every incarnation."""
    control = registry.control
    if isinstance(control, RemoteControl):
        for seen in control.nodes():
            report = seen.report
            counters = (report.bytes_from_origin, report.bytes_from_peers, report.bytes_local)
            story.counted[report.node, report.incarnation] = counters


def _figures(story: Story, two: VersionRecord, seconds: float) -> dict[str, Any]:
    tallies = [lane.tally for lane in story.lanes.values()]
    latencies = np.array([one for tally in tallies for one in tally.latencies_s]) * 1e3
    origin, peers, local = (sum(column) for column in zip(*story.counted.values(), strict=True))
    untrue = _untrue_claims(story, tallies)
    return {
        "requests": sum(tally.requests for tally in tallies),
        "failed": sum(tally.failed for tally in tallies) + len(story.ended),
        "wrong": sum(tally.wrong for tally in tallies) + len(untrue),
        "flips": story.flips,
        "rollback_ms": round(max(story.rollbacks_ms), 2),
        "rollback_ms_median": round(float(np.median(story.rollbacks_ms)), 2),
        "bytes_from_origin": origin,
        "bytes_from_peers": peers,
        "bytes_local": local,
        "v2_bytes_moved_per_node": story.moved,
        "v2_bytes_total": two.bytes,
        "retried": sum(tally.retried for tally in tallies),
        "rps_per_worker_min": round(min(tally.own / tally.own_s for tally in tallies), 1),
        "p50_ms": round(float(np.percentile(latencies, 50)), 2),
        "p99_ms": round(float(np.percentile(latencies, 99)), 2),
        "promote_to_last_worker_ms": round(story.promote_ms, 1),
        "seconds": round(seconds, 1),
        "seed": story.seed,
        "processes": 1 + len(NODES) + len(WORKERS),
        "cpus": os.cpu_count(),
        "complaints": [
            *(said for tally in tallies for said in tally.complaints), *untrue, *story.ended
        ],
    }  # fmt: skip


def _untrue_claims(story: Story, tallies: list[LaneTally]) -> list[str]:
    """Answers whose version was not the one in force under the guard they name."""
    return [
        f"version {number} was served under {key[0]}.{key[1]}, which stands for version "
        f"{story.in_force.get(key, 'no version')}"
        for key, number in sorted(set().union(*(tally.claims for tally in tallies)))
        if story.in_force.get(key) != number
    ]
