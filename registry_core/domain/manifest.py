"""The manifest: canonical description of a version. Its SHA-256 is the version's identity.

It tells files, sizes, SHA-256 and chunks, and nothing of where chunks lie: the same files, cut the
same way, give the same identity wherever they are kept. Format: docs/FORMATS.md, "Manifest".
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from registry_core.domain import canonical, limits, merkle, parts
from registry_core.domain.identifiers import ChunkId, Digest, parse_hex32
from registry_core.domain.paths import parse_path, refuse_collisions
from registry_core.errors import InvalidInput, InvalidModelFiles

FORMAT = "cachd.manifest/1"
FORMAT_WITH_MARKS = "cachd.manifest/2"
"""Of those that have marks: who knows the first only is told so, instead of misreading them."""

_HEX = re.compile("[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Chunk:
    """What is hashed and kept: `length` bytes whose BLAKE3 is `id`. `marks`, where there are any,
    tell its parts (`domain.parts`); it is the same chunk without them."""

    id: ChunkId
    length: int
    marks: bytes = field(default=b"", compare=False)


@dataclass(frozen=True)
class ModelFile:
    """One file: its chunks back to back are its content."""

    path: str
    size: int
    sha256: bytes
    chunks: tuple[Chunk, ...]

    @cached_property
    def chunk_root(self) -> bytes:
        """RFC 6962 root over leaves `chunk id (32) || length (u32 big-endian)`, 32 bytes."""
        return merkle.root_of(
            merkle.leaf_hash(chunk.id.raw + chunk.length.to_bytes(4, "big"))
            for chunk in self.chunks
        )

    def placed_chunks(self) -> Iterator[tuple[int, Chunk]]:
        """(offset in the file, chunk), in order."""
        offset = 0
        for chunk in self.chunks:
            yield offset, chunk
            offset += chunk.length


@dataclass(frozen=True)
class Manifest:
    """Files sorted by path (code point order)."""

    files: tuple[ModelFile, ...]

    @cached_property
    def encoded(self) -> bytes:
        return canonical.encode(
            {"format": self.format, "files": [_file_json(f) for f in self.files]}
        )

    @property
    def format(self) -> str:
        marked = any(chunk.marks for file in self.files for chunk in file.chunks)
        return FORMAT_WITH_MARKS if marked else FORMAT

    @cached_property
    def digest(self) -> Digest:
        return Digest.of(self.encoded)

    @cached_property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @cached_property
    def unique_chunks(self) -> dict[ChunkId, Chunk]:
        """Each distinct chunk once, in the order of the files."""
        return {chunk.id: chunk for file in self.files for chunk in file.chunks}

    @classmethod
    def build(cls, files: list[ModelFile]) -> Manifest:
        """The manifest of `files`, checked and sorted."""
        made = cls(tuple(sorted(files, key=lambda file: file.path)))
        _check(made)
        return made

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """The manifest that `data` is the canonical encoding of, or InvalidInput. Who is given one
        looks at it several times on the way to the first chunk, so the last is kept."""
        return _parsed(data)


@functools.lru_cache(maxsize=1)
def _parsed(data: bytes) -> Manifest:
    doc = canonical.decode(data, bytes_max=limits.MANIFEST_MAX, what="manifest")
    if not isinstance(doc, dict) or doc.keys() != {"format", "files"}:
        raise InvalidInput("manifest is not an object of 'format' and 'files'")
    if doc["format"] not in (FORMAT, FORMAT_WITH_MARKS) or not isinstance(doc["files"], list):
        raise InvalidInput(f"manifest format {doc['format']!r:.40} is not known here")
    made = Manifest(tuple(_parse_file(item) for item in doc["files"]))
    if doc["format"] != made.format:
        raise InvalidInput(f"manifest: {doc['format']} is not the format of what it says")
    _check(made)
    vars(made)["encoded"] = data  # there is one encoding only
    return made


def _file_json(file: ModelFile) -> dict[str, Any]:
    return {
        "path": file.path,
        "size": file.size,
        "sha256": file.sha256.hex(),
        "chunks": [_chunk_json(chunk) for chunk in file.chunks],
    }


def _chunk_json(chunk: Chunk) -> list[str | int]:
    marks = [chunk.marks.hex()] if chunk.marks else []
    return [chunk.id.hex, chunk.length, *marks]


def _parse_file(doc: Any) -> ModelFile:
    if not isinstance(doc, dict) or doc.keys() != {"path", "size", "sha256", "chunks"}:
        raise InvalidInput("manifest: a file is not an object of path, size, sha256, chunks")
    if type(doc["size"]) is not int or not isinstance(doc["chunks"], list):
        raise InvalidInput(f"manifest: file {doc['path']!r:.80} is not well formed")
    return ModelFile(
        parse_path(doc["path"]),
        doc["size"],
        parse_hex32(doc["sha256"], "file digest"),
        tuple(_parse_chunk(item) for item in doc["chunks"]),
    )


def _parse_chunk(doc: Any) -> Chunk:
    if not isinstance(doc, list) or len(doc) not in (2, 3) or type(doc[1]) is not int:
        raise InvalidInput("manifest: a chunk is not [id, length] or [id, length, marks]")
    marks = _parse_marks(doc[2], doc[1]) if len(doc) == 3 else b""
    return Chunk(ChunkId.parse_hex(doc[0]), doc[1], marks)


def _parse_marks(text: Any, chunk_bytes: int) -> bytes:
    if chunk_bytes > limits.CHUNK_SMALL:
        raise InvalidInput(f"manifest: a chunk of {chunk_bytes} bytes has marks")
    length = parts.marks_length(chunk_bytes)
    if not isinstance(text, str) or len(text) != 2 * length or not _HEX.fullmatch(text):
        raise InvalidInput(f"manifest: a chunk's marks are not {length} bytes in lower-case hex")
    return bytes.fromhex(text)


def _check(manifest: Manifest) -> None:
    paths = [file.path for file in manifest.files]
    if not paths:
        raise InvalidModelFiles("a version needs at least one file")
    if len(paths) > limits.FILES_MAX:
        raise InvalidModelFiles(f"{len(paths)} files are more than the {limits.FILES_MAX} allowed")
    if any(a >= b for a, b in itertools.pairwise(paths)):
        raise InvalidInput("manifest: files are not sorted by path, or one is there twice")
    refuse_collisions(paths)
    lengths: dict[ChunkId, int] = {}
    for file in manifest.files:
        if file.size < 0 or sum(chunk.length for chunk in file.chunks) != file.size:
            raise InvalidInput(f"manifest: chunks of {file.path!r} do not add up to its size")
        for chunk in file.chunks:
            if not 1 <= chunk.length <= limits.CHUNK_MAX:
                raise InvalidInput(f"manifest: a chunk of {file.path!r} has {chunk.length} bytes")
            if lengths.setdefault(chunk.id, chunk.length) != chunk.length:
                raise InvalidInput("manifest: one chunk id with two lengths")
    if len(lengths) > limits.CHUNKS_MAX:
        raise InvalidModelFiles(f"{len(lengths)} chunks are more than {limits.CHUNKS_MAX}")
