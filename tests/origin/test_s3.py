"""A registry whose origin is a real S3 server, Ceph's gateway or Swift's s3api: push, push again,
verify, races for one object, and what is refused."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from obstore.store import S3Store

import registry_core
from registry_core.domain.identifiers import Digest
from registry_core.domain.limits import CHUNK_PART
from registry_core.domain.packs import decode_hint
from registry_core.errors import OriginError
from registry_core.origin.layout import hint_key
from registry_core.origin.store import Origin
from registry_core.verify import verify_versions
from tests.origin import ceph, swift
from tests.origin.s3_bucket import REGION, S3Server, make_bucket

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module", params=["ceph", "swift"])
def s3(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[S3Server]:
    module = {"ceph": ceph, "swift": swift}[request.param]
    missing = module.missing_programs()
    if missing and not os.environ.get("REQUIRE_ALL_TESTS"):
        pytest.skip(f"{request.param} is not installed ({', '.join(missing)}); CI installs it")
    if request.param == "swift" and os.geteuid() != 0:
        pytest.skip("the servers of Swift are run as root")
    home = tmp_path_factory.mktemp(request.param)
    server: S3Server = ceph.Ceph(home) if request.param == "ceph" else swift.Swift(home)
    try:
        for bucket in server.buckets:
            make_bucket(server, bucket, versioned=bucket == "versioned")
        yield server
    finally:
        server.stop()


@pytest.fixture
def options(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Options as they are typed on a command line; credentials come from the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret_key)
    return {"endpoint": s3.endpoint, "region": REGION, "allow_http": "true"}


def test_life_of_a_version_on_s3(tmp_path: Path, options: dict[str, str]) -> None:
    files = tmp_path / "model"
    files.mkdir()
    (files / "weights.bin").write_bytes(os.urandom(70 << 20))  # more than one pack
    (files / "config.json").write_text("{}")
    with registry_core.init(
        tmp_path / "registry", origin="s3://models/team", origin_options=options
    ) as registry:
        first = registry.push(files, "m")
        assert first.created
        assert first.bytes_uploaded > first.bytes_total
        again = registry.push(files, "m")
        assert (again.created, again.bytes_uploaded) == (False, 0)
        report = verify_versions(
            registry.origin, registry.control.policy(), registry.versions("m"), deep=True
        )
        assert report.problems == []
        assert report.bytes_read == first.bytes_uploaded
        hint = registry.origin.get(hint_key(Digest.parse(first.version.digest)), bytes_max=1 << 20)
        place = max(decode_hint(hint).values(), key=lambda place: place.length)
        parts = list(registry.origin.chunk_in_parts(place, CHUNK_PART))
        assert b"".join(parts) == bytes(registry.origin.read_chunk(place))


def test_a_wrong_secret_is_refused_and_said(
    options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    origin = Origin.open("s3://models/team", options)
    with pytest.raises(OriginError, match="credentials") as caught:
        origin.put("packs/aa/x", b"x")
    assert not caught.value.retryable


def test_of_those_who_write_one_object_at_once_one_wins(
    s3: S3Server, options: dict[str, str]
) -> None:
    """Conditions are kept (Ceph), ignored (Ceph, versioned bucket), or refused (Swift)."""
    for bucket in s3.buckets:
        start, won = threading.Barrier(6), []
        origins = [Origin.open(f"s3://{bucket}/race", options) for _ in range(6)]

        def race(number: int) -> None:
            start.wait(10)  # noqa: B023  # ends within its turn
            if origins[number].put_new("a/b", b"%d" % number):  # noqa: B023
                won.append(b"%d" % number)  # noqa: B023

        threads = [threading.Thread(target=race, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert won == [origins[0].get("a/b", bytes_max=10)]
        assert not origins[0].put_new("a/b", b"later")
        assert won == [origins[0].get("a/b", bytes_max=10)]


def test_two_models_of_the_same_files_share_one_bundle(
    tmp_path: Path, s3: S3Server, options: dict[str, str]
) -> None:
    """The second push must not put its own bundle where the first version's is named by hash."""
    files = tmp_path / "model"
    files.mkdir()
    (files / "config.json").write_text("{}")
    for bucket in s3.buckets:
        url, root = f"s3://{bucket}/shared", tmp_path / bucket
        with registry_core.init(root, origin=url, origin_options=options) as registry:
            for model in ("one", "two"):
                registry.push(files, model)
            for model in ("one", "two"):
                policy, versions = registry.control.policy(), registry.versions(model)
                report = verify_versions(registry.origin, policy, versions, deep=True)
                assert report.problems == []


def test_an_unknown_option_is_an_error_of_ours() -> None:
    with pytest.raises(OriginError, match="options"):
        Origin.open("s3://models/team", {"endpiont": "http://127.0.0.1:1"})


def test_the_store_of_the_url_is_used(options: dict[str, str]) -> None:
    origin = Origin.open("s3://models/team", options)
    origin.put("packs/aa/seen", b"bytes")
    direct = S3Store(
        "models",
        prefix="team",
        config={"endpoint": options["endpoint"], "region": REGION},
        client_options={"allow_http": True},
    )
    assert bytes(direct.get("packs/aa/seen").bytes()) == b"bytes"


def test_versions_are_copied_to_a_region_on_s3(tmp_path: Path, options: dict[str, str]) -> None:
    files = tmp_path / "model"
    files.mkdir()
    (files / "weights.bin").write_bytes(os.urandom(70 << 20))  # more than one pack
    with registry_core.init(tmp_path / "registry") as registry:
        registry.push(files, "m")
        registry.regions.add("far", "s3://models/far", options)
        (first,) = registry.replicate(to="far")
        assert (first.bytes_copied, first.bytes_there, first.problem) == (70 << 20, 0, "")
        far, versions = registry.regions.origin("far"), registry.versions("m")
        policy = registry.control.policy()
        assert verify_versions(far, policy, versions, deep=True).problems == []
        lost = next(far.list("packs")).key
        far.delete(lost)
        (second,) = registry.replicate(to="far")
        assert 0 < second.bytes_copied < second.bytes_there + second.bytes_copied == 70 << 20
        assert verify_versions(far, policy, versions, deep=True).problems == []
        registry.metadata.delete("m/1")
        assert registry.garbage.collect().packs_condemned == 0, "what is young stays"
