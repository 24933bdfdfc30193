"""The tool that others use, `model_signing`, judges our bundles over real directories."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from registry_core.domain import canonical
from registry_core.domain.manifest import Manifest
from registry_core.errors import IntegrityError, InvalidInput
from registry_core.trust.dsse import pae
from registry_core.trust.oms import sign_version, verify_version
from tests.trust.documents import PUBLISHER, STRANGER, pems, version_of

FILES = {
    "config.json": b'{"layers": 2}',
    "empty.bin": b"",
    "weights/part one/00.bin": bytes(range(256)) * 300,
    "weights/part one/nested/deeper/01.bin": b"\x00" * 70_000,
    "tokens/größe.txt": "größe".encode(),
    "tokens/重み.bin": b"\x01",
    "tokens/🤖.bin": b"\x02",
    'tokens/"quoted" & <odd>.txt': b"\x03",
    "Z-before-a": b"\x04",
    "sub/.gitignore": b"kept: only the top level is git's",
}


@pytest.fixture(name="home")
def make_home(tmp_path: Path) -> Path:
    """model/, its bundle in model.sig, the signer's key in key.pem."""
    for path, data in FILES.items():
        (tmp_path / "model" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / path).write_bytes(data)
    PUBLISHER.save(tmp_path / "key.pem")
    (tmp_path / "model.sig").write_bytes(sign_version(_manifest(), "model", PUBLISHER))
    return tmp_path


def _manifest() -> Manifest:
    return version_of(FILES, chunk_bytes=32_768)


def _model_signing(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "model_signing", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _stock_verdict(home: Path, public_key: str = "key.pem.pub") -> subprocess.CompletedProcess[str]:
    return _model_signing(
        "verify", "key", home / "model",
        "--signature", home / "model.sig", "--public_key", home / public_key,
    )  # fmt: skip


def test_the_stock_tool_accepts_our_bundle(home: Path) -> None:
    done = _stock_verdict(home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "succeeded" in (done.stdout + done.stderr).lower()


@pytest.mark.parametrize(
    ("path", "content"),
    [("config.json", b'{"layers": 3}'), ("empty.bin", b"x"), ("tokens/extra.bin", b"")],
    ids=["changed", "no longer empty", "extra"],
)
def test_the_stock_tool_refuses_other_files(home: Path, path: str, content: bytes) -> None:
    (home / "model" / path).write_bytes(content)
    done = _stock_verdict(home)
    assert done.returncode != 0
    assert path in done.stdout + done.stderr


def test_the_stock_tool_refuses_another_key(home: Path) -> None:
    STRANGER.save(home / "other.pem")
    assert _stock_verdict(home, "other.pem.pub").returncode != 0


def test_what_the_stock_tool_lets_a_signer_hide_is_refused(home: Path) -> None:
    """A file that the signer's own ignore_paths names passes there, which is why ours is empty."""
    bundle = json.loads((home / "model.sig").read_bytes())
    envelope = bundle["dsseEnvelope"]
    statement = json.loads(base64.b64decode(envelope["payload"]))
    statement["predicate"]["serialization"]["ignore_paths"] = ["evil.py"]
    payload = canonical.encode(statement)
    signature = PUBLISHER.sign(pae(envelope["payloadType"], payload))
    envelope["payload"] = base64.b64encode(payload).decode()
    envelope["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    hiding = canonical.encode(bundle)
    (home / "model.sig").write_bytes(hiding)
    (home / "model" / "evil.py").write_text("import os")
    assert _stock_verdict(home).returncode == 0
    with pytest.raises(IntegrityError):
        verify_version(hiding, _manifest(), pems(PUBLISHER))


def test_a_bundle_of_the_stock_tool_is_no_signed_version(home: Path) -> None:
    """It signs with our key file, and binds no chunks: nodes could not tell what they run."""
    done = _model_signing(
        "sign", "key", home / "model",
        "--signature", home / "stock.sig", "--private_key", home / "key.pem",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    stock = (home / "stock.sig").read_bytes()
    assert json.loads(stock)["verificationMaterial"]["publicKey"]["hint"] == PUBLISHER.key_id
    with pytest.raises(InvalidInput):
        verify_version(stock, _manifest(), pems(PUBLISHER))
