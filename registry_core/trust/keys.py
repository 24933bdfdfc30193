"""Key files, and signatures by one key (P-256 with SHA-256, or Ed25519).

A key id is the hex SHA-256 of the PEM SubjectPublicKeyInfo, the hint that OMS bundles carry.
Private keys lie in files of mode 0600; the only I/O of this package is here. A key file is never
overwritten; a crash while one is saved leaves a file that does not load, or no `.pub` beside it,
and no key that anybody has been told of. Any thread may call anything here.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from registry_core.domain import limits
from registry_core.errors import Conflict, InvalidInput, NotFound

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
_ECDSA = ec.ECDSA(hashes.SHA256())
_KEY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}")  # also a role of a policy: no path


class SigningKey:
    """A private key that signs."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self.public_pem = public_pem(key.public_key())
        self.key_id = key_id_of(self.public_pem)

    @classmethod
    def generate_p256(cls) -> SigningKey:
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def generate_ed25519(cls) -> SigningKey:
        return cls(ed25519.Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> SigningKey:
        """The key in a PEM file (PKCS #8, unencrypted, mode 0600).

        NotFound if there is no such file, InvalidInput for anything else that is no such key.
        """
        data = _read_private(path)
        try:
            key = serialization.load_pem_private_key(data, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise InvalidInput(f"{path} is not an unencrypted PEM private key: {error}") from error
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return cls(key)
        if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
            return cls(key)
        raise InvalidInput(f"{path} is not a P-256 or Ed25519 key")

    def save(self, path: Path) -> None:
        """Write a new key file, 0600, and the public key beside it as `<path>.pub`: both or none.

        Conflict if one of them exists. On disk when this returns.
        """
        private = self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        _write_new(path, private, 0o600)
        try:
            _write_new(path.with_name(path.name + ".pub"), self.public_pem.encode(), 0o644)
        except BaseException:
            path.unlink()
            raise
        _sync_directory(path.parent)

    def sign(self, data: bytes) -> bytes:
        """DER ECDSA over SHA-256, or a raw Ed25519 signature."""
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return self._key.sign(data)
        return self._key.sign(data, _ECDSA)


class Keyring:
    """A directory of key files `<name>.pem`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def get(self, name: str) -> SigningKey:
        path = self._path(name)
        try:
            return SigningKey.load(path)
        except NotFound:
            raise NotFound(
                f"there is no key {name!r} at {path}: `cachctl init` makes keys in the registry's "
                "keys/ directory; name the directory that holds yours with --keys"
            ) from None

    def names(self) -> set[str]:
        return {path.stem for path in self.directory.glob("*.pem")}

    def create(self, name: str, key: SigningKey) -> None:
        key.save(self._path(name))

    def _path(self, name: str) -> Path:
        if not _KEY_NAME.fullmatch(name):
            raise InvalidInput(f"key name {name!r:.80} is not 1 to 128 of A-Z a-z 0-9 . _ @ -")
        return self.directory / f"{name}.pem"


def verify_signature(pem: str, data: bytes, signature: bytes) -> bool:
    """Whether `signature` over `data` is by the key in `pem`. InvalidInput for a bad key."""
    key = load_public(pem)
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, data)
        else:
            key.verify(signature, data, _ECDSA)
    except InvalidSignature:
        return False
    return True


@lru_cache(maxsize=limits.POLICY_KEYS_MAX)
def load_public(pem: str) -> PublicKey:
    """The P-256 or Ed25519 key in `pem`, which must be in the one canonical form."""
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidInput(f"not a PEM public key: {error}") from error
    known = isinstance(key, ed25519.Ed25519PublicKey) or (
        isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    )
    if not known or public_pem(key) != pem:  # type: ignore[arg-type]  # known says that it is one
        raise InvalidInput("not a P-256 or Ed25519 public key in canonical PEM")
    return key  # type: ignore[return-value]  # as above


def is_ed25519(pem: str) -> bool:
    """Whether `pem` is an Ed25519 key; a P-256 key otherwise. InvalidInput for a bad key."""
    return isinstance(load_public(pem), ed25519.Ed25519PublicKey)


def public_pem(key: PublicKey) -> str:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode("ascii")


def key_id_of(pem: str) -> str:
    return hashlib.sha256(pem.encode()).hexdigest()


def _read_private(path: Path) -> bytes:
    """Content of a file that only its owner can read, bounded."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would wait for its writer
            raise InvalidInput(f"key file {path} is not a regular file")
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(limits.KEY_FILE_MAX + 1)
    except FileNotFoundError:
        raise NotFound(f"there is no key file {path}") from None
    except OSError as error:
        raise InvalidInput(f"key file {path} cannot be read: {error.strerror}") from error
    if stat.S_IMODE(mode) & 0o077:
        raise InvalidInput(
            f"key file {path} can be read by others: run `chmod 600 {path}`, and think "
            "about whether the key must be replaced"
        )
    if len(data) > limits.KEY_FILE_MAX:
        raise InvalidInput(f"{path} is too large to be a key file")
    return data


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """A new file of `data`, or none."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        raise Conflict(f"{path} exists: a key is never overwritten; move it away first") from None
    except OSError as error:
        raise InvalidInput(f"key file {path} cannot be made: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink()
        raise InvalidInput(f"key file {path} cannot be written: {error.strerror}") from error


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
