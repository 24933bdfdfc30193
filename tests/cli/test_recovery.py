"""Backup, restore and epoch from the command line, on an embedded registry."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cachctl.times import parse_time_ms
from registry_core.errors import InvalidInput
from tests.cli.cachctl import cachctl
from tests.models import make_model

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def origin(tmp_path: Path) -> str:
    return (tmp_path / "origin").as_uri()


@pytest.fixture
def home(tmp_path: Path, origin: str) -> Path:
    """Two versions, the first promoted, and all of it backed up."""
    home = tmp_path / "registry"
    assert cachctl("init", home, "--origin", origin).code == 0
    for number in (1, 2):
        files = make_model(tmp_path / f"v{number}", tensors=1, seed=number)
        assert cachctl("push", files, "--model", "m", registry=home).code == 0
    assert cachctl("promote", "m@production", "1", registry=home).code == 0
    assert cachctl("backup", registry=home).code == 0
    return home


@pytest.mark.slow
def test_the_directory_is_gone_and_comes_back(home: Path, origin: str, tmp_path: Path) -> None:
    keys = shutil.copytree(home / "keys", tmp_path / "keys")
    entries = cachctl("backup", "--json", registry=home).json["position"]
    shutil.rmtree(home)
    said = cachctl("restore", home, "--origin", origin, "--keys", keys)
    assert (said.code, f"{entries} log entries, all verified" in said.out) == (0, True)
    assert cachctl("resolve", "m@production", "--json", registry=home).json["number"] == 1
    assert cachctl("verify", "--deep", registry=home).code == 0
    assert cachctl("promote", "m@production", "2", registry=home).code == 0
    assert cachctl("epoch", registry=home).out.startswith("epoch 0, ")


@pytest.mark.slow
def test_a_moment_in_the_past(home: Path, origin: str, tmp_path: Path) -> None:
    keys, again = home / "keys", tmp_path / "again"
    cut = cachctl("backup", "--json", registry=home).json["position"]
    assert cachctl("promote", "m@production", "2", registry=home).code == 0
    assert "log entries are in the origin" in cachctl("backup", registry=home).out
    said = cachctl("restore", again, "--origin", origin, "--keys", keys, "--at", cut)
    assert (said.code, "cachctl epoch --open" in said.out) == (0, True)
    assert cachctl("resolve", "m@production", "--json", registry=again).json["number"] == 1
    refused = cachctl("promote", "m@production", "2", registry=again)
    assert (refused.code, "cachctl epoch --open" in refused.err) == (4, True)
    assert "goes on from here" in cachctl("epoch", registry=again).out
    opened = cachctl("epoch", "--open", "--reason", "cut", "--json", registry=again)
    assert (opened.json["epoch"], opened.json["lost"]) == (1, "")
    assert cachctl("promote", "m@production", "2", registry=again).code == 0
    assert cachctl("verify", registry=again).code == 0


REFUSED = (
    ((), 2, "--keys names a copy"),
    (("--keys", "none"), 3, "without its authority's key"),
    (("--keys", "KEYS", "--at", "soon"), 2, "is no time"),
    (("--keys", "KEYS", "--line", "0" * 16), 3, "no backup"),
    (("--keys", "KEYS", "--id", "0" * 32), 3, "no backup of registry"),
    (("--keys", "KEYS", "--from-node", "none"), 3, "holds no ledger"),
    (("--keys", "KEYS", "--at", "2001-01-01"), 3, "no entry could be restored"),
)


@pytest.mark.slow
def test_refusals(home: Path, origin: str, tmp_path: Path) -> None:
    for words, code, said in REFUSED:
        given = [str(home / "keys") if word == "KEYS" else word for word in words]
        answer = cachctl("restore", tmp_path / "again", "--origin", origin, *given)
        assert (answer.code, said in answer.err) == (code, True), answer.err
        assert not (tmp_path / "again").exists()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-11-23T14:03", "2026-11-23T14:03:00+00:00"),
        ("2026-11-23T14:03:05.250Z", "2026-11-23T14:03:05.250+00:00"),
        ("2026-11-23T14:03+01:00", "2026-11-23T13:03:00+00:00"),
        ("2026-11-23 14:03", "2026-11-23T14:03:00+00:00"),
        ("2026-11-23", "2026-11-23T00:00:00+00:00"),
        ("14:03", "2026-11-23T14:03:00+00:00"),
        ("9:03", "2026-11-23T09:03:00+00:00"),
        ("90m", "2026-11-23T10:30:00+00:00"),
        ("2d", "2026-11-21T12:00:00+00:00"),
    ],
)
def test_times(text: str, meant: str) -> None:
    assert parse_time_ms(text, "--at", NOON) == datetime.fromisoformat(meant).timestamp() * 1000


@pytest.mark.parametrize("text", ["", "soon", "25:00", "2026-13-01", "999999999d", "-5m", "14"])
def test_no_times(text: str) -> None:
    with pytest.raises(InvalidInput, match="--at"):
        parse_time_ms(text, "--at", NOON)


@pytest.mark.slow
def test_regions_come_back_with_the_log(tmp_path: Path, origin: str) -> None:
    home, eu = tmp_path / "registry", (tmp_path / "eu").as_uri()
    assert cachctl("init", home, "--origin", origin, "--region", "us").code == 0
    files = make_model(tmp_path / "v1", tensors=1)
    assert cachctl("push", files, "--model", "m", registry=home).code == 0
    assert cachctl("region", "add", "eu", "--origin", eu, registry=home).code == 0
    assert cachctl("replicate", "--all", "--to", "eu", registry=home).code == 0
    assert cachctl("backup", registry=home).code == 0
    known = cachctl("region", "list", "--json", registry=home).json
    keys = shutil.copytree(home / "keys", tmp_path / "keys")
    shutil.rmtree(home)
    assert cachctl("restore", home, "--origin", origin, "--keys", keys).code == 0
    assert cachctl("region", "list", "--json", registry=home).json == known
    assert (known["home"]["region"], known["others"][0]["versions"]) == ("us", 1)
    again = cachctl("replicate", "--all", "--to", "eu", "--json", registry=home).json
    assert again["bytes_copied"] == 0
