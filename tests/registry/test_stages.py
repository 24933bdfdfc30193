"""Promote and roll back: what is in force, what it is guarded by, and who may."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry_core import Registry
from registry_core.errors import (
    Conflict,
    InvalidIdentifier,
    InvalidInput,
    NotFound,
    Stale,
    Unauthorized,
)
from registry_core.trust.keys import Keyring, SigningKey

STAGE = "m@production"


@pytest.fixture
def three(registry: Registry, tmp_path: Path) -> Registry:
    """A registry whose model m has versions 1, 2 and 3."""
    for number in (1, 2, 3):
        files = tmp_path / f"files-{number}"
        files.mkdir()
        (files / "w").write_text(f"version {number}")
        registry.push(files, "m")
    return registry


def in_force(registry: Registry, stage: str = STAGE) -> tuple[int, str]:
    found = registry.resolve(stage)
    assert found.stage is not None
    return found.version.number, str(found.stage.guard)


def test_promote_roll_back_and_forward_again(three: Registry) -> None:
    three.promote(STAGE, 1)
    assert in_force(three) == (1, "1.0")
    three.promote(STAGE, 2)
    assert in_force(three) == (2, "2.0")
    three.rollback(STAGE)
    assert in_force(three) == (1, "2.1")
    three.rollback(STAGE)
    assert in_force(three) == (2, "2.2")


def test_after_a_rollback_previous_is_what_was_in_force(three: Registry) -> None:
    three.promote(STAGE, 1)
    three.promote(STAGE, 2)
    three.rollback(STAGE)
    moved = three.promote(STAGE, 3)
    assert (moved.version.number, moved.previous and moved.previous.number) == (3, 1)
    three.rollback(STAGE)
    assert in_force(three) == (1, "3.1")


def test_a_version_by_its_digest(three: Registry) -> None:
    digest = three.resolve("m/2").version.digest
    three.promote(STAGE, digest)
    assert in_force(three)[0] == 2
    assert three.resolve(f"m@{digest}").version.number == 2
    assert three.resolve("models:/m@production").version.number == 2


def test_an_expected_guard_that_is_no_longer_true(three: Registry) -> None:
    three.promote(STAGE, 1, expect="0.0")
    with pytest.raises(Stale, match=r"is at 1\.0, not at 0\.0.*decide again") as caught:
        three.promote(STAGE, 2, expect="0.0")
    assert (caught.value.expected, caught.value.actual) == ("0.0", "1.0")
    three.promote(STAGE, 2, expect="1.0")
    with pytest.raises(Stale):
        three.rollback(STAGE, expect="1.0")
    three.rollback(STAGE, expect="2.0")
    three.rollback(STAGE, expect="2.1")
    with pytest.raises(Stale):
        three.rollback(STAGE, expect="2.0")


def test_nothing_to_do_and_nothing_there(three: Registry) -> None:
    with pytest.raises(NotFound, match="nothing was promoted to m@production yet"):
        three.resolve(STAGE)
    with pytest.raises(NotFound, match="nothing to roll back"):
        three.rollback(STAGE)
    three.promote(STAGE, 1)
    with pytest.raises(Conflict, match="already serves version 1"):
        three.promote(STAGE, 1)
    with pytest.raises(Conflict, match="no previous version"):
        three.rollback(STAGE)
    with pytest.raises(NotFound, match="no version 9: `cachctl show m` lists them"):
        three.promote(STAGE, 9)
    with pytest.raises(NotFound, match="m has no version sha256"):
        three.promote(STAGE, "sha256:" + "00" * 32)
    for ref in ("nothing/1", "nothing@production"):
        with pytest.raises(NotFound):
            three.resolve(ref)
    with pytest.raises(NotFound, match="no model nothing: `cachctl list`"):
        three.history("nothing")


@pytest.mark.parametrize("stage", ["m", "m@", "@production", "m@latest", "M@production", "m@a@b"])
def test_bad_stage_references(three: Registry, stage: str) -> None:
    with pytest.raises(InvalidIdentifier):
        three.promote(stage, 1)


@pytest.mark.parametrize("expect", ["1", "x", "1.0.0", "-1.0"])
def test_bad_guards(three: Registry, expect: str) -> None:
    with pytest.raises(InvalidIdentifier, match=r"GENERATION\.CHOICE"):
        three.promote(STAGE, 1, expect=expect)


def test_stages_are_apart(three: Registry) -> None:
    three.promote(STAGE, 1)
    three.promote("m@canary", 2)
    three.promote("m@canary", 3)
    assert (in_force(three), in_force(three, "m@canary")) == ((1, "1.0"), (3, "2.0"))
    assert [stage.stage for stage in three.stages("m")] == ["canary", "production"]


def test_staging_needs_no_person(three: Registry, tmp_path: Path) -> None:
    """A caller without any key leaves it to the stager that the authority holds."""
    nobody = three.with_keys(Keyring(tmp_path / "no keys"))
    nobody.promote("m@staging", 1)
    nobody.promote("m@staging", 2)
    nobody.rollback("m@staging")
    assert in_force(three, "m@staging") == (1, "2.1")
    with pytest.raises(NotFound, match=r"no key 'promoter'.*name the directory"):
        nobody.promote(STAGE, 1)


def test_a_rollback_needs_no_signature(three: Registry, tmp_path: Path) -> None:
    three.promote(STAGE, 1)
    three.promote(STAGE, 2)
    three.with_keys(Keyring(tmp_path / "no keys")).rollback(STAGE)
    assert in_force(three)[0] == 1


def test_a_key_that_the_policy_does_not_count(three: Registry, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    mine = Keyring(tmp_path / "mine")
    for name in ("promoter", "stager", "publisher"):
        mine.create(name, SigningKey.generate_p256())
    for stage in (STAGE, "m@staging"):
        with pytest.raises(Unauthorized, match=r"needs 1 signature\(s\)"):
            three.with_keys(mine).promote(stage, 1)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "w").write_text("mine")
    with pytest.raises(Unauthorized, match="knows as no publisher"):
        three.with_keys(mine).push(tmp_path / "files", "m")
    assert len(three.versions("m")) == 3


def test_a_damaged_key_file(three: Registry, tmp_path: Path) -> None:
    key = tmp_path / "registry" / "keys" / "promoter.pem"
    key.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    with pytest.raises(InvalidInput, match=r"promoter\.pem is not an unencrypted PEM private key"):
        three.promote(STAGE, 1)


def test_versions_and_models_are_listed(three: Registry) -> None:
    assert [version.number for version in three.versions("m")] == [3, 2, 1]
    assert [version.number for version in three.versions("m", newest=2)] == [3, 2]
    assert [(m.name, m.last_number) for m in three.models()] == [("m", 3)]


def test_a_split_and_its_ends(three: Registry) -> None:
    three.promote(STAGE, 1)
    with pytest.raises(Conflict, match="no previous version that could answer"):
        three.split(STAGE, 5)
    moved = three.promote(STAGE, 2, split=5)
    assert (str(moved.guard), moved.split, moved.in_force.number) == ("2.1", 50, 1)
    assert in_force(three) == (1, "2.1"), "the one that answers what cannot be split"
    with pytest.raises(Conflict, match="answers 5% of the requests"):
        three.split(STAGE, "5%")
    assert (three.split(STAGE, 50).split, in_force(three)) == (500, (1, "2.3"))
    three.rollback(STAGE)
    assert in_force(three) == (1, "2.5"), "a rollback ends it with the previous version"
    three.split(STAGE, 0.1)
    three.split(STAGE, 100)
    assert in_force(three) == (2, "2.8")
    assert three.stages("m")[0].split == 0
    three.split(STAGE, 99.9)
    assert (in_force(three), three.stages("m")[0].split) == ((1, "2.9"), 999)
    three.split(STAGE, 0)
    assert (in_force(three), three.stages("m")[0].split) == ((1, "2.11"), 0)
    three.promote(STAGE, 3, split=1)
    assert three.promote(STAGE, 3).split == 0, "a move ends it, too"
    assert in_force(three) == (3, "4.0")


def test_a_split_is_guarded(three: Registry) -> None:
    three.promote(STAGE, 1)
    three.promote(STAGE, 2, split=5)
    with pytest.raises(Stale):
        three.split(STAGE, 10, expect="2.0")
    three.split(STAGE, 10, expect="2.1")
    with pytest.raises(Stale):
        three.rollback(STAGE, expect="2.1")
    for wrong in (0, 100):
        with pytest.raises(InvalidInput, match="no split to move all"):
            three.promote(STAGE, 3, split=wrong)
    with pytest.raises(InvalidInput, match=r"steps of 0\.1"):
        three.split(STAGE, 0.05)
    with pytest.raises(NotFound, match="nothing to split"):
        three.split("m@staging", 5)


def test_a_split_is_told_by_history_and_audit(three: Registry) -> None:
    three.promote(STAGE, 1)
    three.promote(STAGE, 2, split=5)
    three.split(STAGE, 10, reason="no errors")
    last = three.history("m")[0]
    assert (last.type, last.after["split"], last.reason) == ("stage.chosen", 100, "no errors")
    assert last.before["split"] == 50
    (then,) = three.audit.at(last.time_ms, STAGE)
    assert (then.number, then.split, then.split_number) == (1, 100, 2)
