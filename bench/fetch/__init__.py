"""Fetch + verify + resident, from a peer on loopback, beside what else there is in the same run.

source      the file: random bytes, as a version in a cache
sender      a peer or the plain sender, as a program, which `sending` runs
populate    one plain file brought into memory, as a node does that with a version
ours        cachd: receive, BLAKE3 while hot, write, fsync, publish, populate
plain       the same threads: sendfile, recv_into a reused buffer, pwrite, fsync, populate; `early`
            with ours' one trick, to start writeback after each write; `discard` only receives
rivals      `aria2c -x8` and sha256sum; `huggingface_hub.snapshot_download`
web_server  nginx, where the rivals get the file
hub_client  huggingface_hub as a program
turn        one turn of one way
rounds      turns of all ways in shuffled order
loads       many loads, one after the other

All write to the same medium (`--dir`). Ours and the plain loop are durable when they end: ours
fsyncs the file and the folders of the version, plain the file and its folder; the rivals sync
nothing. The sender is another process each time. One unmeasured round comes first; then the order
is shuffled in each round, and medians are told. Ratios are medians of the ratios within a round,
so that a machine that is slower for a while does not decide them.

Names, for each size in `rows` (and of the first size at the top, too):
gbit_s, plain_gbit_s, plain_early_gbit_s, discard_gbit_s, aria2_gbit_s, aria2_alone_gbit_s,
hf_gbit_s
                        size over the time of a turn; aria2_alone is without sha256sum
ratio, ratio_to_early, ratio_to_aria2, ratio_to_aria2_alone, ratio_to_hf
                        speed of ours over that of plain, early, aria2, aria2_alone and hf
cpu_s_per_gb            what the receiving processes used
rss_mb                  the largest resident set of ours, up to publishing; what counts: `ours.Load`
spread                  slowest and fastest turn, Gbit/s
And of `--loads` loads of each of `--load-gb`, from a peer that has the version in memory:
load_p50_s, load_p95_s (so many or fewer seconds in 95 of 100 loads), load_max_s, load_rss_mb.
`missing` says which rivals could not run, and why; their names are absent then.
`python -m bench fetch --json`.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path
from typing import Any

from bench._units import size
from bench.fetch import loads, rivals, rounds
from bench.fetch.source import remove


def run(argv: list[str]) -> dict[str, Any]:
    options = _options(argv)
    folder = Path(tempfile.mkdtemp(prefix="bench-fetch-", dir=options.dir))
    figures: dict[str, Any] = {"bench": "fetch"}
    try:
        if options.only in (None, "rounds"):
            rows = [
                rounds.measure(folder, one, options.threads, options.repeats, options.seed)
                for one in options.size or [1 << 30, 5 << 30]
            ]
            figures |= rows[0] | {"rows": rows, "repeats": options.repeats}
            figures |= {"missing": rivals.missing(), "seed": options.seed}
        if options.only in (None, "loads"):
            figures |= loads.measure(folder, options.load_gb, options.loads, options.threads)
    finally:
        remove(folder)
    return figures | {
        "threads": options.threads,
        "durability": "ours and plain fsync file and folders before they end, aria2 and hf nothing",
    }


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench fetch")
    parser.add_argument(
        "--size", type=_sizes, action="extend",
        help="bytes of the model file; several: 1GiB,5GiB (which is the default)",
    )  # fmt: skip
    parser.add_argument("--repeats", type=int, default=7, help="rounds")
    parser.add_argument("--load-gb", type=_gigabytes, default=[5 * 10**8, 10**9, 5 * 10**9])
    parser.add_argument("--loads", type=int, default=20, help="of each of --load-gb")
    parser.add_argument("--only", choices=["rounds", "loads"], help="a part of it")
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--dir", help="where files lie (default: the temp directory)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="of the order")
    options = parser.parse_args(argv)
    if min(options.repeats, options.loads, *(options.size or [1]), *options.load_gb) < 1:
        parser.error("sizes, rounds and loads are at least 1")
    return options


def _sizes(text: str) -> list[int]:
    return [size(one) for one in text.split(",")]


def _gigabytes(text: str) -> list[int]:
    """Bytes, of decimal gigabytes: 0.5,1,5."""
    try:
        return [round(float(one) * 1e9) for one in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 0.5,1,5") from None
