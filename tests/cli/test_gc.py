"""Retention and gc from the command line, embedded and through an authority."""

from __future__ import annotations

from pathlib import Path

from tests.cli.cachctl import cachctl
from tests.models import make_model
from tests.system.rig import Rig


def push_three(folder: Path, registry: Path | str, *more: str | Path) -> None:
    for number in range(3):
        files = make_model(folder / f"v{number}", changed=number)
        assert cachctl("push", files, "--model", "m", *more, registry=registry).code == 0


def test_versions_beyond_the_rule_go(home: Path, tmp_path: Path) -> None:
    push_three(tmp_path, home)
    assert cachctl("promote", "m@production", "1", registry=home).code == 0
    assert cachctl("retention", "m", registry=home).out == "m: keeps every version\n"
    said = cachctl("retention", "m", "--keep-newest", "1", "--reason", "small disk", registry=home)
    assert said.out == "m: keeps the 1 newest\n"
    dry = cachctl("gc", "--dry-run", "--json", registry=home)
    assert dry.json["models"][0]["versions_deleted"] == [2], "a stage names 1, and 3 is the newest"
    assert "m/2" not in cachctl("history", "m", registry=home).out.split("version.deleted")[0]
    said = cachctl("gc", registry=home)
    assert (said.code, "m" in said.out) == (0, True)
    shown = cachctl("show", "m", "--json", registry=home).json
    assert [one["number"] for one in shown["versions"]] == [3, 1]
    entry = cachctl("history", "m", "--json", registry=home).json["entries"][0]
    assert (entry["type"], entry["actor"], entry["reason"]) == (
        "version.deleted", "gc", "retention: keep_newest=1",
    )  # fmt: skip
    assert cachctl("retention", "m", "--off", "--json", registry=home).json["retention"] == {}
    assert cachctl("verify", "--deep", registry=home).code == 0


def test_gc_runs_at_the_authority(rig: Rig, tmp_path: Path) -> None:
    keys = ("--keys", rig.folder / "registry" / "keys")
    push_three(tmp_path, rig.url, *keys)
    said = cachctl("retention", "m", "--keep-newest", "2", "--json", registry=rig.url)
    assert said.json["retention"] == {"keep_newest": 2}
    done = cachctl("gc", "--json", *keys, registry=rig.url)
    assert (done.code, done.json["models"][0]["versions_deleted"]) == (0, [1])
    assert cachctl("verify", "--deep", registry=rig.url).code == 0


def test_refusals(home: Path) -> None:
    both = cachctl("retention", "m", "--off", "--keep-days", "3", registry=home)
    assert (both.code, "--off goes without" in both.err) == (2, True)
    assert cachctl("retention", "m", registry=home).code == 3
    assert cachctl("retention", "m", "--keep-newest", "0", registry=home).code in (2, 3)
