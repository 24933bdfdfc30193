"""A store without credentials says which to set. Metadata services are loopback ports with nobody
there, so that nothing beyond this machine is asked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from registry_core.errors import OriginError
from registry_core.origin.patience import PROMPT
from registry_core.origin.store import Origin

NOBODY = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.mark.parametrize(
    ("url", "options", "named"),
    [
        ("s3://b/p", {"region": "eu-1", "metadata_endpoint": NOBODY}, "AWS_ACCESS_KEY_ID"),
        (
            "az://c/p",
            {"account_name": "acc", "msi_endpoint": f"{NOBODY}/token"},
            "AZURE_STORAGE_ACCOUNT_KEY",
        ),
    ],
)
def test_where_nobody_gives_credentials(url: str, options: dict[str, str], named: str) -> None:
    origin = Origin.open(url, options, PROMPT)
    with pytest.raises(OriginError, match=named) as caught:
        origin.size("manifests/x")
    assert "there are no credentials" in str(caught.value)
    assert caught.value.retryable, "a metadata service may be away for a moment"


@pytest.mark.parametrize(
    ("url", "named"),
    [("az://c/p", "AZURE_STORAGE_ACCOUNT_NAME"), ("gs://b/p", "GOOGLE_SERVICE_ACCOUNT")],
)
def test_what_cannot_even_be_opened(
    url: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "not-there.json"))
    with pytest.raises(OriginError, match=named):
        Origin.open(url)
