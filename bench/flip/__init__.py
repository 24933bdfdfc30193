"""A hundred flips under load: what requests notice of them.

versions    a real model (MiniLM's weights, padded to `--size`), and what each version must answer
system      an authority, a node and worker processes, all real; versions pushed to a file:// origin
open_loop   requests at times that no answer delays, each counted from when it was due, all checked
flipping    flips to versions that the node does not have: fetched, cloned, loaded, warmed
killing     the same while workers and the daemon are killed
rolling     rollbacks between resident versions, each worker asked all the time
plain_copy  the bytes of a version alone, by `cp`: what the machine makes of them
stolen      what the hypervisor takes meanwhile
usual       the usual way: workers poll a path and load a private copy in process

For each of `--workers`: what the workers can do at most is measured, and half of that is the load;
then `--flips` flips, each after `--rest-s` of quiet, so that both are measured on a machine as
fast; rollbacks; then `--kill-s` seconds with a worker killed
every second (as long as all others are up) and the daemon every five, under the load of one worker
less. The node's cache has room for three versions and there
are four, so each flip fetches; `--changed` says how much differs between versions (the rest is
copied from the version before), `--whole` makes all of it differ. The load stands for other
machines and goes before the workers (as root; else it has their niceness).

Names, in `rows` for each number of workers, and of the first at the top:
failed, wrong           of all requests of all phases; a request is asked again of another worker if
                        its own was killed, and fails only if nobody answers within 5 s
p50, p99, p999_quiet_ms and _busy_ms
                        from when a request was due to its answer, quiet and during the flips
p50, p99, p999_bringing_ms and _switching_ms
                        of the busy ones, those under way until the version was resident, and those
                        under way from then to the last worker's switch, which load and warm
busy_to_quiet           p99 busy over p99 quiet
rollback_ms             median; from the node's receipt to the last worker's first answer by the old
                        version, workers asked all the time; rollback_ms_max the worst
rollback_switch_ms      the same to the last worker's switch (its next answer is by the old version)
rollback_flip_ms        the same to the host's flip, before which no worker can switch
promote_to_last_worker_ms
                        median; from the call to the last worker's switch, fetch and load included
promote_to_resident_ms  the part of it until the version is resident; loading and warming: the rest
stolen_quiet, stolen_busy
                        share of all processors' time that the hypervisor took meanwhile
*_plain_quiet_ms, *_plain_busy_ms, plain_busy_to_quiet, stolen_plain_quiet and _busy
                        the same with `--plain-copies`: while `cp` brings a version's bytes and
                        nothing else is done
flips, requests, retried, worker_kills, daemon_kills, capacity_per_s, load_per_s
usual_*                 of the usual way, under the same load; absent without memory for it;
                        usual_error, if its workers did not load a version within a minute
acquire_median_ns       of the call, and acquire_with_median_ns of the whole `with` block, as in
                        `bench hot_path`
`python -m bench flip --json`.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

from bench import hot_path
from bench._units import size
from bench.flip.row import measure
from bench.flip.versions import VERSIONS, make_versions
from cachctl.demo.fleet import Fleet


def run(argv: list[str]) -> dict[str, Any]:
    options = _options(argv)
    rng = random.Random(options.seed)
    folder = Path(tempfile.mkdtemp(prefix="bench-flip-", dir=options.dir))
    rows = []
    try:
        versions = make_versions(
            folder / "versions", options.size, options.size if options.whole else options.changed,
            options.seed,
        )  # fmt: skip
        for workers in options.workers:
            place = folder / f"workers-{workers}"
            place.mkdir()
            with tempfile.TemporaryDirectory(prefix="bench-") as runtime:
                with Fleet(place, Path(runtime), services=True) as fleet:
                    rows.append(measure(fleet, place, versions, workers, options, rng))
                _remove(place)
    finally:
        _remove(folder)
    acquire = hot_path.run(["--batches", "4000", "--seed", str(options.seed)])
    return {
        "bench": "flip", **rows[0], "acquire_median_ns": acquire["acquire_call_median_ns"],
        "acquire_with_median_ns": acquire["acquire_median_ns"],
        "size_bytes": options.size, "versions": VERSIONS, "whole": options.whole,
        "bulk_share": options.bulk_share,
        "changed_bytes": options.changed, "seed": options.seed, "rows": rows,
    }  # fmt: skip


def _remove(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)  # published versions are read-only
    shutil.rmtree(folder, ignore_errors=True)


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench flip")
    parser.add_argument("--workers", type=_counts, default=[2, 8], help="2,8")
    parser.add_argument("--flips", type=int, default=100)
    parser.add_argument("--size", type=size, default=1 << 30, help="of a version")
    parser.add_argument("--changed", type=size, default=64 << 20, help="that differs between two")
    parser.add_argument("--whole", action="store_true", help="all of it differs")
    parser.add_argument("--load", type=float, default=0.5, help="of what the workers can do")
    parser.add_argument("--rest-s", type=float, default=4.0, help="quiet before each flip")
    parser.add_argument("--bulk-share", default="100%", help="the node's option of that name")
    parser.add_argument("--kill-s", type=float, default=30.0, help="0: no kills")
    parser.add_argument("--plain-copies", type=int, default=0, help="of a version, by cp alone")
    parser.add_argument("--usual-flips", type=int, default=10, help="0: not the usual way")
    parser.add_argument("--dir", help="where files lie (default: the temp directory)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args(argv)
    if min(options.workers) < 1 or options.flips < 1 or not 0 < options.load < 1:
        parser.error("workers and flips are at least 1, the load is between 0 and 1")
    if options.rest_s <= 0:
        parser.error("without a rest there is no quiet to compare with")
    return options


def _counts(text: str) -> list[int]:
    try:
        return [int(one) for one in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 2,8") from None
