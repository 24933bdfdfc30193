"""Directories for Triton and TF Serving, by a real node, read by a poller that does as they do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from cachd.node.repository import Plan, RepositoryPlace, apply, plan
from cachd.serve.resident import ResidentVersion, Standing
from registry_core.errors import InvalidInput, RegistryError
from tests.system.rig import Rig, eventually

# FileSystemStoragePathSource: list the model's folder, take the children whose names are numbers,
# serve the highest. Reads all of each as soon as it is seen, and says what it found.
POLLER = """
import json, sys, time
from pathlib import Path
base = Path(sys.argv[1])
last, seen = None, set()
while True:
    try:
        numbers = sorted(int(child.name) for child in base.iterdir() if child.name.isdigit())
    except FileNotFoundError:
        numbers = []
    for number in set(numbers) - seen:
        try:
            said = (base / str(number) / "number.txt").read_text()
            size = len((base / str(number) / "deep" / "weights.bin").read_bytes())
        except FileNotFoundError as error:
            if (base / str(number)).is_symlink():
                print(json.dumps({"torn": str(error)}), flush=True)
            continue
        seen.add(number)
        if (said, size) != (str(number), 3_000_000):
            print(json.dumps({"torn": [number, said, size]}), flush=True)
    seen &= set(numbers)
    if numbers != last:
        print(json.dumps({"numbers": numbers}), flush=True)
        last = numbers
    time.sleep(0.002)
"""


@pytest.fixture
def poller(tmp_path: Path) -> Iterator[Path]:
    """What a poller of model `m` has seen, line by line."""
    log = tmp_path / "poller.jsonl"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", POLLER, str(tmp_path / "models" / "m")], stdout=out
        )
    yield log
    assert process.poll() is None
    process.kill()
    process.wait()


def lines(log: Path) -> list[dict[str, Any]]:
    text = log.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


@pytest.mark.slow
def test_the_highest_number_is_the_one_in_force(rig: Rig, tmp_path: Path, poller: Path) -> None:
    with rig.connect() as registry:
        for number in (1, 2, 3):
            folder = tmp_path / f"v{number}"
            (folder / "deep").mkdir(parents=True)
            (folder / "number.txt").write_text(str(number), encoding="utf-8")
            (folder / "config.pbtxt").write_text(f"version {number}", encoding="utf-8")
            (folder / "deep" / "weights.bin").write_bytes(bytes([number]) * 3_000_000)
            registry.push(folder, "m")
        repository = tmp_path / "models"
        registry.promote("m@staging", 3)  # another stage's: not to be seen here
        registry.promote("m@production", 1)
        (repository / "m").mkdir(parents=True)
        (repository / "m" / "labels.txt").touch()  # somebody else's, and no business of the node's

        def begin() -> None:
            rig.start_node(
                "n1", "--repository", f"production={repository}", "--grace-s", "2", serve="m@*"
            )

        def numbers(*wanted: int) -> None:
            eventually(lambda: [one for one in lines(poller) if "numbers" in one][-1:]
                       == [{"numbers": list(wanted)}])  # fmt: skip

        def config() -> str:
            return (repository / "m" / "config.pbtxt").read_text(encoding="utf-8")

        begin()
        numbers(1)
        assert config() == "version 1"
        registry.promote("m@production", 2)
        numbers(1, 2)  # the one before stays for its grace
        assert config() == "version 2"
        numbers(2)
        registry.rollback("m@production")
        numbers(1)  # never 1 and 2: the highest would be served
        assert config() == "version 1"
        rig.fleet.kill("n1")
        begin()
        rig.wait_serving("n1", 1)
        registry.promote("m@production", 3)
        numbers(1, 3)
        numbers(3)
    assert (repository / "m" / "labels.txt").exists()
    assert (repository / "m" / "3").is_symlink()
    assert not [one for one in lines(poller) if "torn" in one]
    seen = [one["numbers"] for one in lines(poller)]
    first = seen.index([1])
    assert [] not in seen[first:]  # never nothing, once there was something
    served = [number for number, _ in groupby(max(one) for one in seen[first:])]
    assert served == [1, 2, 1, 3]


def version(folder: Path, number: int) -> ResidentVersion:
    made = folder / "cache" / "versions" / f"{number:064}"
    made.mkdir(parents=True, exist_ok=True)
    (made / "number.txt").write_text(str(number), encoding="utf-8")
    return ResidentVersion(number, f"sha256:{number:064}", str(made))


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.glob("*/*"))


def test_what_a_plan_says(tmp_path: Path) -> None:
    one, two, three = (version(tmp_path, number) for number in (1, 2, 3))
    standing = [
        Standing("a", "production", two, (one, three)),
        Standing("b", "production", three, ()),
        Standing("a", "staging", three, (two,)),
    ]
    assert {model: sorted(links) for model, links in plan(standing, "production").items()} == {
        "a": ["1", "2", "config.pbtxt"],
        "b": ["3", "config.pbtxt"],
    }


def test_only_its_own_links_are_touched(tmp_path: Path) -> None:
    versions = f"{tmp_path}/cache/versions/"
    repository = tmp_path / "repository"
    one, two = version(tmp_path, 1), version(tmp_path, 2)

    def bring(*standing: Standing) -> None:
        wanted: Plan = plan(standing, "production")
        apply(repository, wanted, versions)

    bring(Standing("a", "production", one, ()), Standing("b", "production", two, ()))
    assert tree(repository) == ["a/1", "b/2"]
    (repository / "b" / "9").symlink_to(tmp_path)  # somebody else's
    (repository / "c" / "1").mkdir(parents=True)
    (repository / "a" / ".new").symlink_to(one.path)  # of a node that was killed
    bring(Standing("a", "production", two, (one,)))
    assert tree(repository) == ["a/1", "a/2", "b/9", "c/1"]
    bring()
    assert tree(repository) == ["b/9", "c/1"]
    assert not (repository / "a").exists()
    with pytest.raises(FileExistsError, match="is not the node's: move it away"):
        bring(Standing("c", "production", one, ()))
    gone = ResidentVersion(3, "sha256:3", f"{versions}gone")
    bring(Standing("d", "production", gone, ()))  # no link that leads nowhere
    assert tree(repository) == ["b/9", "c/1"]


def test_options() -> None:
    place = RepositoryPlace.parse("production=/srv/a=b")
    assert (place.stage.text, str(place.folder)) == ("production", "/srv/a=b")
    for text in ("/srv/models", "production=", "=/srv"):
        with pytest.raises(RegistryError):
            RepositoryPlace.parse(text)
    assert issubclass(InvalidInput, RegistryError)
