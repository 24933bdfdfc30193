"""The split of requests by key: deterministic anywhere, monotone, as large as it was asked for."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import binary, integers, text

from cachd.serve.errors import InvalidArgument
from cachd.serve.flip_page import Record
from cachd.serve.split import Split, check_key, key_bytes, salted, threshold

NAME = "minilm@production"
PICKS = """
import json, sys
from tests.serve.test_split import NAME, splitter
for_new = splitter(300)
print(json.dumps([for_new(key) for key in json.load(sys.stdin)]))
"""


class Side:
    """As much of a view as a split looks at."""

    def __init__(self, generation: int) -> None:
        self.generation = generation


def splitter(per_mille: int, *, name: str = NAME, generation: int = 7) -> Any:
    """Whether a key gets the new version."""
    old, new = Side(generation), Side(generation)
    split: Any = Split(1, old, new, name=name, per_mille=per_mille)  # type: ignore[type-var,arg-type]
    return lambda key: split.pick(key) is new


def some_keys(count: int) -> list[str]:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    return [f"user-{rng.getrandbits(64)}" for _ in range(count)]


def test_golden_hash() -> None:
    """docs/FORMATS.md, "Split by key"."""
    mixed = salted(NAME, 7)
    mixed.update(key_bytes("user-1"))
    whole = hashlib.blake2b(b"minilm@production\x007\x00user-1", digest_size=8)
    assert mixed.digest() == whole.digest() == bytes.fromhex(GOLDEN)
    assert threshold(500) == bytes.fromhex("8000000000000000")
    assert threshold(1) == bytes.fromhex("004189374bc6a7ef")


GOLDEN = "68e36667c1c562f0"


@given(text() | binary() | integers(), integers(1, 998), integers(1, 998))
def test_a_larger_share_only_moves_keys_to_the_new_version(
    key: str | bytes | int, first: int, second: int
) -> None:
    small, large = sorted((first, second))
    assert splitter(large)(key) or not splitter(small)(key)
    assert splitter(small)(key) == splitter(small)(key)


@pytest.mark.parametrize("per_mille", [1, 50, 100, 500, 999])
def test_the_share_is_what_was_asked_for(per_mille: int) -> None:
    keys = some_keys(40_000)
    for_new = splitter(per_mille)
    share = per_mille / 1000
    sigma = (share * (1 - share) / len(keys)) ** 0.5
    by_key = sum(map(for_new, keys)) / len(keys)
    by_chance = sum(for_new(None) for _ in keys) / len(keys)
    assert abs(by_key - share) < 5 * sigma, by_key
    assert abs(by_chance - share) < 5 * sigma, by_chance


@pytest.mark.parametrize("other", [{"generation": 8}, {"name": "minilm@staging"}])
def test_another_move_or_stage_draws_other_cohorts(other: dict[str, Any]) -> None:
    keys = some_keys(20_000)
    first, second = splitter(200), splitter(200, **other)
    both = sum(first(key) and second(key) for key in keys) / len(keys)
    assert abs(both - 0.2 * 0.2) < 5 * (0.04 * 0.96 / len(keys)) ** 0.5, "independent"


def test_every_process_says_the_same() -> None:
    keys: list[str | int] = [*some_keys(500), *range(500)]
    here = [splitter(300)(key) for key in keys]
    for hash_seed in ("0", "1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        there = subprocess.run(
            [sys.executable, "-c", PICKS], input=json.dumps(keys), env=environment,
            capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert json.loads(there.stdout) == here


def test_a_number_is_its_decimal_text() -> None:
    for number in (0, 42, -7, 10**30, np.int64(42)):
        assert key_bytes(number) == str(int(number)).encode() == key_bytes(str(int(number)))
    assert key_bytes("é\udc80") == "é\udc80".encode("utf-8", "surrogatepass")
    assert key_bytes(10**5000) == b"%x" % 10**5000, "Python makes no such decimal text"


@pytest.mark.parametrize("key", [1.0, True, ["u"], ("u", 1), object(), bytearray(b"u")])
def test_what_is_no_key(key: object) -> None:
    with pytest.raises(InvalidArgument, match="text, bytes or a whole number"):
        check_key(key)


def test_a_split_on_the_page_is_of_its_flip() -> None:
    record = Record(9, 3, 2, 1, 4, 500)
    other = Record(9, 3, 2, 1)
    assert other.with_split(record.split_word)
    assert (other.split_handle, other.split) == (4, 500)
    for flip in (7, 11, 9 + 2**30):
        stale = Record(flip, 3, 2, 1)
        assert not stale.with_split(record.split_word)
        assert (stale.split_handle, stale.split) == (0, 0)
    for bit in range(64):
        assert not Record(9, 3, 2, 1).with_split(record.split_word ^ 1 << bit), bit
