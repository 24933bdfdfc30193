"""Key files, and signatures by one key (P-256 with SHA-256, or Ed25519).

A key id is the hex SHA-256 of the PEM SubjectPublicKeyInfo, the hint that OMS bundles carry.
Private keys lie in files of mode 0600; the only I/O of this package is here.
"""

from __future__ import annotations

import hashlib
import os
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
        """The key in a PEM file (PKCS #8, unencrypted, mode 0600)."""
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            if stat.S_IMODE(state.st_mode) & 0o077:
                raise InvalidInput(
                    f"key file {path} can be read by others: run `chmod 600 {path}`, and think "
                    "about whether the key must be replaced"
                )
            data = file.read(limits.KEY_FILE_MAX + 1)
        if len(data) > limits.KEY_FILE_MAX:
            raise InvalidInput(f"{path} is too large to be a key file")
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
        """Write a new key file, 0600, and the public key beside it as `<path>.pub`."""
        private = self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        _write_new(path, private, 0o600)
        _write_new(path.with_name(path.name + ".pub"), self.public_pem.encode(), 0o644)

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
        path = self.directory / f"{name}.pem"
        try:
            return SigningKey.load(path)
        except FileNotFoundError:
            raise NotFound(
                f"there is no key {name!r} at {path}: `cachctl init` makes keys in the registry's "
                "keys/ directory; name the directory that holds yours with --keys"
            ) from None
        except PermissionError:
            raise InvalidInput(f"key file {path} cannot be read by this user") from None

    def names(self) -> set[str]:
        return {path.stem for path in self.directory.glob("*.pem")}

    def create(self, name: str, key: SigningKey) -> None:
        key.save(self.directory / f"{name}.pem")


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


def public_pem(key: PublicKey) -> str:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode("ascii")


def key_id_of(pem: str) -> str:
    return hashlib.sha256(pem.encode()).hexdigest()


def _write_new(path: Path, data: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        raise Conflict(f"{path} exists: a key is never overwritten; move it away first") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
