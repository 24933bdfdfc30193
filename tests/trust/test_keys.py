"""Key files: strict to read, exclusive to write; key ids and one-key signatures."""

from __future__ import annotations

import hashlib
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from registry_core.domain import limits
from registry_core.errors import Conflict, InvalidInput, NotFound
from registry_core.trust.keys import Keyring, SigningKey, load_public, verify_signature
from tests.trust.documents import AUTHORITY, OWNER, STRANGER

_P384 = ec.generate_private_key(ec.SECP384R1())


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _private_pem(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes = b""
) -> bytes:
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def _key_file(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("key", [SigningKey.generate_p256(), SigningKey.generate_ed25519()])
def test_a_saved_key_loads_and_signs_as_itself(tmp_path: Path, key: SigningKey) -> None:
    path = tmp_path / "k.pem"
    key.save(path)
    loaded = SigningKey.load(path)
    assert loaded.key_id == key.key_id
    assert verify_signature(key.public_pem, b"data", loaded.sign(b"data"))
    assert not verify_signature(key.public_pem, b"Data", loaded.sign(b"data"))
    assert not verify_signature(STRANGER.public_pem, b"data", loaded.sign(b"data"))


def test_a_key_id_is_the_sha256_of_the_pem_as_openssl_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "k.pem"
    OWNER.save(path)
    public = (tmp_path / "k.pem.pub").read_bytes()
    assert public == OWNER.public_pem.encode()
    assert hashlib.sha256(public).hexdigest() == OWNER.key_id


def test_a_key_file_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        OWNER.save(tmp_path / "k.pem")
    finally:
        os.umask(before)
    assert _mode(tmp_path / "k.pem") == 0o600
    assert _mode(tmp_path / "k.pem.pub") == 0o644


@pytest.mark.parametrize("existing", ["k.pem", "k.pem.pub"])
def test_save_overwrites_nothing_and_leaves_nothing_half_made(
    tmp_path: Path, existing: str
) -> None:
    (tmp_path / existing).write_text("mine")
    with pytest.raises(Conflict, match="never overwritten"):
        OWNER.save(tmp_path / "k.pem")
    assert {path.name for path in tmp_path.iterdir()} == {existing}
    assert (tmp_path / existing).read_text() == "mine"


def test_save_does_not_write_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "k.pem").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Conflict):
        OWNER.save(tmp_path / "k.pem")
    assert not (tmp_path / "elsewhere").exists()


def test_a_write_that_fails_leaves_no_key_file(tmp_path: Path) -> None:
    """The kernel refuses the bytes: a file size limit of 100, in a process of its own."""
    program = (
        "import sys; from pathlib import Path; from registry_core.trust.keys import SigningKey;"
        "SigningKey.generate_p256().save(Path(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "k.pem")],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert "InvalidInput" in done.stderr
    assert "File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_save_into_a_missing_directory_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="No such file or directory"):
        OWNER.save(tmp_path / "none" / "k.pem")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o601, 0o777])
def test_a_key_file_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    OWNER.save(tmp_path / "k.pem")
    (tmp_path / "k.pem").chmod(mode)
    with pytest.raises(InvalidInput, match="chmod 600"):
        SigningKey.load(tmp_path / "k.pem")


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_key_file_of_the_owner_alone_is_read(tmp_path: Path, mode: int) -> None:
    OWNER.save(tmp_path / "k.pem")
    (tmp_path / "k.pem").chmod(mode)
    assert SigningKey.load(tmp_path / "k.pem").key_id == OWNER.key_id


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not an unencrypted PEM private key"),
        (b"\x00\xff" * 500, "not an unencrypted PEM private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "not an unencrypted"),
        (OWNER.public_pem.encode(), "not an unencrypted PEM private key"),
        (_private_pem(_P384, b"secret"), "not an unencrypted PEM private key"),
        (_private_pem(_P384), "not a P-256 or Ed25519 key"),
        (_private_pem(rsa.generate_private_key(65537, 2048)), "not a P-256 or Ed25519 key"),
        (b"x" * (limits.KEY_FILE_MAX + 1), "too large"),
    ],
    ids=["empty", "noise", "garbled", "public", "encrypted", "p384", "rsa", "large"],
)
def test_what_is_no_key_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        SigningKey.load(_key_file(tmp_path / "k.pem", content))


def test_a_pipe_or_a_directory_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "directory").mkdir(0o700)
    for name in ("pipe", "directory"):
        with pytest.raises(InvalidInput, match="not a regular file"):
            SigningKey.load(tmp_path / name)


def test_a_missing_key_is_not_found_with_the_place_and_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"k\.pem"):
        SigningKey.load(tmp_path / "k.pem")
    with pytest.raises(NotFound, match=r"owner\.pem.*cachctl init") as caught:
        Keyring(tmp_path).get("owner")
    assert str(tmp_path) in str(caught.value)


def test_a_keyring_keeps_keys_by_name(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path)
    assert keyring.names() == set()
    keyring.create("owner", OWNER)
    keyring.create("anna@example.org", AUTHORITY)
    assert keyring.names() == {"owner", "anna@example.org"}
    assert keyring.get("owner").key_id == OWNER.key_id
    with pytest.raises(Conflict):
        keyring.create("owner", STRANGER)


@pytest.mark.parametrize("name", ["", ".", "..", "../owner", "/etc/owner", "a/b", "a\0", "a\n"])
def test_a_key_name_is_no_path(tmp_path: Path, name: str) -> None:
    keyring = Keyring(tmp_path / "keys")
    (tmp_path / "keys").mkdir()
    Keyring(tmp_path).create("owner", OWNER)
    with pytest.raises(InvalidInput, match="key name"):
        keyring.get(name)
    with pytest.raises(InvalidInput, match="key name"):
        keyring.create(name, STRANGER)


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "\ud800",
        "garbage",
        OWNER.public_pem + "\n",
        " " + OWNER.public_pem,
        OWNER.public_pem.replace("\n", "\r\n"),
        OWNER.public_pem.rstrip("\n"),
        OWNER.public_pem * 2,
        _P384.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode(),
    ],
)
def test_a_public_key_has_one_spelling(pem: str) -> None:
    load_public(OWNER.public_pem)
    with pytest.raises(InvalidInput):
        load_public(pem)


@pytest.mark.parametrize("key", [OWNER, AUTHORITY], ids=["p256", "ed25519"])
def test_a_signature_has_one_length_and_encoding(key: SigningKey) -> None:
    signature = key.sign(b"data")
    assert verify_signature(key.public_pem, b"data", signature)
    for wrong in (b"", signature[:-1], signature + b"\0", b"\0" + signature, b"\0" * 64):
        assert not verify_signature(key.public_pem, b"data", wrong)
