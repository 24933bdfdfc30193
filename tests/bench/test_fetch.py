"""The bench of fetching: every way runs, and a rival that cannot is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench import fetch
from bench.fetch import rivals

RIVALS = {"aria2", "aria2_alone", "hf"}


@pytest.mark.slow
def test_all_ways_run(tmp_path: Path) -> None:
    figures = fetch.run(
        f"--size 1MiB,3MiB --repeats 1 --load-gb 0.001 --loads 2 --dir {tmp_path}".split()
    )
    assert [row["size_bytes"] for row in figures["rows"]] == [1 << 20, 3 << 20]
    ran = RIVALS - figures["missing"].keys()
    for row in figures["rows"]:
        assert row["cpu_s_per_gb"].keys() == {"ours", "plain", "early", "discard"} | ran
        for rival in RIVALS:
            assert (f"{rival}_gbit_s" in row) == (f"ratio_to_{rival}" in row) == (rival in ran)
        assert row["rss_mb"] > 0, "of this process, which runs other tests as well"
        assert min(value for name, value in row.items() if name.startswith("ratio")) > 0
    assert figures["loads"] == {"0.001 GB": 2}
    assert figures["load_p50_s"]["0.001 GB"] <= figures["load_p95_s"]["0.001 GB"]
    assert not list(tmp_path.iterdir())
    if os.environ.get("REQUIRE_ALL_TESTS"):
        assert not figures["missing"], "CI installs nginx, aria2 and huggingface_hub"


def test_what_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert set(rivals.missing()) == RIVALS
    assert "nginx" in rivals.missing()["hf"]


@pytest.mark.parametrize("wrong", [["--size", "1 potato"], ["--loads", "0"], ["--load-gb", "x"]])
def test_wrong_options_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fetch.run(wrong)
    assert "bench fetch: error" in capsys.readouterr().err
