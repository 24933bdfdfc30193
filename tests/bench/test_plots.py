"""Pictures of figures: one for a swarm of several systems, one for each other kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import plots


def swarm_row(system: str, last: float) -> dict[str, Any]:
    return {
        "system": system, "nodes": 8, "last_over_bound": last, "last_over_bound_best": last - 0.1,
        "last_over_bound_worst": last + 0.1, "p50_over_bound": last, "origin_copies": 1.01,
    }  # fmt: skip


def keep(folder: Path, name: str, **figures: Any) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text("what is told before\n" + json.dumps(figures) + "\n")


def test_every_kind_is_drawn(tmp_path: Path) -> None:
    results, images = tmp_path / "results", tmp_path / "images"
    common = {"rate": "100mbit", "size": 64 << 20, "repeats": 5}
    rows = [swarm_row("cachd", 1.18), swarm_row("aria2", 8.4)]
    keep(results, "swarm-8", **common, rows=rows)
    keep(results, "swarm-late", **common, rows=rows[:1])
    keep(results, "swarm-slow", **common, rows=rows[:1])
    for nodes in (1_000, 10_000):
        row = {"nodes": nodes, "last_over_lower_bound": 1.04, "last_over_bound": 1.08}
        keep(results, f"simulate-{nodes}", **common, rows=[row])
    sizes = [{"size_bytes": n << 30, "gbit_s": 6.8, "plain_gbit_s": 7.1} for n in (1, 5)]
    keep(results, "fetch", rows=sizes)
    words = ["--results", str(results), "--images", str(images)]
    drawn = plots.run(words)["drawn"]
    assert sorted(drawn) == ["fetch.svg", "simulate.svg", "swarm-8.svg", "swarm-shapes.svg"]
    before = {name: (images / name).read_bytes() for name in drawn}
    for name, said in (
        ("swarm-8.svg", (b"aria2", b"8.40", b"1.18", b"copies that left the origin")),
        ("swarm-shapes.svg", (b"late", b"slow")),
        ("simulate.svg", (b"64 MiB at 100mbit",)),
        ("fetch.svg", (b"5 GiB", b"plain loop, no hashing")),
    ):
        assert all(text in before[name] for text in said)
    plots.run(words)
    assert before == {name: (images / name).read_bytes() for name in drawn}


@pytest.mark.parametrize("text", ["", "no figures", '{"p95": 3}', '{"rows": []}'])
def test_what_is_no_result_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "odd.json").write_text(text)
    with pytest.raises(SystemExit, match=r"odd\.json does not end with"):
        plots.run(["--results", str(tmp_path)])


def test_no_results_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        plots.run(["--results", str(tmp_path)])
    assert "keep the last line" in capsys.readouterr().err
