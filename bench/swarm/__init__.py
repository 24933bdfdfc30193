"""One file from one origin to N hosts over shaped links: cachd beside what people use.

lab           network namespaces: hosts, a switch, shaped links, loss
source        the file: in a cachd origin, on a web server, as torrents
systems       what each system runs on the hosts, and one distribution by it
parts         what the programs on the hosts have in common
cachd_node    a node's cache, peer server and fetch
corrupt_node  a peer that gives noise
torrent_peer  a libtorrent session
download      curl and aria2c
plain_relay   the same bytes by a fixed schedule: what they alone cost

The bound is F / B: each host must receive F bytes over a link of rate B. `last_over_bound` and
`p50_over_bound` are medians over the repeats of the last host's and the middle host's time over it;
`origin_copies` is all that left the origin's host, headers included, in copies of the file;
`between_copies` what passed the link between two regions. `machine_cpu_s` is all that the machine
did meanwhile: programs (`cpu_s_per_gb` is theirs), shaped links, and the origin's server.
Systems take turns in shuffled order; all have the same congestion control. Root only:
`python -m bench swarm --nodes 8 --rate 100mbit --size 64MiB --json`.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench._units import bits, size
from bench.swarm.lab import Lab, Rates, require_root
from bench.swarm.source import make_source
from bench.swarm.systems import COMPARED, SYSTEMS, Outcome, Source, System, Trouble, run_once


def run(args: list[str]) -> dict[str, Any]:
    options = _options(args)
    require_root()
    rng = random.Random(options.seed)
    systems = [SYSTEMS[name] for name in options.systems]
    outcomes: dict[str, list[Outcome]] = {system.name: [] for system in systems}
    folder = Path(tempfile.mkdtemp(prefix="cachd-swarm-", dir=options.dir))
    try:
        source = make_source(folder / "source", options.size)
        for repeat in range(options.repeats):
            for system in rng.sample(systems, len(systems)):
                outcome = _once(system, source, folder / "run", options, options.seed + repeat)
                outcomes[system.name].append(outcome)
                _progress(f"{repeat + 1}/{options.repeats}", system.name, outcome, options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    rows = [_row(name, found, options) for name, found in outcomes.items()]
    return {"rows": rows, "rate": options.rate_text, "size": options.size,
            "congestion": options.congestion, "repeats": options.repeats,
            "seed": options.seed}  # fmt: skip


def _options(args: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench swarm", description=__doc__)
    parser.add_argument("--nodes", type=int, default=8)
    parser.add_argument("--rate", dest="rate_text", default="100mbit", help="of each link: 50mbit")
    parser.add_argument("--size", type=size, default=64 << 20, help="of the file: 64MiB")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--systems", type=lambda text: text.split(","), default=COMPARED)
    parser.add_argument("--congestion", default="cubic", help="TCP's, of all systems")
    last = parser.add_mutually_exclusive_group()
    last.add_argument("--early", type=float, help="the last host starts so many seconds sooner")
    last.add_argument("--late", type=float, help="it starts so many seconds later")
    last.add_argument("--spread", type=float, help="each starts at some moment of so many seconds")
    last.add_argument("--kill", type=float, help="it is killed after so many seconds")
    last.add_argument("--corrupt", action="store_true", help="it gives noise to who asks it")
    last.add_argument("--slow", help="the rate of its link")
    parser.add_argument("--slow-hosts", type=int, default=1, help="how many of the last have it")
    parser.add_argument(
        "--between", help="the rate of the link to a second region, where half of the hosts are"
    )
    parser.add_argument("--dir", default="/dev/shm", help="where all hosts write")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args(args)
    unknown = set(options.systems) - SYSTEMS.keys()
    if unknown or options.nodes < 1 or options.repeats < 1:
        parser.error(f"at least one node and repeat; systems are {', '.join(SYSTEMS)}")
    if not 1 <= options.slow_hosts <= options.nodes:
        parser.error("--slow-hosts is at least one, and no more than there are nodes")
    if (options.kill or options.corrupt) and options.nodes < 2:
        parser.error("--kill and --corrupt need a second node, which brings the file")
    options.rate = bits(options.rate_text)
    return options


def _once(
    system: System, source: Source, folder: Path, options: argparse.Namespace, seed: int
) -> Outcome:
    folder.mkdir()
    rates = Rates(
        options.rate_text,
        options.slow or "",
        frozenset(range(options.nodes + 1)[-options.slow_hosts :] if options.slow else []),
        options.between or "",
        second_from=1 + options.nodes // 2,
    )
    trouble = Trouble(
        early_s=options.early or 0.0,
        late_s=options.late or 0.0,
        spread_s=options.spread or 0.0,
        seed=seed,
        killed_s=options.kill or 0.0,
        corrupt=options.corrupt,
    )
    try:
        with Lab(options.nodes + 1, rates, options.congestion) as lab:
            return run_once(system, lab, source, folder, trouble)
    finally:
        shutil.rmtree(folder, onerror=_make_writable)


def _row(name: str, outcomes: list[Outcome], options: argparse.Namespace) -> dict[str, Any]:
    bound_s = 8 * options.size / options.rate
    last = [max(one.seconds) / bound_s for one in outcomes]
    p50 = [statistics.median(one.seconds) / bound_s for one in outcomes]
    copies = [one.origin_bytes / options.size for one in outcomes]
    moved_gb = len(outcomes[0].seconds) * options.size / 1e9
    between = [one.between_bytes / options.size for one in outcomes]
    return {
        "system": name,
        "nodes": options.nodes,
        "last_over_bound": round(statistics.median(last), 3),
        "last_over_bound_worst": round(max(last), 3),
        "last_over_bound_best": round(min(last), 3),
        "p50_over_bound": round(statistics.median(p50), 3),
        "origin_copies": round(statistics.median(copies), 3),
        **({"between_copies": round(statistics.median(between), 3)} if options.between else {}),
        "cpu_s_per_gb": round(statistics.median(one.cpu_s for one in outcomes) / moved_gb, 2),
        "machine_cpu_s": round(statistics.median(one.machine_s for one in outcomes), 1),
        "rss_mb": round(max(one.rss_mb for one in outcomes), 1),
    }


def _progress(turn: str, name: str, outcome: Outcome, options: argparse.Namespace) -> None:
    bound_s = 8 * options.size / options.rate
    last, first = max(outcome.seconds) / bound_s, min(outcome.seconds) / bound_s
    copies = outcome.origin_bytes / options.size
    print(
        f"{turn} {name:17} first {first:.3f} last {last:.3f} copies {copies:.2f} "
        f"cpu {outcome.cpu_s:.1f} s, {outcome.kernel_s:.1f} in the kernel; "
        f"machine {outcome.machine_s:.1f} s", file=sys.stderr,
    )  # fmt: skip
    for said in outcome.told:
        if said.get("complaints"):
            print(json.dumps(said), file=sys.stderr)


def _make_writable(function: Any, path: str, _: Any) -> None:
    """Published versions are read-only folders."""
    Path(path).parent.chmod(0o755)
    Path(path).chmod(0o755)
    function(path)
