"""The authority's machine is lost, for real: kill -9 under load, its directory gone, and back."""

from __future__ import annotations

import random
import shutil
import threading
import time
from pathlib import Path

import pytest

from cachd.control.http import HttpClient
from cachd.control.remote import RemoteControl
from registry_core.domain.identifiers import ModelName
from registry_core.errors import EpochNeeded, RegistryError
from registry_core.ledger.change import Change
from registry_core.registry import Registry
from tests.cli.cachctl import cachctl
from tests.models import make_model
from tests.system.rig import Rig, eventually

RPO_S = 1.0


class Load:
    """Annotates in a thread, and remembers when each change was acknowledged."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.acknowledged: list[tuple[float, int]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        number, change = 0, Change("load", "", "")
        control = RemoteControl(HttpClient(self._rig.url, retry_s=0))
        while not self._stop.is_set():
            number += 1
            try:
                control.metadata.annotate_version(ModelName("m"), 1, {"notes": str(number)}, change)
            except RegistryError:
                break
            self.acknowledged.append((time.monotonic(), number))
        control.close()


def lose(rig: Rig) -> Path:
    """kill -9 and take everything but origin and keys; where the keys are."""
    rig.fleet.kill("authority")
    home, keys = rig.folder / "registry", rig.folder / "keys"
    shutil.copytree(home / "keys", keys)
    shutil.move(home / "origin", rig.folder / "origin")
    shutil.rmtree(home)
    return keys


def origin_url(rig: Rig) -> str:
    return (rig.folder / "origin").as_uri()


@pytest.fixture
def pushed(rig: Rig, tmp_path: Path) -> Registry:
    with rig.connect() as registry:
        for number in (1, 2, 3):
            registry.push(make_model(tmp_path / f"v{number}", tensors=1, seed=number), "m")
    return registry


@pytest.mark.usefixtures("pushed")
def test_nothing_older_than_a_second_is_lost(rig: Rig, seed: int) -> None:
    load = Load(rig)
    time.sleep(0.5 + random.Random(seed).random() * 1.5)  # any instant will do: it is the seed's
    killed_s = time.monotonic()
    keys = lose(rig)
    load.stop()
    home = rig.folder / "registry"
    done = cachctl("restore", home, "--origin", origin_url(rig), "--keys", keys, "--json")
    assert done.code == 0, done.err
    assert done.json["lost"] == ""
    shown = cachctl("show", "m/1", "--json", registry=home).json
    there = int(shown["notes"])
    must = max((n for at, n in load.acknowledged if at < killed_s - RPO_S), default=0)
    print(f"acknowledged {load.acknowledged[-1][1]}, older than 1 s {must}, restored {there}")
    assert there >= must
    assert cachctl("verify", "--deep", registry=home).code == 0
    rig.start_authority()
    with rig.connect() as registry:
        assert registry.promote("m@production", 2).version.number == 2


@pytest.mark.slow
@pytest.mark.usefixtures("pushed")
def test_nodes_serve_on_and_follow_when_an_epoch_is_opened(rig: Rig) -> None:
    with rig.connect() as registry:
        registry.promote("m@production", 1)
    rig.start_node("n1")
    rig.start_worker("w1", "n1")
    rig.wait_worker("w1", 1, "1.0")
    with rig.connect() as registry:
        eventually(lambda: cachctl("backup", "--json", registry=rig.url).json["behind"] == 0)
        keep = cachctl("backup", "--json", registry=rig.url)
        registry.promote("m@production", 2)
    rig.wait_worker("w1", 2, "2.0")
    eventually(lambda: cachctl("backup", "--json", registry=rig.url).json["behind"] == 0)
    keys, home = lose(rig), rig.folder / "registry"
    cut = str(keep.json["position"])
    done = cachctl(
        "restore", home, "--origin", origin_url(rig), "--keys", keys, "--at", cut, "--json"
    )
    assert (done.code, done.json["entries"]) == (0, int(cut))
    rig.start_authority()
    eventually(lambda: "shorter log" in str(alarms(rig)))
    rig.assert_unharmed("w1")
    with rig.connect() as registry:
        with pytest.raises(EpochNeeded):
            registry.promote("m@production", 3)
        assert registry.resolve("m@production").version.number == 1, "reads go on"
    opened = cachctl("epoch", "--open", "--reason", "cut", "--json", "--keys", keys,
                     registry=rig.url)  # fmt: skip
    assert (opened.code, opened.json["epoch"], opened.json["lost"]) == (0, 1, "")
    rig.wait_worker("w1", 1, "1.0")
    with rig.connect() as registry:
        registry.promote("m@production", 3)
    rig.wait_worker("w1", 3, "2.0")
    rig.assert_unharmed("w1")
    assert alarms(rig) == [""]


@pytest.mark.slow
def test_what_a_node_saw_last_comes_back_from_it(rig: Rig, tmp_path: Path) -> None:
    """The backup is gone altogether; the node's replica has the log."""
    with rig.connect() as registry:
        registry.push(make_model(tmp_path / "v1", tensors=1), "m")
        registry.promote("m@production", 1)
    rig.start_node("n1")
    rig.wait_serving("n1", 1)
    root = shutil.copy(rig.folder / "registry" / "root.json", tmp_path / "root.json")
    keys, home = lose(rig), rig.folder / "registry"
    shutil.rmtree(rig.folder / "origin" / "backup")
    refused = cachctl("restore", home, "--origin", origin_url(rig), "--keys", keys)
    assert (refused.code, "holds no backup" in refused.err) == (3, True)
    done = cachctl("restore", home, "--origin", origin_url(rig), "--keys", keys, "--root", root,
                   "--from-node", rig.folder / "n1", "--json")  # fmt: skip
    assert (done.code, done.json["lost"]) == (0, ""), done.err
    rig.start_authority()
    rig.wait_serving("n1", 1)
    with rig.connect() as registry:
        assert registry.resolve("m@production").version.number == 1
    assert cachctl("verify", registry=rig.url).code == 0


def alarms(rig: Rig) -> list[str]:
    with rig.connect() as registry:
        control = registry.control
        assert isinstance(control, RemoteControl)
        return [node.report.alarm for node in control.nodes()]
