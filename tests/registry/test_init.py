"""`init` makes a whole registry or none, never twice, and `open` says what is missing."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import registry_core
from registry_core.embedded.control import EmbeddedControl
from registry_core.errors import Conflict, InvalidInput, NotFound, OriginError, RegistryError
from registry_core.ledger.check import check_ledger
from registry_core.ledger.store import Table

KILLS = 8


def test_what_it_makes(tmp_path: Path) -> None:
    registry_core.init(tmp_path / "deep" / "registry").close()
    home = tmp_path / "deep" / "registry"
    assert {path.name for path in home.iterdir()} == {
        "config.json", "root.json", "keys", "ledger", "origin",
    }  # fmt: skip
    assert {path.name for path in (home / "keys").iterdir() if path.suffix == ".pem"} == {
        f"{name}.pem" for name in ("owner", "authority", "publisher", "promoter", "stager")
    }
    assert [path.stat().st_mode & 0o777 for path in (home / "keys").glob("*.pem")] == [0o600] * 5
    assert (home / "keys").stat().st_mode & 0o777 == 0o700
    with registry_core.open(home) as registry:
        assert isinstance(registry.control, EmbeddedControl)
        with registry.control.ledger.read() as txn:
            assert (check_ledger(txn).problems, len(list(txn.scan(Table.LOG)))) == ([], 2)


def test_twice_is_refused(tmp_path: Path) -> None:
    registry_core.init(tmp_path / "registry").close()
    before = (tmp_path / "registry" / "config.json").read_bytes()
    with pytest.raises(Conflict, match="not an empty directory: choose another"):
        registry_core.init(tmp_path / "registry")
    assert (tmp_path / "registry" / "config.json").read_bytes() == before


def test_places_that_are_taken(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    for name in ("file", "full"):
        with pytest.raises(Conflict, match="choose another"):
            registry_core.init(tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "full"}


def test_an_empty_directory_will_do(tmp_path: Path) -> None:
    (tmp_path / "registry").mkdir()
    registry_core.init(tmp_path / "registry").close()
    registry_core.open(tmp_path / "registry").close()


def test_the_current_directory_will_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Conflict, match="run this from outside of it"):
        registry_core.init(".")
    assert list(tmp_path.iterdir()) == []


def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    registry_core.init("registry").close()
    monkeypatch.chdir("/")
    registry_core.open(tmp_path / "registry").close()


@pytest.mark.parametrize("origin", ["ftp://x/y", "no url", "s3://key:secret@bucket/x"])
def test_a_bad_origin_leaves_nothing(tmp_path: Path, origin: str) -> None:
    with pytest.raises(InvalidInput):
        registry_core.init(tmp_path / "registry", origin=origin)
    assert list(tmp_path.iterdir()) == []


def test_a_bad_option_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OriginError, match="options"):
        registry_core.init(tmp_path / "registry", origin="s3://b/x", origin_options={"endpiont": 1})
    assert list(tmp_path.iterdir()) == []


def test_an_origin_elsewhere(tmp_path: Path) -> None:
    url = (tmp_path / "with space ü").as_uri()
    with registry_core.init(tmp_path / "registry", origin=url) as registry:
        (tmp_path / "files").mkdir()
        (tmp_path / "files" / "w").write_text("x")
        registry.push(tmp_path / "files", "m")
    assert list((tmp_path / "with space ü" / "packs").rglob("*"))
    assert not (tmp_path / "registry" / "origin").exists()


@pytest.mark.timeout(120)
def test_killed_in_the_middle(tmp_path: Path, seed: int) -> None:
    """Whatever is under a registry's name is a whole registry."""
    rng = random.Random(seed)
    for kill in range(KILLS):
        place = tmp_path / str(kill)
        place.mkdir()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.registry.initialising_process", str(place)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        for _ in range(2):
            process.stdout.readline()  # the second: it is making number 1
        deadline = time.monotonic() + rng.uniform(0, 0.06)
        while time.monotonic() < deadline:
            pass  # any moment will do, and this one is repeated by its seed
        process.send_signal(signal.SIGKILL)
        process.communicate()
        made = [path for path in place.iterdir() if not path.name.startswith(".")]
        assert made
        for path in made:
            with registry_core.open(path) as registry:
                assert isinstance(registry.control, EmbeddedControl)
                with registry.control.ledger.read() as txn:
                    assert check_ledger(txn).problems == []


def test_opening_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="run `cachctl init"):
        registry_core.open(tmp_path)


@pytest.mark.parametrize("missing", ["root.json", "keys/authority.pem", "ledger"])
def test_opening_what_is_not_whole(tmp_path: Path, missing: str) -> None:
    registry_core.init(tmp_path / "registry").close()
    (tmp_path / "registry" / missing).rename(tmp_path / "away")
    with pytest.raises(RegistryError):
        registry_core.open(tmp_path / "registry")
    if missing != "keys/authority.pem":
        with pytest.raises(RegistryError):
            registry_core.open(tmp_path / "registry", readonly=True)
    if missing == "ledger":
        assert not (tmp_path / "registry" / "ledger").exists(), "an empty one would hide the loss"


@pytest.mark.parametrize(
    "config",
    ["", "{", "[]", "{}", '{"format":"cachd.config/2"}', '{"format":"cachd.config/1"}',
     '{"format":"cachd.config/1","registry":5,"origin":{}}',
     '{"format":"cachd.config/1","registry":"x","origin":{"url":"","options":[]}}'],
)  # fmt: skip
def test_a_damaged_configuration(tmp_path: Path, config: str) -> None:
    registry_core.init(tmp_path / "registry").close()
    (tmp_path / "registry" / "config.json").write_text(config)
    with pytest.raises(InvalidInput, match=r"config\.json"):
        registry_core.open(tmp_path / "registry")


def test_another_registrys_root_is_noticed(tmp_path: Path) -> None:
    registry_core.init(tmp_path / "a").close()
    registry_core.init(tmp_path / "b").close()
    for name in ("root.json", "keys/authority.pem"):
        (tmp_path / "a" / name).write_bytes((tmp_path / "b" / name).read_bytes())
    with pytest.raises(InvalidInput, match="another root"):
        registry_core.open(tmp_path / "a")


def test_another_authoritys_key_is_noticed(tmp_path: Path) -> None:
    """What it signs, no node would take: better said before it signs."""
    for name in ("a", "b"):
        registry_core.init(tmp_path / name).close()
    key = Path("keys") / "authority.pem"
    (tmp_path / "a" / key).write_bytes((tmp_path / "b" / key).read_bytes())
    with pytest.raises(InvalidInput, match=r"not the one that root\.json names"):
        registry_core.open(tmp_path / "a")


def test_the_configuration_says_where_things_are(tmp_path: Path) -> None:
    registry_core.init(tmp_path / "registry").close()
    config = json.loads((tmp_path / "registry" / "config.json").read_text())
    assert config["format"] == "cachd.config/1"
    assert config["origin"] == {"url": "", "options": {}}
    root = json.loads((tmp_path / "registry" / "root.json").read_text())
    assert root["registry"] == config["registry"]
