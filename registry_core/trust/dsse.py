"""DSSE v1 envelopes: a payload with its type, and any number of signatures over both.

What is signed is PAE(type, payload) = "DSSEv1 len(type) type len(payload) payload", so a payload
of one kind can never be taken for another. An envelope has one encoding (canonical JSON, canonical
base64, no other keys) of at most ENVELOPE_MAX bytes. Pure.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry_core.domain import canonical, limits
from registry_core.errors import InvalidInput, Unauthorized
from registry_core.trust.keys import SigningKey, verify_signature


@dataclass(frozen=True, slots=True)
class Signature:
    """By the key whose id is `keyid`, so it claims."""

    keyid: str
    sig: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """Unverified until `require` says otherwise."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "payload": base64.b64encode(self.payload).decode(),
            "payloadType": self.payload_type,
            "signatures": [
                {"keyid": one.keyid, "sig": base64.b64encode(one.sig).decode()}
                for one in self.signatures
            ],
        }

    @classmethod
    def from_json(cls, doc: Any) -> Envelope:
        if not isinstance(doc, dict) or doc.keys() != {"payload", "payloadType", "signatures"}:
            raise InvalidInput("envelope is not an object of payload, payloadType, signatures")
        signatures = doc["signatures"]
        if not isinstance(signatures, list) or len(signatures) > limits.SIGNATURES_MAX:
            raise InvalidInput(
                f"envelope: signatures are not a list of at most {limits.SIGNATURES_MAX}"
            )
        kind = _ascii(doc["payloadType"], "payloadType")
        payload = decode_base64(_ascii(doc["payload"], "payload"), "envelope: payload")
        made = cls(kind, payload, tuple(_signature(item) for item in signatures))
        if made.bytes_at_most > limits.ENVELOPE_MAX and len(made.encode()) > limits.ENVELOPE_MAX:
            raise InvalidInput(f"envelope: more than the {limits.ENVELOPE_MAX} bytes allowed")
        return made

    @property
    def bytes_at_most(self) -> int:
        """No smaller than the encoded size: text may be escaped, base64 adds a third."""
        text = len(self.payload_type) + sum(len(one.keyid) for one in self.signatures)
        data = len(self.payload) + sum(len(one.sig) for one in self.signatures)
        return 128 * (1 + len(self.signatures)) + 6 * text + 2 * data

    def encode(self) -> bytes:
        return canonical.encode(self.to_json())

    @classmethod
    def parse(cls, data: bytes) -> Envelope:
        return cls.from_json(canonical.decode(data, bytes_max=limits.ENVELOPE_MAX, what="envelope"))

    def with_signature(self, key: SigningKey) -> Envelope:
        """One more signature over the same bytes."""
        made = Signature(key.key_id, key.sign(pae(self.payload_type, self.payload)))
        return Envelope(self.payload_type, self.payload, (*self.signatures, made))


def pae(payload_type: str, payload: bytes) -> bytes:
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload_type: str, payload: bytes, *keys: SigningKey) -> Envelope:
    envelope = Envelope(payload_type, payload, ())
    for key in keys:
        envelope = envelope.with_signature(key)
    return envelope


def signers(envelope: Envelope, keys: Mapping[str, str]) -> set[str]:
    """Ids of the `keys` (id -> PEM) that signed. A wrong signature under a known id is refused;
    signatures by unknown keys count for nothing."""
    signed = pae(envelope.payload_type, envelope.payload)
    found = set()
    for signature in envelope.signatures:
        pem = keys.get(signature.keyid)
        if pem is None:
            continue
        if not verify_signature(pem, signed, signature.sig):
            raise Unauthorized(f"a signature by key {signature.keyid:.16}… is not valid")
        found.add(signature.keyid)
    return found


def require(
    envelope: Envelope, payload_type: str, keys: Mapping[str, str], threshold: int, what: str
) -> set[str]:
    """The signers, if at least `threshold` distinct `keys` signed a payload of this type."""
    if envelope.payload_type != payload_type:
        raise InvalidInput(f"{what} is of type {envelope.payload_type!r:.80}, not {payload_type}")
    found = signers(envelope, keys)
    if len(found) < max(threshold, 1):
        raise Unauthorized(
            f"{what} needs {threshold} signature(s) by any of {len(keys)} known key(s) and has "
            f"{len(found)}: have it signed with more of the keys that the policy names for it"
        )
    return found


def decode_base64(text: Any, what: str) -> bytes:
    """Canonical standard base64, or InvalidInput."""
    try:
        data = base64.b64decode(text, validate=True)
        if isinstance(text, str) and base64.b64encode(data).decode() == text:
            return data
    except (ValueError, TypeError, binascii.Error):
        pass
    raise InvalidInput(f"{what} is not canonical base64")


def _signature(doc: Any) -> Signature:
    if not isinstance(doc, dict) or doc.keys() != {"keyid", "sig"}:
        raise InvalidInput("envelope: a signature is not an object of keyid and sig")
    keyid = _ascii(doc["keyid"], "keyid")
    return Signature(keyid, decode_base64(_ascii(doc["sig"], "sig"), "envelope: sig"))


def _ascii(text: Any, what: str) -> str:
    if not isinstance(text, str) or not text.isascii() or len(text) > limits.ENVELOPE_MAX:
        raise InvalidInput(f"envelope: {what} is not ASCII text of a sane length")
    return text
