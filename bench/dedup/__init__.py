"""What a new version moves, by what changed in it: the product's chunks beside fixed-size ones.

weights    a transformer's weights as a safetensors file, made from a seed
changes    what a new version changes
fixed_cut  the same file in chunks of a fixed size
line       one model: pushes to its origin, and a node that holds its first version

The first version is pushed to a `file://` origin and fetched by a node; then each change is made to
it, pushed, fetched by that node from the origin, and dropped there, so that every change meets the
first version alone. For each change, in bytes:

changed_bytes      tensors that differ from the first version's, or are new: no scheme moves less
new_bytes          chunks of the version that the first version does not have; new_share of all
fixed_new_bytes    the same if the file is cut at the same chunk size from its start, wherever
                   tensors lie; fixed_new_share of all
pushed_bytes       by which the origin grew: packs with their indexes, manifest, bundle and hint
fetched_bytes      chunks and documents that came to the node over the network
cloned_bytes       chunks that the node took over from the first version's file, sharing its blocks
                   where the filesystem can and copying them where not

They depend on seed and size alone, not on the machine (signatures vary by a few bytes).
`python -m bench dedup --json`.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

from bench._units import size
from bench.dedup.changes import CHANGES, changed_bytes
from bench.dedup.fixed_cut import fixed_chunks, new_bytes
from bench.dedup.line import Line
from bench.dedup.weights import BYTES_MIN, Weights, transformer, write_weights


def run(args: list[str]) -> dict[str, Any]:
    options = _options(args)
    folder = Path(tempfile.mkdtemp(prefix="bench-dedup-", dir=options.dir))
    try:
        return _measure(folder, options.size, options.seed)
    finally:
        shutil.rmtree(folder, onerror=_make_writable)


def _options(args: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench dedup", description=__doc__)
    parser.add_argument("--size", type=size, default=1 << 30, help="of the file, about: 1GiB")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--dir", help="where files lie, three times the size")
    options = parser.parse_args(args)
    if options.size < BYTES_MIN:
        parser.error(f"--size is at least {BYTES_MIN >> 20}MiB: less is no transformer")
    return options


def _measure(folder: Path, bytes_about: int, seed: int) -> dict[str, Any]:
    first = transformer(bytes_about)
    path = folder / "model" / "model.safetensors"
    path.parent.mkdir()
    write_weights(path, first, seed)
    with Line.begin(folder / "line", path.parent) as line:
        before = fixed_chunks(path, line.chunk_bytes)
        rows = []
        for number, (name, change) in enumerate(CHANGES.items(), 1):
            weights = change(first, number, random.Random(f"{seed} {name}"))
            write_weights(path, weights, seed)
            rows.append({"change": name} | _row(line, path, first, weights, before))
    return {
        "bench": "dedup",
        "rows": rows,
        "tensors": len(first.tensors),
        "size_bytes": sum(tensor.bytes for tensor in first.tensors),
        "chunk_bytes": line.chunk_bytes,
        "seed": seed,
    }


def _row(
    line: Line, path: Path, first: Weights, weights: Weights, before: dict[bytes, int]
) -> dict[str, Any]:
    moved = line.move(path.parent)
    file_bytes = path.stat().st_size
    fixed = new_bytes(fixed_chunks(path, line.chunk_bytes), before)
    return {
        "changed_bytes": changed_bytes(first, weights),
        "new_bytes": moved.new_bytes,
        "new_share": round(moved.new_bytes / file_bytes, 4),
        "fixed_new_bytes": fixed,
        "fixed_new_share": round(fixed / file_bytes, 4),
        "pushed_bytes": moved.pushed_bytes,
        "fetched_bytes": moved.fetched_bytes,
        "cloned_bytes": moved.cloned_bytes,
    }


def _make_writable(function: Any, path: str, _: Any) -> None:
    """Published versions are read-only folders."""
    Path(path).parent.chmod(0o755)
    function(path)
