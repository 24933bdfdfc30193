"""Saying things about versions and finding them by it, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.cachctl import cachctl
from tests.models import make_model


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "registry"
    assert cachctl("init", home).code == 0
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps({"inputs": [{"name": "text"}], "outputs": []}), encoding="utf-8")
    one = cachctl(
        "push", make_model(tmp_path / "v1"), "--model", "m", "--metric", "auc=.91", "--schema",
        schema, "--lineage", "dataset=d1", registry=home,
    )  # fmt: skip
    assert one.code == 0, one.err
    assert cachctl("push", make_model(tmp_path / "v2", changed=1), "--model", "m",
                   "--metric", "auc=0.95", registry=home).code == 0  # fmt: skip
    return home


def test_what_was_said_at_push_is_found(home: Path) -> None:
    found = cachctl("search", "metrics.auc > 0.9", "--order-by", "metrics.auc DESC", "--json",
                    registry=home)  # fmt: skip
    assert [one["number"] for one in found.json["versions"]] == [2, 1]
    one = found.json["versions"][1]
    assert (one["metrics"], one["lineage"], one["schema"]["outputs"]) == (
        {"auc": "0.91"}, {"dataset": "d1"}, [],
    )  # fmt: skip
    assert "m/1" in cachctl("search", "lineage.dataset = 'd1'", registry=home).out
    assert "no version matches" in cachctl("search", "number > 7", registry=home).out


def test_annotate_and_take_away(home: Path) -> None:
    said = cachctl("annotate", "m/1", "--tag", "team=red", "--notes", "new", registry=home)
    assert (said.code, said.out.strip()) == (0, "m/1: tags.team, notes")
    assert "team=red" in cachctl("search", "tags.team = 'red'", registry=home).out
    assert cachctl("annotate", "m/1", "--unset", "tags.team", registry=home).code == 0
    assert "no version" in cachctl("search", "tags.team = 'red'", registry=home).out
    assert cachctl("annotate", "m", "--notes", "the model", registry=home).code == 0
    history = cachctl("history", "m", "--json", registry=home).json["entries"]
    assert [entry["type"] for entry in history[:3]] == [
        "model.annotated", "version.annotated", "version.annotated",
    ]  # fmt: skip
    assert history[1]["before"] == {"tags.team": "red"}
    assert cachctl("verify", registry=home).code == 0


def test_delete(home: Path, tmp_path: Path) -> None:
    assert cachctl("promote", "m@production", "1", registry=home).code == 0
    refused = cachctl("delete", "m/1", registry=home)
    assert (refused.code, "m@production names it" in refused.err) == (4, True)
    gone = cachctl("delete", "m/2", "--reason", "wrong data", "--json", registry=home)
    assert (gone.code, gone.json["deleted"]) == (0, "m/2")
    assert "was deleted" in cachctl("resolve", "m/2", registry=home).err
    shown = cachctl("show", "m", "--json", registry=home).json
    assert [one["number"] for one in shown["versions"]] == [1]
    again = cachctl("push", tmp_path / "v2", "--model", "m", "--json", registry=home)
    assert (again.json["number"], again.json["created"]) == (3, True), "never used again"
    assert cachctl("verify", registry=home).code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("search", "colour = 'red'"), "colour"),
        (("search", "name = 'a' OR name = 'b'"), "no OR"),
        (("annotate", "m/1"), "nothing to say"),
        (("annotate", "m/1", "--metric", "auc=high"), "auc"),
        (("annotate", "m/9", "--tag", "a=b"), "no version 9"),
        (("annotate", "m/1", "--unset", "digest"), "cannot be changed"),
    ],
)
def test_refusals(home: Path, words: tuple[str, ...], said: str) -> None:
    answer = cachctl(*words, registry=home)
    assert answer.code in (2, 3)
    assert said in answer.err
