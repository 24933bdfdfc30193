"""What a new version changes: some tensors' values, a tensor more, or the header alone."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from bench.dedup.weights import Tensor, Weights

Change = Callable[[Weights, int, random.Random], Weights]
"""(the first version, a revision that no other change uses, chance) to the new version."""


def changed_bytes(first: Weights, second: Weights) -> int:
    """Bytes of the tensors of `second` that `first` does not have."""
    known = set(first.tensors)
    return sum(tensor.bytes for tensor in second.tensors if tensor not in known)


def _values(share: float, first: Weights, revision: int, rng: random.Random) -> Weights:
    """That share of the tensors, drawn whatever their sizes; at least one of a share above 0."""
    count = max(round(share * len(first.tensors)), 1 if share else 0)
    drawn = set(rng.sample(range(len(first.tensors)), count))
    tensors = (
        replace(tensor, revision=revision) if number in drawn else tensor
        for number, tensor in enumerate(first.tensors)
    )
    return replace(first, tensors=tuple(tensors))


def _one_more(name: str, first: Weights, _: int, __: random.Random) -> Weights:
    """A tensor of 16 rows, where its name sorts."""
    width = first.tensors[-1].shape[0]
    tensors = sorted((*first.tensors, Tensor(name, (16, width))), key=lambda tensor: tensor.name)
    return replace(first, tensors=tuple(tensors))


def _header(first: Weights, _: int, __: random.Random) -> Weights:
    """A kilobyte of metadata: all tensors lie elsewhere in the file."""
    return replace(first, metadata={**first.metadata, "training": "0123456789" * 100})


CHANGES: dict[str, Change] = {
    "nothing": partial(_values, 0.0),
    "1 % of the tensors": partial(_values, 0.01),
    "10 % of the tensors": partial(_values, 0.1),
    "50 % of the tensors": partial(_values, 0.5),
    "a tensor appended": partial(_one_more, "score.weight"),
    "a tensor inserted": partial(_one_more, "model.layers.12.adapter.weight"),
    "the header grown": _header,
}
