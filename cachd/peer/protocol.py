"""The bytes between two nodes. Version 2. All integers big-endian, padding zero.

Both ends first send a hello: magic (8), incarnation u64. Then the client sends requests and the
server answers each, in order; requests may be pipelined.

request    type u8, padding 3, payload length u32, payload
  GET_CHUNK  chunk id 32, offset u32, length u32: a unit of the chunk, usually all of it
  FOLLOW     manifest digest 32: tell what is held of the version, and push what comes
  DOCUMENT   manifest digest 32, kind u8: 0 manifest, 1 bundle, 2 hint
  HELD       first chunk number u32, bitmap of up to 60 bytes from there on: do not push these.
             Before FOLLOW, and while following; not answered
response   status u8, padding 3, payload length u32, payload

FOLLOW is the last request of a connection that is answered, by messages without end. They have the
form of responses:
  MAPS       two bitmaps of equal length over the manifest's distinct chunks, least significant
             bit first: held and verified; being taken from the origin right now
  UNIT       chunk number u32, then the whole chunk
  NOT_FOUND  the version is not known here yet
  QUIET      nothing new

Pure: bytes in, values out. `Malformed` means that the other end does not speak this protocol.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

from cachd import limits
from cachd.cache.documents import DocumentKind
from registry_core.domain.identifiers import ChunkId, Digest
from registry_core.domain.limits import CHUNK_MAX

VERSION = 2
MAGIC = b"CACHDP%d\0" % VERSION
INCARNATION_MAX = (1 << 64) - 1

_HELLO = struct.Struct(">8sQ")
_HEADER = struct.Struct(">B3sI")
_GET_CHUNK = struct.Struct(">32sII")
_DOCUMENT = struct.Struct(">32sB")
_NUMBER = struct.Struct(">I")
_PADDING = b"\0\0\0"

HELLO_BYTES = _HELLO.size
HEADER_BYTES = _HEADER.size
NUMBER_BYTES = _NUMBER.size
HELD_BITMAP_MAX = limits.REQUEST_PAYLOAD_MAX - NUMBER_BYTES


class Malformed(ValueError):
    """Bytes that are not of this protocol."""


class RequestType(enum.IntEnum):
    GET_CHUNK = 1
    FOLLOW = 2
    DOCUMENT = 3
    HELD = 4


class Status(enum.IntEnum):
    OK = 0
    NOT_FOUND = 1
    BUSY = 2
    BAD_REQUEST = 3
    MAPS = 4
    UNIT = 5
    QUIET = 6


_STATUS = {status.value: status for status in Status}


@dataclass(frozen=True, slots=True)
class GetChunk:
    """A unit: `length` bytes at `offset` of a chunk."""

    chunk_id: ChunkId
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Follow:
    digest: Digest


@dataclass(frozen=True, slots=True)
class GetDocument:
    digest: Digest
    kind: DocumentKind


@dataclass(frozen=True, slots=True)
class Held:
    """Chunks that the follower holds: `bitmap` from number `first` (a multiple of 8) on, at most
    HELD_BITMAP_MAX bytes of it."""

    first: int
    bitmap: bytes


Request = GetChunk | Follow | GetDocument | Held


def encode_hello(incarnation: int) -> bytes:
    return _HELLO.pack(MAGIC, incarnation)


def decode_hello(data: bytes) -> int:
    """The other end's incarnation."""
    magic, incarnation = _HELLO.unpack(data)
    if magic != MAGIC:
        raise Malformed(f"hello begins with {magic!r} where {MAGIC!r} is expected")
    return int(incarnation)


def encode_request(request: Request) -> bytes:
    match request:
        case GetChunk(chunk_id, offset, length):
            kind, payload = RequestType.GET_CHUNK, _GET_CHUNK.pack(chunk_id.raw, offset, length)
        case Follow(digest):
            kind, payload = RequestType.FOLLOW, digest.raw
        case Held(first, bitmap):
            kind, payload = RequestType.HELD, _NUMBER.pack(first) + bitmap
        case GetDocument(digest, document):
            kind, payload = RequestType.DOCUMENT, _DOCUMENT.pack(digest.raw, document)
    return _HEADER.pack(kind, _PADDING, len(payload)) + payload


def decode_request_header(header: bytes | memoryview) -> tuple[int, int]:
    """(type, payload length). An unknown type is answered with BAD_REQUEST, an overlong payload
    ends the connection."""
    kind, padding, length = _HEADER.unpack(header)
    if padding != _PADDING or length > limits.REQUEST_PAYLOAD_MAX:
        raise Malformed("a request header is damaged")
    return kind, length


def decode_request(kind: int, payload: bytes) -> Request:
    """The request, or Malformed: to be answered with BAD_REQUEST."""
    try:
        match kind:
            case RequestType.GET_CHUNK:
                raw, offset, length = _GET_CHUNK.unpack(payload)
                if not 1 <= length <= CHUNK_MAX or offset + length > CHUNK_MAX:
                    raise Malformed("a unit lies outside of any chunk")
                return GetChunk(ChunkId(raw), offset, length)
            case RequestType.FOLLOW if len(payload) == 32:
                return Follow(Digest(payload))
            case RequestType.HELD if len(payload) > NUMBER_BYTES:
                return Held(decode_number(payload[:NUMBER_BYTES]), payload[NUMBER_BYTES:])
            case RequestType.DOCUMENT:
                raw, document = _DOCUMENT.unpack(payload)
                return GetDocument(Digest(raw), DocumentKind(document))
    except (struct.error, ValueError) as error:
        raise Malformed(f"a request of type {kind} is malformed: {error}") from error
    raise Malformed(f"a request of type {kind} and {len(payload)} bytes is not known here")


def encode_response_header(status: Status, length: int) -> bytes:
    return _HEADER.pack(status, _PADDING, length)


def decode_response_header(header: bytes | memoryview) -> tuple[Status, int]:
    """(status, payload length). The reader checks the length against what it asked for."""
    number, padding, length = _HEADER.unpack(header)
    status = _STATUS.get(number)
    if padding != _PADDING or status is None:
        raise Malformed(f"a response header is damaged: {bytes(header)!r}")
    return status, length


def encode_number(number: int) -> bytes:
    return _NUMBER.pack(number)


def decode_number(data: bytes) -> int:
    return int(_NUMBER.unpack(data)[0])
