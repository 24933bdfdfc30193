"""The lane: what it counts as wrong, failed and retried. The negative controls of the demo."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cachctl.demo.forward import Forward, make_forward
from cachctl.demo.load import Lane, LaneTally, same
from cachctl.demo.protocol import Question
from cachctl.demo.tensors import view_tensors, write_tensors
from tests.demo.rig import QUESTIONS, Reply, Versions, lane_on, until


def asked(lane: Lane, times: int) -> Callable[[], bool]:
    return lambda: lane.tally.requests >= times


def drive(folder: Path, versions: Versions, *replies: Reply, times: int = 30) -> LaneTally:
    with lane_on(folder, versions, *replies) as (lane, _):
        until(asked(lane, times), f"{times} requests")
    return lane.tally


def test_honest_answers_are_right(versions: Versions, tmp_path: Path) -> None:
    tally = drive(tmp_path, versions, versions.answer)
    assert tally.requests == tally.own == len(tally.latencies_s) >= 30
    assert tally.wrong == tally.failed == tally.retried == 0
    assert tally.claims == {((1, 0), 1)}
    assert tally.now == {"worker-0": (1, 0)}
    assert tally.first_ns.keys() == {("worker-0", (1, 0))}


@pytest.fixture(params=[["embedding.3"], ["dense.0"], ["dense.1"], ["dense.0", "dense.1"]])
def mixed(request: pytest.FixtureRequest, versions: Versions, tmp_path: Path) -> Forward:
    """Version 1 with some of its tensors from version 2: files of two versions."""
    one, two = (
        view_tensors(memoryview((folder / "model.safetensors").read_bytes()))
        for folder in versions.folders.values()
    )
    path = tmp_path / "mixed.safetensors"
    write_tensors(path, one | {name: two[name] for name in request.param})
    files = {path.name: path, "config.json": versions.folders[1] / "config.json"}
    return make_forward(files, lambda name: memoryview(files[name].read_bytes()))


@pytest.mark.parametrize("claimed", [1, 2])
def test_a_mix_of_two_versions_is_wrong(
    versions: Versions, mixed: Forward, tmp_path: Path, claimed: int
) -> None:
    tally = drive(tmp_path, versions, lambda q: versions.answer(q, claimed, forward=mixed))
    # One in eight tokens lies in the shard that differs: few questions have none of those.
    assert tally.wrong > tally.requests / 2
    assert "not as version" in tally.complaints[0]


def test_the_other_version_is_wrong(versions: Versions, tmp_path: Path) -> None:
    other = versions.forwards[2]
    tally = drive(tmp_path, versions, lambda q: versions.answer(q, 1, forward=other))
    assert tally.wrong == tally.requests


def test_one_wrong_answer_among_many_is_found(versions: Versions, tmp_path: Path) -> None:
    count = iter(range(1, 1 << 30))

    def reply(question: Question) -> bytes:
        forward = versions.forwards[2 if next(count) == 17 else 1]
        return versions.answer(question, 1, forward=forward)

    tally = drive(tmp_path, versions, reply)
    assert tally.wrong == 1


def test_a_number_with_another_digest_is_wrong(versions: Versions, tmp_path: Path) -> None:
    tally = drive(tmp_path, versions, lambda q: versions.answer(q, 1, says=2))
    assert tally.wrong == tally.requests
    assert "another digest" in tally.complaints[0]


def test_an_earlier_move_is_wrong(versions: Versions, tmp_path: Path) -> None:
    guards = iter([(2, 0), (2, 1), (1, 1)])

    def reply(question: Question) -> bytes:
        generation, choice = next(guards, (3, 0))
        return versions.answer(question, 1, generation, choice)

    tally = drive(tmp_path, versions, reply)
    assert tally.wrong == 1
    assert tally.complaints == ["worker-0 went back from 2.1 to 1.1"]


def test_a_worker_that_fails_is_wrong_though_another_answers(
    versions: Versions, tmp_path: Path
) -> None:
    """Not the same as one that was killed: an exception in a worker must not pass as a retry."""
    tally = drive(tmp_path, versions, lambda q: b"", versions.answer)
    assert tally.wrong == tally.requests == tally.retried
    assert "its log says why" in tally.complaints[0]


def test_a_killed_worker_costs_retries_only(versions: Versions, tmp_path: Path) -> None:
    with lane_on(tmp_path, versions, versions.answer, versions.answer) as (lane, workers):
        until(asked(lane, 20), "20 requests")
        workers[0].kill()
        until(lambda: lane.tally.retried >= 20, "20 retries")
    assert lane.tally.failed == lane.tally.wrong == 0
    assert lane.tally.own + lane.tally.retried == lane.tally.requests


def test_a_request_that_its_worker_drops_is_retried(versions: Versions, tmp_path: Path) -> None:
    tally = drive(tmp_path, versions, lambda q: None, versions.answer)
    assert tally.retried == tally.requests
    assert tally.failed == tally.wrong == 0


def test_a_request_that_nobody_answers_failed(versions: Versions, tmp_path: Path) -> None:
    tally = drive(tmp_path, versions, lambda q: None, lambda q: None)
    assert tally.failed == tally.requests
    assert tally.own == tally.retried == 0
    assert "no worker answered" in tally.complaints[0]


def test_complaints_are_bounded(versions: Versions, tmp_path: Path) -> None:
    tally = drive(tmp_path, versions, lambda q: None, times=100)
    assert len(tally.complaints) == 20


def test_one_request_is_in_flight_all_the_time(versions: Versions, tmp_path: Path) -> None:
    """Paced, and yet the next question is there before the answer to the last was even checked:
    at any moment, that of a flip too, the worker holds one. It waits there until it is due."""
    with lane_on(tmp_path, versions, versions.answer, per_second=50) as (lane, workers):
        until(asked(lane, 15), "15 requests")
    came = [when for when, _ in workers[0].asked]
    assert 12 / 50 < came[14] - came[0] < 5, "the pace is kept"
    held = [wait_s for _, wait_s in workers[0].asked[1:]]
    assert sum(wait_s > 0.5 / 50 for wait_s in held) > len(held) / 2


def test_stop_leaves_nothing_in_flight(versions: Versions, tmp_path: Path) -> None:
    with lane_on(tmp_path, versions, versions.answer) as (lane, workers):
        until(asked(lane, 5), "5 requests")
        lane.stop()
        assert not lane.is_running
        assert lane.tally.requests == len(workers[0].asked) == len(lane.tally.latencies_s)


def test_a_fault_of_the_lane_itself_counts(versions: Versions, tmp_path: Path) -> None:
    """A reference with too few vectors breaks the lane, which must not look like quiet success."""
    seen: list[BaseException | None] = []
    before, threading.excepthook = threading.excepthook, lambda args: seen.append(args.exc_value)
    try:
        with lane_on(tmp_path, versions, versions.answer) as (lane, _):
            lane._references = {
                digest: type(reference)(reference.number, reference.vectors[:3])
                for digest, reference in versions.references.items()
            }
            until(lambda: not lane.is_running, "the lane ends")
    finally:
        threading.excepthook = before
    assert len(QUESTIONS) > 3
    assert isinstance(seen[0], IndexError)
    assert lane.tally.failed == 1
    assert "IndexError" in lane.tally.complaints[-1]


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_same_forgives_rounding_and_nothing_more(scale: float) -> None:
    expected = np.array([1.0, -0.5, 0.001, 0.0], dtype=np.float32) * np.float32(scale)
    rounded = expected * np.float32(1 + 1e-6)
    assert same(rounded, expected)
    assert not same(expected * np.float32(1.001), expected)
    assert not same(expected[:3], expected)
    assert not same(np.full(4, np.nan, dtype=np.float32), expected)
    assert same(np.zeros(4), np.zeros(4))
