"""`verify_versions`: whatever bit of an object in the origin flips, the version is reported."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from registry_core import Registry
from registry_core.domain import limits
from registry_core.domain.identifiers import Digest
from registry_core.domain.packs import Location, decode_hint, encode_hint
from registry_core.origin.layout import bundle_key, hint_key, manifest_key
from registry_core.verify import VerifyReport, verify_versions
from tests.models import MIB, make_model

FLIPS = 12


def verify(registry: Registry, *, deep: bool = True) -> VerifyReport:
    versions = registry.versions("m")
    return verify_versions(registry.origin, registry.control.policy(), versions, deep=deep)


@pytest.fixture
def origin(registry: Registry, tmp_path: Path) -> Path:
    """Model m: two versions that share all but one tensor."""
    registry.push(make_model(tmp_path / "a", tensors=2), "m")
    registry.push(make_model(tmp_path / "b", tensors=2, changed=1), "m")
    return tmp_path / "registry" / "origin"


def test_sound(registry: Registry, origin: Path) -> None:
    report = verify(registry)
    chunks = 2 + 3 * MIB // limits.CHUNK_SMALL  # headers, and three distinct tensors of 1 MiB
    assert (report.problems, report.versions, report.chunks) == ([], 2, chunks)
    packs = [path for path in (origin / "packs").rglob("*") if path.is_file()]
    assert report.bytes_read == sum(path.stat().st_size for path in packs)
    shallow = verify(registry, deep=False)
    assert (shallow.problems, shallow.bytes_read, shallow.chunks) == ([], 0, report.chunks)


@pytest.mark.parametrize("kind", ["manifest", "bundle", "hint", "pack"])
def test_any_flipped_bit_is_reported(
    registry: Registry, origin: Path, kind: str, seed: int
) -> None:
    rng = random.Random(seed)
    suffix = {"manifest": "", "bundle": ".bundle", "hint": ".packs", "pack": ""}[kind]
    folder = origin / ("packs" if kind == "pack" else "manifests")
    for path in [p for p in folder.rglob("*") if p.is_file() and p.suffix == suffix]:
        whole = path.read_bytes()
        for number in range(FLIPS):
            damaged = bytearray(whole)
            # Of a pack also its index and footer, which no chunk covers.
            at = rng.randrange(len(whole)) if number % 2 else len(whole) - 1 - number
            damaged[at] ^= 1 << rng.randrange(8)
            path.write_bytes(damaged)
            assert verify(registry).problems, (path, at)
        path.write_bytes(whole)
    assert verify(registry).problems == []


@pytest.mark.parametrize("kind", ["manifest", "bundle", "hint", "pack"])
@pytest.mark.parametrize("harm", ["gone", "cut", "emptied"])
def test_what_is_not_there_is_reported_without_reading_packs(
    registry: Registry, origin: Path, kind: str, harm: str
) -> None:
    version = registry.versions("m")[0]
    digest = Digest.parse(version.digest)
    path = {
        "manifest": origin / manifest_key(digest),
        "bundle": origin / bundle_key(digest),
        "hint": origin / hint_key(digest),
        "pack": next(p for p in (origin / "packs").rglob("*") if p.is_file()),
    }[kind]
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: MIB // 2 if kind == "pack" else 50] * (harm == "cut"))
    problems = verify(registry, deep=False).problems
    assert problems
    assert all(problem.startswith("m/") for problem in problems)


def test_a_damaged_chunk_is_reported_for_every_version_that_has_it(
    registry: Registry, origin: Path
) -> None:
    shared = max(
        (p for p in (origin / "packs").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size
    )
    with shared.open("r+b") as file:
        file.seek(MIB // 2)
        byte = file.read(1)[0]
        file.seek(MIB // 2)
        file.write(bytes([byte ^ 1]))
    report = verify(registry)
    assert [problem.partition(":")[0] for problem in report.problems] == ["m/2", "m/1"]


def test_a_hint_that_points_elsewhere_is_reported(registry: Registry, origin: Path) -> None:
    digest = Digest.parse(registry.versions("m")[0].digest)
    hint = decode_hint(registry.origin.get(hint_key(digest), bytes_max=limits.HINT_MAX))
    (first, place), (_, other) = list(hint.items())[:2]
    swapped = {first: Location(other.pack, other.offset, place.length)}
    registry.origin.put(hint_key(digest), encode_hint(hint | swapped))
    assert verify(registry).problems == ["m/2: its hint says wrongly where 1 chunk(s) lie"]
    registry.origin.put(hint_key(digest), encode_hint({first: place}))
    (problem,) = verify(registry, deep=False).problems
    assert problem == f"m/2: its hint does not say where {len(hint) - 1} chunk(s) lie"


def test_a_bundle_by_nobody_we_know_is_reported(registry: Registry, origin: Path) -> None:
    policy = registry.control.policy()
    without = type(policy)(policy.registry, policy.keys, policy.roles | {"publisher": ()}, ())
    report = verify_versions(registry.origin, without, registry.versions("m"), deep=False)
    assert len(report.problems) == 2
    assert "knows as no publisher" in report.problems[0]
