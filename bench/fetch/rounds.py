"""All ways side by side: rounds in which each takes a turn, in shuffled order."""

from __future__ import annotations

import random
import statistics
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from bench.fetch import ours, plain, rivals
from bench.fetch.sending import sending
from bench.fetch.source import Source, made_source
from bench.fetch.turn import Turn, Way, in_this_process
from bench.fetch.web_server import web_server

_NAMES = {
    "ours": "gbit_s", "plain": "plain_gbit_s", "discard": "discard_gbit_s",
    "early": "plain_early_gbit_s", "aria2": "aria2_gbit_s",
    "aria2_alone": "aria2_alone_gbit_s", "hf": "hf_gbit_s",
}  # fmt: skip
_RATIOS = {
    "plain": "ratio", "early": "ratio_to_early", "aria2": "ratio_to_aria2",
    "aria2_alone": "ratio_to_aria2_alone", "hf": "ratio_to_hf",
}  # fmt: skip


def measure(folder: Path, size: int, threads: int, repeats: int, seed: int) -> dict[str, Any]:
    """The figures of one size, as the bench's own page defines them."""
    with made_source(folder / "source", size) as source, ExitStack() as opened:
        rounds = _Rounds(folder, source, threads, opened)
        turns = _take_turns(rounds.ways, repeats, random.Random(seed))
    sizes = {"size_bytes": size, "chunk_bytes": source.manifest.files[0].chunks[0].length}
    return sizes | _figures(turns, size) | {"rss_mb": round(rounds.rss_bytes / 1e6, 1)}


class _Rounds:
    """The ways that can run here. `rss_bytes` is the largest of all turns of ours."""

    def __init__(self, folder: Path, source: Source, threads: int, opened: ExitStack) -> None:
        self._folder, self._source, self._threads = folder, source, threads
        self._peer_port = opened.enter_context(sending("peer", source.root))
        self._plain_port = opened.enter_context(sending("plain", source.file))
        self.rss_bytes = 0
        self.ways: dict[str, Way] = {
            "ours": in_this_process(self._ours),
            "plain": in_this_process(lambda: self._plain(keep=True)),
            "early": in_this_process(lambda: self._plain(keep=True, early=True)),
            "discard": in_this_process(lambda: self._plain(keep=False)),
        }
        if there := rivals.available():
            address = opened.enter_context(web_server(folder / "nginx", source))
            for name, way in there.items():
                self.ways[name] = partial(way, folder / name, source, address)

    def _ours(self) -> float:
        root = self._folder / "ours"
        loaded = ours.load(root, self._source, self._peer_port, self._threads)
        self.rss_bytes = max(self.rss_bytes, loaded.rss_bytes)
        return loaded.seconds

    def _plain(self, *, keep: bool, early: bool = False) -> float:
        path, size = self._folder / "plain", self._source.size
        return plain.receive(
            path, self._plain_port, size, self._threads, keep=keep, early=early
        )  # fmt: skip


def _take_turns(ways: Mapping[str, Way], repeats: int, rng: random.Random) -> dict[str, list[Turn]]:
    for way in ways.values():
        way()  # unmeasured: this touches memory that nobody has used yet
    turns: dict[str, list[Turn]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name in rng.sample(list(ways), len(ways)):
            turns[name].append(ways[name]())
    return turns


def _figures(turns: Mapping[str, list[Turn]], size: int) -> dict[str, Any]:
    gbit = {name: [size * 8e-9 / turn.seconds for turn in all_] for name, all_ in turns.items()}
    cpu_s = {name: [turn.cpu_s for turn in all_] for name, all_ in turns.items()}
    return {
        **{_NAMES[name]: round(statistics.median(values), 2) for name, values in gbit.items()},
        **{_RATIOS[name]: _ratio(turns[name], turns["ours"]) for name in turns if name in _RATIOS},
        "cpu_s_per_gb": {
            name: round(statistics.median(used) / size * 1e9, 2) for name, used in cpu_s.items()
        },
        "spread": {name: [round(min(v), 2), round(max(v), 2)] for name, v in gbit.items()},
    }


def _ratio(others: list[Turn], ours_: list[Turn]) -> float:
    """Speed of ours over that of the other, round by round."""
    pairs = zip(others, ours_, strict=True)
    return round(statistics.median(other.seconds / mine.seconds for other, mine in pairs), 3)
