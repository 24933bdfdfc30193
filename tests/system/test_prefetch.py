"""Versions that nodes bring before anything names them, and let go of when the wish ends."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from registry_core.domain.identifiers import Digest
from tests.cli.cachctl import Ran, cachctl
from tests.models import make_model
from tests.replicate.rig import add_eu
from tests.system.rig import Rig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
EU = ("--region", "eu")


@pytest.fixture
def digests(rig: Rig, tmp_path: Path) -> list[Digest]:
    """Of two versions that no stage names; region eu holds the first."""
    with rig.connect() as registry:
        add_eu(registry, tmp_path / "eu")
        for number in range(2):
            registry.push(make_model(tmp_path / f"v{number}", seed=number), "m")
        registry.replicate("m/1", to="eu")
        return [Digest.parse(registry.resolve(f"m/{n}").version.digest) for n in (1, 2)]


def prefetch(rig: Rig, *words: str) -> Ran:
    return cachctl("prefetch", *words, registry=rig.url)


def has(rig: Rig, node: str, digest: Digest) -> bool:
    return any((rig.folder / node / "cache").glob(f"versions/*{digest.hex}*"))


def test_the_nodes_of_a_region_bring_it(rig: Rig, digests: list[Digest]) -> None:
    for name, more, serve in (
        ("n1", EU, "m@production"), ("n2", EU, "m@*"), ("n3", EU, "other@*"), ("n4", (), "m@*"),
    ):  # fmt: skip
        rig.start_node(name, *more, serve=serve)
    done = prefetch(rig, "m/1", *EU, "--json")
    assert (done.code, done.json["done"]) == (0, True), done.err
    assert {(one["node"], one["state"]) for one in done.json["nodes"]} == {
        ("n1", "resident"), ("n2", "resident"),
    }  # fmt: skip
    assert [has(rig, node, digests[0]) for node in ("n1", "n2", "n3", "n4")] == [
        True, True, False, False,
    ]  # fmt: skip
    everywhere = prefetch(rig, "m/1", "--region", "all")
    assert everywhere.out == "m/1 is resident on 3 of 3 node(s)\n"
    assert has(rig, "n4", digests[0])

    shutil.rmtree(rig.folder / "registry" / "origin" / "packs")
    shutil.rmtree(rig.folder / "eu")
    with rig.connect() as registry:
        registry.promote("m@production", 1)
    assert rig.wait_serving("n1", 1)["state"] == "serving"


def test_a_node_that_joins_late_or_restarts_brings_it_too(rig: Rig, digests: list[Digest]) -> None:
    early = prefetch(rig, "m/1", *EU)
    assert (early.code, "serves m" in early.out) == (3, True)
    rig.start_node("n1", *EU)
    rig.wait(lambda: has(rig, "n1", digests[0]), "n1 has it", "n1")
    rig.fleet.kill("n1")
    rig.start_node("n1", *EU)
    again = prefetch(rig, "m/1", *EU)
    assert (again.code, again.out) == (0, "m/1 is resident on 1 of 1 node(s)\n")


def test_it_is_kept_until_the_wish_ends(rig: Rig, digests: list[Digest]) -> None:
    rig.start_node("n1", *EU, "--grace-s", "0.5")
    assert prefetch(rig, "m/1", *EU).code == 0
    assert prefetch(rig, "m/2", *EU, "--for", "10s").code == 0
    rig.fleet.kill("n1")
    rig.start_node(
        "n1", *EU, "--grace-s", "0.5", "--cache-quota", "1MiB"
    )  # what it may let go, goes
    assert has(rig, "n1", digests[1])
    rig.wait(lambda: not has(rig, "n1", digests[1]), "n1 lets go of m/2", "n1")
    assert has(rig, "n1", digests[0])
    with rig.connect() as registry:
        registry.metadata.delete("m/1")
    rig.wait(lambda: not has(rig, "n1", digests[0]), "n1 lets go of a deleted version", "n1")


def test_what_cannot_be_had_in_time_is_told(
    rig: Rig, tmp_path: Path, digests: list[Digest]
) -> None:
    rig.start_node("n1", *EU)
    for origin in (rig.folder / "registry" / "origin", tmp_path / "eu"):
        shutil.rmtree(origin / "packs")
    late = prefetch(rig, "m/1", *EU, "--timeout", "3s")
    assert late.code == 8
    assert late.out.startswith("m/1 is resident on 0 of 1 node(s) after 3s\n  n1 (eu): ")
    assert prefetch(rig, "m/1", *EU, "--no-wait").code == 0


def test_refusals(rig: Rig, digests: list[Digest]) -> None:
    nowhere = prefetch(rig, "m/1", "--region", "asia")
    assert (nowhere.code, "no region asia" in nowhere.err) == (3, True)
    assert prefetch(rig, "m/9", *EU).code == 3
    assert prefetch(rig, "m/1").code == 2
    assert prefetch(rig, "m/1", *EU, "--for", "99d").code == 2
    assert prefetch(rig, "m/1", *EU, "--for", "soon").code == 2
    embedded = cachctl("prefetch", "m/1", *EU, registry=rig.folder / "registry")
    assert (embedded.code, "authority" in embedded.err) == (2, True)
