"""The bench of flips: its load counts from when requests were due, retries, and finds what is
wrong; its versions answer differently; its options are checked."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bench import flip
from bench.flip.load_process import LoadProcess
from bench.flip.open_loop import AT_ONCE_MAX, Phase, Tally, percentiles_ms
from bench.flip.versions import make_versions
from cachctl.demo.protocol import Question
from tests.demo.rig import QUESTIONS, Reply, ScriptedWorker, Versions, digest

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Versions:
    return Versions(tmp_path_factory.mktemp("versions"))


@pytest.fixture
def workers() -> Iterator[list[ScriptedWorker]]:
    made: list[ScriptedWorker] = []
    yield made
    for worker in made:
        worker.kill()


def load_on(
    folder: Path, versions: Versions, workers: list[ScriptedWorker], replies: list[Reply],
    phase: Phase, seconds: float = 1.0,
) -> Tally:  # fmt: skip
    paths = {f"worker-{number}": folder / f"{number}.sock" for number in range(len(replies))}
    workers += [
        ScriptedWorker(path, reply) for path, reply in zip(paths.values(), replies, strict=True)
    ]
    references = {
        digest(number): (number, [list(reference.vectors)])
        for number, reference in enumerate(versions.references.values(), 1)
    }
    with LoadProcess({name: str(path) for name, path in paths.items()}, references) as load:
        tally, _, _ = load.during(phase, lambda: time.sleep(seconds))
        return tally


def test_an_honest_worker(
    tmp_path: Path, versions: Versions, workers: list[ScriptedWorker]
) -> None:
    phase = Phase(1, QUESTIONS, per_second=100)
    tally = load_on(tmp_path, versions, workers, [versions.answer], phase)
    assert (tally.failed, tally.wrong, tally.retried, tally.complaints) == (0, 0, 0, [])
    assert len(tally.latencies_s) > 20
    assert tally.claims == {((1, 0), 1)}
    assert ("worker-0", (1, 0)) in tally.first_ns
    assert percentiles_ms(tally.latencies_s, "quiet")["p50_quiet_ms"] > 0


def test_a_stall_is_felt_by_all_who_were_due(
    tmp_path: Path, versions: Versions, workers: list[ScriptedWorker]
) -> None:
    """Half a second in which nobody answers: requests that came due meanwhile waited as well, also
    those beyond what a worker takes at once."""
    lock = threading.Lock()
    stalls_s = [0.6]

    def stalls(question: Question) -> bytes:
        with lock:
            time.sleep(stalls_s.pop() if stalls_s else 0.0)
        return versions.answer(question)

    phase = Phase(2, QUESTIONS, per_second=100)
    tally = load_on(tmp_path, versions, workers, [stalls], phase, seconds=3.0)
    assert (tally.failed, tally.wrong) == (0, 0)
    late = [latency for latency in tally.latencies_s if latency > 0.2]
    assert len(late) > 2 * AT_ONCE_MAX
    assert np.std(late) > 0.05, "each by when it was due"


def test_who_dies_is_replaced_and_who_lies_is_found(
    tmp_path: Path, versions: Versions, workers: list[ScriptedWorker]
) -> None:
    phase = Phase(3, QUESTIONS, per_second=100)
    killed: Reply = lambda _: None  # noqa: E731
    tally = load_on(tmp_path, versions, workers, [killed, versions.answer], phase)
    assert (tally.failed, tally.wrong) == (0, 0)
    assert tally.retried > 5
    lies: Reply = lambda question: versions.answer(question, forward=versions.forwards[2])  # noqa: E731
    (tmp_path / "more").mkdir()
    tally = load_on(tmp_path / "more", versions, workers, [lies], phase)
    assert tally.wrong == len(tally.latencies_s) > 0
    assert "did not answer as version 1" in tally.complaints[0]


def test_versions_are_of_the_size_and_answer_differently(tmp_path: Path) -> None:
    made = make_versions(tmp_path, 96 << 20, 4 << 20, seed=4)
    assert len(made.made) == 4
    for version in made.made:
        size = (version.folder / "model.safetensors").stat().st_size
        assert 92 << 20 < size < 97 << 20
    first, second = made.made[0].vectors[0], made.made[1].vectors[0]
    assert np.abs(first - second).max() > 1e-3


@pytest.mark.parametrize("wrong", [["--workers", "x"], ["--flips", "0"], ["--load", "1"]])
def test_wrong_options_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        flip.run(wrong)
    assert "bench flip: error" in capsys.readouterr().err
