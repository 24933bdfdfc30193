"""The demo: its parts, its power to notice a wrong answer, and the whole of it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from cachctl.demo.forward import forward_of_directory
from cachctl.demo.load import Lane, Reference, same
from cachctl.demo.protocol import Answer, receive, send
from cachctl.demo.tensors import view_tensors, write_tensors
from cachctl.demo.tiny_model import make_versions

QUESTION = np.arange(12, dtype=np.int32)
FIRST, SECOND = b"\1" * 32, b"\2" * 32
REFERENCES = {
    FIRST: Reference(1, [np.array([1, 1], dtype=np.float32)]),
    SECOND: Reference(2, [np.array([2, 2], dtype=np.float32)]),
}


def test_tensors_are_views_that_the_reference_library_reads_alike(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    rng = np.random.default_rng(3)
    made = {"a": rng.random((3, 4), dtype=np.float32), "b": np.arange(5, dtype=np.int64)}
    write_tensors(tmp_path / "x.safetensors", made)
    viewed = view_tensors(memoryview((tmp_path / "x.safetensors").read_bytes()))
    for name, tensor in load_file(tmp_path / "x.safetensors").items():
        np.testing.assert_array_equal(viewed[name], tensor)
        assert not viewed[name].flags.owndata


def test_the_two_versions_answer_differently_and_repeatably(tmp_path: Path) -> None:
    one, two = make_versions(tmp_path / "a", seed=7)
    again, _ = make_versions(tmp_path / "b", seed=7)
    assert (one / "model.safetensors").read_bytes() == (again / "model.safetensors").read_bytes()
    first, second = forward_of_directory(one), forward_of_directory(two)
    assert same(first(QUESTION), forward_of_directory(again)(QUESTION))
    assert not same(first(QUESTION), second(QUESTION))


def answers(path: Path, wrong: Answer, count: int) -> Lane:
    """A lane that was given `count` answers like `wrong` by a worker that lies."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen()
    done = threading.Event()

    def lie() -> None:
        connection, _ = listener.accept()
        with connection, listener:
            for _ in range(count):
                receive(connection)
                send(connection, wrong.encode())
            done.set()
            connection.settimeout(5)
            connection.recv(1)

    threading.Thread(target=lie, daemon=True).start()
    lane = Lane("w", {"w": path}, [QUESTION], REFERENCES, per_second=1000)
    lane.start()
    assert done.wait(10)
    return lane


@pytest.mark.parametrize(
    ("number", "digest", "vector"),
    [
        (1, FIRST, [2, 2]),  # claims version 1, answers as version 2
        (2, FIRST, [1, 1]),  # number and digest of two versions
        (1, FIRST, [1, 2]),  # a mixture
        (3, b"\3" * 32, [1, 1]),  # a version nobody pushed
    ],
)
def test_a_wrong_or_mixed_answer_is_noticed(
    tmp_path: Path, number: int, digest: bytes, vector: list[float]
) -> None:
    lie = Answer(number, 1, 0, 1, digest, np.array(vector, dtype=np.float32))
    lane = answers(tmp_path / "s", lie, 3)
    lane.stop()
    assert lane.tally.wrong >= 2
    assert lane.tally.complaints


def test_a_right_answer_is_not(tmp_path: Path) -> None:
    truth = Answer(2, 1, 0, 1, SECOND, np.array([2, 2], dtype=np.float32))
    lane = answers(tmp_path / "s", truth, 3)
    lane.stop()
    assert lane.tally.wrong == 0


def test_a_request_that_nobody_answers_has_failed(tmp_path: Path) -> None:
    lane = Lane("w", {"w": tmp_path / "gone"}, [QUESTION], REFERENCES, per_second=100)
    lane.start()
    deadline = threading.Event()
    while lane.tally.failed == 0:
        assert not deadline.wait(0.01) or lane.tally.failed
    lane.stop()
    assert lane.tally.failed == lane.tally.requests > 0


@pytest.mark.slow
def test_the_whole_demo(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cachctl", "demo", "--json", "--seed", "11",
         "--workdir", str(tmp_path / "work"), "--requests-per-second", "200"],
        capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.strip().splitlines()[-1])
    print(figures)
    assert (figures["failed"], figures["wrong"]) == (0, 0)
    assert figures["requests"] > 1000
    assert figures["flips"] == 11
    assert figures["rollback_ms"] > 0
    assert 0 < max(figures["v2_bytes_moved_per_node"].values()) < figures["v2_bytes_total"] / 4
    assert figures["bytes_from_peers"] > figures["bytes_from_origin"]
