"""A registry whose origin is a real S3 server: push, push again, verify, and what it refuses."""

from __future__ import annotations

import hashlib
import hmac
import os
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from obstore.store import S3Store

import registry_core
from registry_core.errors import OriginError
from registry_core.origin.store import Origin
from registry_core.verify import verify_versions
from tests.origin.ceph import ACCESS_KEY, SECRET_KEY, Ceph, missing_programs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ceph]:
    missing = missing_programs()
    if missing and not os.environ.get("REQUIRE_ALL_TESTS"):
        pytest.skip(f"Ceph is not installed ({', '.join(missing)}); CI installs it")
    ceph = Ceph(tmp_path_factory.mktemp("ceph"))
    try:
        yield ceph
    finally:
        ceph.stop()


@pytest.fixture
def options(s3: Ceph, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Options as they are typed on a command line; credentials come from the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    _make_bucket(s3)
    return {"endpoint": s3.endpoint, "region": "us-east-1", "allow_http": "true"}


def _make_bucket(s3: Ceph) -> None:
    """obstore makes no buckets: one PUT, signed by AWS Signature Version 4."""
    now = datetime.now(UTC)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    host, empty = s3.endpoint.removeprefix("http://"), hashlib.sha256(b"").hexdigest()
    headers = f"host:{host}\nx-amz-content-sha256:{empty}\nx-amz-date:{stamp}\n"
    names = "host;x-amz-content-sha256;x-amz-date"
    request = f"PUT\n/models\n\n{headers}\n{names}\n{empty}"
    scope = f"{day}/us-east-1/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{SECRET_KEY}".encode()
    for part in (day, "us-east-1", "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}"
    urllib.request.urlopen(
        urllib.request.Request(
            f"{s3.endpoint}/models",
            method="PUT",
            headers={
                "x-amz-date": stamp,
                "x-amz-content-sha256": empty,
                "Authorization": f"{credential}, SignedHeaders={names}, Signature={signature}",
            },
        )
    ).close()


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


def test_a_wrong_secret_is_refused_and_said(
    options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    origin = Origin.open("s3://models/team", options)
    with pytest.raises(OriginError, match="credentials") as caught:
        origin.put("packs/aa/x", b"x")
    assert not caught.value.retryable


def test_an_unknown_option_is_an_error_of_ours() -> None:
    with pytest.raises(OriginError, match="options"):
        Origin.open("s3://models/team", {"endpiont": "http://127.0.0.1:1"})


def test_the_store_of_the_url_is_used(options: dict[str, str]) -> None:
    origin = Origin.open("s3://models/team", options)
    origin.put("packs/aa/seen", b"bytes")
    direct = S3Store(
        "models",
        prefix="team",
        config={"endpoint": options["endpoint"], "region": "us-east-1"},
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
