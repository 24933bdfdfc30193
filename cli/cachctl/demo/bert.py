"""The BERT encoder with mean pooling, in numpy, over the weights as they lie in a file.

Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers" (2018); pooling and
normalisation as sentence-transformers does for all-MiniLM-L6-v2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cachctl.demo.tensors import Array, as_float32, is_float

_ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
_ROOT_HALF = np.float32(0.5**0.5)  # a float64 here would make all of the network float64


class Bert:
    """`config` is the model's config.json; `tensors` its weights, with or without `bert.`."""

    def __init__(self, config: Mapping[str, Any], tensors: Mapping[str, Array]) -> None:
        self._tensors = {
            name.removeprefix("bert."): as_float32(tensor)
            for name, tensor in tensors.items()
            if is_float(tensor)
        }
        self._heads = int(config["num_attention_heads"])
        self._layers = int(config["num_hidden_layers"])
        self._epsilon = np.float32(config["layer_norm_eps"])
        self.vocabulary = int(config["vocab_size"])

    def embed(self, ids: Array) -> Array:
        """The embedding, of unit length, of one text: `ids` is a vector of token ids."""
        tensors = self._tensors
        x = (
            tensors["embeddings.word_embeddings.weight"][ids]
            + tensors["embeddings.position_embeddings.weight"][: len(ids)]
            + tensors["embeddings.token_type_embeddings.weight"][0]
        )
        x = self._norm(x, "embeddings.LayerNorm")
        for layer in range(self._layers):
            x = self._layer(x, f"encoder.layer.{layer}")
        mean = x.mean(axis=0)
        return np.asarray(mean / np.linalg.norm(mean), dtype=np.float32)

    def _layer(self, x: Array, name: str) -> Array:
        attended = self._linear(self._attention(x, name), f"{name}.attention.output.dense")
        x = self._norm(x + attended, f"{name}.attention.output.LayerNorm")
        hidden = _gelu(self._linear(x, f"{name}.intermediate.dense"))
        return self._norm(
            x + self._linear(hidden, f"{name}.output.dense"), f"{name}.output.LayerNorm"
        )

    def _attention(self, x: Array, name: str) -> Array:
        query, key, value = (
            self._linear(x, f"{name}.attention.self.{part}")
            .reshape(len(x), self._heads, -1)
            .transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / np.float32(np.sqrt(query.shape[-1]))
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        mixed: Array = (weights @ value).transpose(1, 0, 2).reshape(len(x), -1)
        return mixed

    def _linear(self, x: Array, name: str) -> Array:
        made: Array = x @ self._tensors[f"{name}.weight"].T + self._tensors[f"{name}.bias"]
        return made

    def _norm(self, x: Array, name: str) -> Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self._epsilon)
        made: Array = centred / scale * self._tensors[f"{name}.weight"]
        return made + self._tensors[f"{name}.bias"]


def _gelu(x: Array) -> Array:
    return np.asarray(x * 0.5 * (1 + _erf(x * _ROOT_HALF)), dtype=np.float32)


def _erf(x: Array) -> Array:
    """Abramowitz and Stegun, "Handbook of Mathematical Functions", 7.1.26: error < 1.5e-7."""
    t = 1 / (1 + 0.3275911 * np.abs(x))
    polynomial = t * (_ERF[0] + t * (_ERF[1] + t * (_ERF[2] + t * (_ERF[3] + t * _ERF[4]))))
    return np.asarray(np.sign(x) * (1 - polynomial * np.exp(-x * x)))
