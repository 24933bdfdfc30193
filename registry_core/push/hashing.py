"""Files to a manifest: one read of each byte gives SHA-256 (for OMS) and BLAKE3 (for chunks)."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from blake3 import blake3

from registry_core.domain import limits
from registry_core.domain.identifiers import ChunkId
from registry_core.domain.manifest import Chunk, Manifest, ModelFile
from registry_core.domain.parts import hashed_with_marks
from registry_core.errors import InvalidModelFiles
from registry_core.push.layout import spans_of
from registry_core.push.progress import Progress
from registry_core.push.scan import SourceFile, fingerprint

_THREADS = min(8, os.cpu_count() or 1)


def build_manifest(files: list[SourceFile], chunk_bytes: int, progress: Progress) -> Manifest:
    """Hash all files, several at a time; both hashes release the GIL. Chunks of small versions get
    marks, since hosts have few of them to pass on: in those of others they would say little for
    their bytes."""
    total = sum(file.size for file in files)
    marked = chunk_bytes <= limits.CHUNK_SMALL and total < limits.SMALL_VERSION_MAX
    tally = _Tally(total, progress)
    with ThreadPoolExecutor(_THREADS, "hash") as pool:
        hashed = pool.map(lambda file: _hash_file(file, chunk_bytes, marked, tally), files)
        return Manifest.build(list(hashed))


class _Tally:
    def __init__(self, total: int, progress: Progress) -> None:
        self._lock = threading.Lock()
        self._done, self._total, self._progress = 0, total, progress

    def add(self, count: int) -> None:
        with self._lock:
            self._done += count
            done = self._done
        self._progress("hash", done, self._total)


def _hash_file(file: SourceFile, chunk_bytes: int, marked: bool, tally: _Tally) -> ModelFile:
    with open_source(file) as descriptor:
        try:
            spans = spans_of(descriptor, file.path, file.size, chunk_bytes)
        except InvalidModelFiles as error:
            raise InvalidModelFiles(f"{file.location} {error}") from error
        whole, chunks = hashlib.sha256(), []
        buffer = memoryview(bytearray(max((end - start for start, end in spans), default=0)))
        for start, end in spans:
            view = buffer[: end - start]
            read_exactly(descriptor, file, view, start)
            whole.update(view)
            digest, marks = hashed_with_marks(view) if marked else (blake3(view).digest(), b"")
            chunks.append(Chunk(ChunkId(digest), len(view), marks))
            tally.add(len(view))
        refuse_changed(descriptor, file)
    return ModelFile(file.path, file.size, whole.digest(), tuple(chunks))


@contextmanager
def open_source(file: SourceFile) -> Iterator[int]:
    """A descriptor of `file`. What the system says about it is told as InvalidModelFiles."""
    try:
        with file.location.open("rb", buffering=0) as source:
            yield source.fileno()
    except OSError as error:
        raise InvalidModelFiles(
            f"{file.location} cannot be read any more ({error.strerror}): push again"
        ) from error


def read_exactly(descriptor: int, file: SourceFile, view: memoryview, offset: int) -> None:
    """Fill `view` from `offset`; a file that has become shorter is an error."""
    done = 0
    while done < len(view):
        count = os.preadv(descriptor, [view[done:]], offset + done)
        if count == 0:
            raise InvalidModelFiles(f"{file.location} became shorter while it was read: push again")
        done += count


def refuse_changed(descriptor: int, file: SourceFile) -> None:
    if fingerprint(os.fstat(descriptor)) != file.fingerprint:
        raise InvalidModelFiles(f"{file.location} changed while it was read: push again")
