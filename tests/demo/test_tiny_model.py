from __future__ import annotations

from pathlib import Path

import numpy as np

from cachctl.demo.load import same
from cachctl.demo.tensors import view_tensors
from cachctl.demo.tiny_model import make_versions
from tests.demo.rig import QUESTIONS, SEED, Versions, digest

CHANGED = {"embedding.3", "dense.0", "dense.1"}


def test_a_seed_makes_the_same_bytes(versions: Versions, tmp_path: Path) -> None:
    again = make_versions(tmp_path / "again", SEED)
    other = make_versions(tmp_path / "other", SEED + 1)
    for number, folder in enumerate(again):
        name = "model.safetensors"
        made = (versions.folders[number + 1] / name).read_bytes()
        assert (folder / name).read_bytes() == made
        assert (other[number] / name).read_bytes() != made


def test_version_2_is_version_1_fine_tuned(versions: Versions) -> None:
    first, second = (
        view_tensors(memoryview((folder / "model.safetensors").read_bytes()))
        for folder in versions.folders.values()
    )
    assert first.keys() == second.keys()
    assert {name for name in first if not np.array_equal(first[name], second[name])} == CHANGED
    total = sum(tensor.nbytes for tensor in first.values())
    assert 20e6 < total < 30e6
    assert sum(first[name].nbytes for name in CHANGED) < total / 5


def test_the_versions_answer_every_question_differently(versions: Versions) -> None:
    one, two = (versions.references[digest(number)].vectors for number in (1, 2))
    assert not any(same(a, b) for a, b in zip(one, two, strict=True))
    assert len({vector.tobytes() for vector in (*one, *two)}) == 2 * len(QUESTIONS)
