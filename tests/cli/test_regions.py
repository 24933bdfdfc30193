"""What push, promote and status say of where a version's bytes are, and where they came from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.cachctl import cachctl
from tests.models import make_model
from tests.system.rig import Rig

pytestmark = pytest.mark.timeout(120)
UNKNOWN = {"nodes": None, "resident": None}


@pytest.mark.slow
def test_embedded(home: Path, tmp_path: Path) -> None:
    first = cachctl("push", make_model(tmp_path / "v1"), "--model", "m", registry=home)
    assert first.out.endswith("\n6.3 MB of 6.3 MB are new\n")
    changed = make_model(tmp_path / "v2", changed=2)
    second = cachctl("push", changed, "--model", "m", registry=home)
    assert second.out.endswith("\n1.0 MB of 6.3 MB are new\n")
    again = cachctl("push", changed, "--model", "m", "--json", registry=home).json
    assert (again["created"], again["bytes_new"], again["bytes_uploaded"]) == (False, 0, 0)
    alone = cachctl("promote", "m@production", 1, registry=home)
    assert alone.out == "m@production: 1 (now 1.0)\n", "one region, nothing to tell"
    cachctl("region", "add", "eu", "--origin", (tmp_path / "eu").as_uri(), registry=home)
    moved = cachctl("promote", "m@production", 2, registry=home)
    assert moved.code == 0
    assert moved.out == (
        "m@production: 1 -> 2 (now 2.0)\n"
        "  local (home): all chunks\n"
        "  eu: not yet (cachctl replicate m/2 --to eu)\n"
        "warning: nodes of eu fetch m/2 from local, over the link\n"
    )
    cachctl("replicate", "m/1", "--to", "eu", registry=home)
    back = cachctl("promote", "m@production", 1, "--json", registry=home).json
    assert back["regions"] == [
        {"region": "local", "home": True, "origin": True, "holds": True} | UNKNOWN,
        {"region": "eu", "home": False, "origin": True, "holds": True} | UNKNOWN,
    ]


@pytest.mark.slow
def test_behind_an_authority(rig: Rig, tmp_path: Path) -> None:
    keys = ("--keys", rig.folder / "registry" / "keys")
    with rig.connect() as registry:
        registry.regions.add("eu", (tmp_path / "eu").as_uri())
        registry.push(make_model(tmp_path / "v1"), "m")
        registry.push(make_model(tmp_path / "v2", changed=2), "m")
        registry.replicate("m/1", to="eu")
        registry.promote("m@production", 1)
    rig.start_node("n1", "--region", "eu")
    rig.start_node("n2", "--region", "asia")
    for node in ("n1", "n2"):
        rig.wait_serving(node, 1)
    first = cachctl("status", "m", registry=rig.url)
    assert first.out.count("origin 6.3 MB") == 2, "once into each region, from nobody of another"
    moved = cachctl("promote", "m@production", 2, *keys, registry=rig.url)
    assert moved.out == (
        "m@production: 1 -> 2 (now 2.0)\n"
        "  local (home): all chunks, resident on 0 of 0 node(s)\n"
        "  eu: not yet (cachctl replicate m/2 --to eu), resident on 0 of 1 node(s)\n"
        "  asia: no origin of its own, resident on 0 of 1 node(s)\n"
        "warning: nodes of eu, asia fetch m/2 from local, over the link\n"
    )
    stage = rig.wait_serving("n1", 2)
    assert stage["bytes_local"] > 5_000_000
    second = cachctl("status", "m", registry=rig.url)
    assert "local 5.2 MB" in second.out
    again = cachctl("promote", "m@production", 1, *keys, "--json", registry=rig.url).json
    assert again["regions"][1] == {
        "region": "eu", "home": False, "origin": True, "holds": True, "nodes": 1, "resident": 1,
    }  # fmt: skip
