"""Golden bytes of the peer protocol, and what its decoders refuse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachd import limits
from cachd.cache.documents import DocumentKind
from cachd.peer import protocol
from cachd.peer.protocol import Follow, GetChunk, GetDocument, Held, Malformed, Request, Status
from registry_core.domain.identifiers import ChunkId, Digest
from registry_core.domain.limits import CHUNK_MAX

ID = bytes(range(32))

GOLDEN: list[tuple[Request, str]] = [
    (GetChunk(ChunkId(ID), 0, 4 << 20), "0100000000000028" + ID.hex() + "0000000000400000"),
    (GetChunk(ChunkId(ID), 65536, 1), "0100000000000028" + ID.hex() + "0001000000000001"),
    (Follow(Digest(ID)), "0200000000000020" + ID.hex()),
    (GetDocument(Digest(ID), DocumentKind.MANIFEST), "0300000000000021" + ID.hex() + "00"),
    (GetDocument(Digest(ID), DocumentKind.BUNDLE), "0300000000000021" + ID.hex() + "01"),
    (GetDocument(Digest(ID), DocumentKind.HINT), "0300000000000021" + ID.hex() + "02"),
    (Held(480, b"\x01\x80"), "0400000000000006" + "000001e0" + "0180"),
]


@pytest.mark.parametrize(("request_", "golden"), GOLDEN)
def test_requests(request_: Request, golden: str) -> None:
    data = protocol.encode_request(request_)
    assert data.hex() == golden
    kind, length = protocol.decode_request_header(data[: protocol.HEADER_BYTES])
    assert length == len(data) - protocol.HEADER_BYTES <= limits.REQUEST_PAYLOAD_MAX
    assert protocol.decode_request(kind, data[protocol.HEADER_BYTES :]) == request_


def test_hello() -> None:
    data = protocol.encode_hello(0x0102030405060708)
    assert data.hex() == "4341434844503200" + "0102030405060708"
    assert protocol.decode_hello(data) == 0x0102030405060708
    with pytest.raises(Malformed, match="hello"):
        protocol.decode_hello(b"HTTP/1.1 400 Bad")


@pytest.mark.parametrize(
    ("status", "length", "golden"),
    [
        (Status.OK, 4 << 20, "0000000000400000"),
        (Status.NOT_FOUND, 0, "0100000000000000"),
        (Status.BUSY, 0, "0200000000000000"),
        (Status.BAD_REQUEST, 0, "0300000000000000"),
        (Status.MAPS, 64, "0400000000000040"),
        (Status.UNIT, (256 << 10) + 4, "0500000000040004"),
        (Status.QUIET, 0, "0600000000000000"),
    ],
)
def test_response_headers(status: Status, length: int, golden: str) -> None:
    assert protocol.encode_response_header(status, length).hex() == golden
    assert protocol.decode_response_header(bytes.fromhex(golden)) == (status, length)


@pytest.mark.parametrize(
    "header", ["0700000000000000", "ff00000000000000", "0000010000000000", "0001000000000000"]
)
def test_a_damaged_response_header_is_refused(header: str) -> None:
    with pytest.raises(Malformed):
        protocol.decode_response_header(bytes.fromhex(header))


@pytest.mark.parametrize("header", ["0100000100000028", "0100000000000041", "01000000ffffffff"])
def test_a_damaged_or_overlong_request_header_is_refused(header: str) -> None:
    with pytest.raises(Malformed):
        protocol.decode_request_header(bytes.fromhex(header))


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (0, b""),
        (4, bytes(4)),
        (5, ID),
        (1, ID),
        (1, ID + bytes(8)),
        (1, ID + bytes(4) + (CHUNK_MAX + 1).to_bytes(4, "big")),
        (1, ID + CHUNK_MAX.to_bytes(4, "big") + (1).to_bytes(4, "big")),
        (2, ID + b"x"),
        (2, ID[:31]),
        (3, ID),
        (3, ID + b"\3"),
    ],
)
def test_a_malformed_request_is_refused(kind: int, payload: bytes) -> None:
    with pytest.raises(Malformed):
        protocol.decode_request(kind, payload)


@given(st.integers(0, 255), st.binary(max_size=limits.REQUEST_PAYLOAD_MAX))
def test_any_request_decodes_or_is_malformed(kind: int, payload: bytes) -> None:
    try:
        request = protocol.decode_request(kind, payload)
    except Malformed:
        return
    assert protocol.encode_request(request)[protocol.HEADER_BYTES :] == payload
