"""The safetensors files of a version, mapped: one, or the shards that an index names."""

from __future__ import annotations

from cachd.serve.errors import WeightsRefused
from cachd.serve.limits import INDEX_BYTES_MAX, SHARDS_MAX, TENSORS_MAX
from cachd.serve.loaders.safetensors_header import Place, tensor_places
from cachd.serve.version import View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from cachd.serve.version import Version

_SUFFIX = ".safetensors"
_INDEX_SUFFIX = ".safetensors.index.json"
_USUAL = ("model.safetensors.index.json", "model.safetensors")


def tensors(
    v: Version | View[Any], name: str | None, *, private: bool = False
) -> Iterator[tuple[memoryview, Place, str]]:
    """Buffer of the file, place within it, and path of the file, for every tensor.

    The buffers are memory of the version (`v.buffer`), or with `private` copied on write; in both
    cases whatever is made of them keeps the version. WeightsRefused, FileRefused."""
    name = name or _choose(v.files)
    wanted = _indexed(v, name) if name.endswith(_INDEX_SUFFIX) else {name: None}
    version = v.loaded.version if isinstance(v, View) else v
    for path, names in wanted.items():
        file = version.sources.map(path, version.lease, private=True) if private else v.buffer(path)
        places = tensor_places(file, path)
        if names is not None:
            _check_shard(path, names, {place.name for place in places})
        for place in places:
            yield file, place, path


def _choose(files: dict[str, int]) -> str:
    """The file that `name` need not name."""
    for usual in _USUAL:
        if usual in files:
            return usual
    found = [path for path in files if path.endswith((_SUFFIX, _INDEX_SUFFIX))]
    indexes = [path for path in found if path.endswith(_INDEX_SUFFIX)]
    candidates = indexes or found
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise WeightsRefused(
            f"this version has no safetensors file, only {', '.join(sorted(files)[:10])}"
        )
    raise WeightsRefused(
        f"this version has several safetensors files: say which with name={candidates[0]!r}, or "
        f"another of {', '.join(sorted(candidates)[:10])}"
    )


def _indexed(v: Version | View[Any], name: str) -> dict[str, set[str]]:
    """Path of each shard -> names of the tensors that it is to have."""
    folder = name.rpartition("/")[0]
    try:
        weight_map = _weight_map(v.buffer(name))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise WeightsRefused(
            f"{name} is no index of safetensors files ({error}): push a version with a sound one"
        ) from error
    shards: dict[str, set[str]] = {}
    for tensor, shard in weight_map.items():
        shards.setdefault(f"{folder}/{shard}" if folder else shard, set()).add(tensor)
    if len(shards) > SHARDS_MAX:
        raise WeightsRefused(f"{name} names {len(shards)} files: at most {SHARDS_MAX} are read")
    return shards


def _weight_map(index: memoryview) -> dict[str, str]:
    """ValueError, TypeError, KeyError, RecursionError."""
    import json

    if len(index) > INDEX_BYTES_MAX:
        raise ValueError(f"more than {INDEX_BYTES_MAX} bytes")
    weight_map = json.loads(bytes(index))["weight_map"]
    if type(weight_map) is not dict or not 0 < len(weight_map) <= TENSORS_MAX:
        raise ValueError("weight_map names no tensors")
    for shard in weight_map.values():
        if type(shard) is not str or not shard.endswith(_SUFFIX):
            raise ValueError(f"{shard!r:.80} is no safetensors file")
    return weight_map


def _check_shard(path: str, names: set[str], found: set[str]) -> None:
    if missing := sorted(names - found):
        raise WeightsRefused(
            f"{path} lacks {len(missing)} tensors that the index says it has, {missing[0]!r:.80} "
            "for one: index and files are of different models"
        )
    if extra := sorted(found - names):
        raise WeightsRefused(
            f"{path} has {len(extra)} tensors that the index says nothing of, {extra[0]!r:.80} "
            "for one: index and files are of different models"
        )
