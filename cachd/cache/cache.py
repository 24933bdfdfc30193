"""`Cache`: what a node keeps on disk, as one thread-safe whole.

Invariants: only a `VerifiedChunk` is ever stored; only verified bytes are ever located, offered
or published; a published file is never written again; a version appears in one rename.
Any method may be called from any thread. A kill -9 at any instant loses at most the chunks being
written: what is marked is hashed again by `begin`, the rest is tidied by `Cache.open`.

Locks: `_lock` guards the index and the known versions, and is held for
memory operations and single renames only. `_changing` is taken first, and lets one `begin`,
`publish`, `mend`, `drop` or `condemn` run at a time.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cachd import limits
from cachd.cache import audit, publish
from cachd.cache.adopt import adopt
from cachd.cache.documents import DocumentFiles, DocumentKind, Documents
from cachd.cache.errors import CacheLocked, disk_errors
from cachd.cache.held_bitmaps import HeldBitmaps
from cachd.cache.index import Index, Place, StoredFile
from cachd.cache.layout import Layout, is_file, remove_tree, sync_folder
from cachd.cache.leaving import LeavingFiles
from cachd.cache.leftovers import Leftovers
from cachd.cache.quota import Quota
from cachd.cache.recovery import recover
from cachd.cache.scrub import damaged_chunks
from cachd.cache.space import Space
from cachd.cache.storing import Storing
from cachd.cache.survey import Survey, survey
from cachd.cache.verifier import VerifiedChunk
from registry_core.domain.identifiers import ChunkId, Digest
from registry_core.domain.manifest import Chunk, Manifest, ModelFile


@dataclass(frozen=True, slots=True)
class Filling:
    """What a version still lacks, as `begin` found it.

    `missing`: in the order of the files. `local`: those of them that other files of this cache
    hold, so that nothing has to travel. `bytes_there`: bytes of distinct chunks already in place.
    """

    manifest: Manifest
    missing: tuple[Chunk, ...]
    local: frozenset[ChunkId]
    bytes_there: int


@dataclass(frozen=True, slots=True)
class OpenChunk:
    """`length` bytes at `offset` of an open file; whoever got it closes `descriptor`."""

    descriptor: int
    offset: int
    length: int


class Cache:
    """One process has a cache open at a time (CacheLocked otherwise)."""

    def __init__(self, root: Path, lock_descriptor: int, quota: Quota | None) -> None:
        self._layout: Final = Layout(root)
        self._lock_descriptor = lock_descriptor
        self._lock = threading.Lock()
        self._changing = threading.Lock()
        self._documents = DocumentFiles(self._layout)
        self._index = Index()
        self._bitmaps = HeldBitmaps(self._index)
        self._leaving = LeavingFiles()
        self.space: Final = Space(self._layout, quota, self._leaving)
        self._storing = Storing(self._layout, self._index, self._lock, self.space, self._leaving)
        found = recover(self._layout, self._documents, self._index, self.space)
        self._manifests = found.manifests
        self._strays = found.strays
        self._leftovers = Leftovers(
            self._layout,
            self.space,
            self._leaving,
            found.orphans,
            lambda root: self._index.file(root) is not None,
        )

    @classmethod
    def open(cls, root: str | os.PathLike[str], quota: Quota | None = None) -> Cache:
        """Open or make the cache at `root`, tidying what a crash may have left."""
        path = Path(root).absolute()
        with disk_errors("open the cache", path):
            path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(Layout(path).lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return cls(path, descriptor, quota)
        except BlockingIOError as error:
            os.close(descriptor)
            raise CacheLocked(
                f"cache {path} is in use by another process: stop it, or choose another directory"
            ) from error
        except BaseException:
            os.close(descriptor)
            raise

    def close(self) -> None:
        """Let another process open it. Nothing is lost by not calling this."""
        self._leaving.finish()
        if self._lock_descriptor >= 0:
            os.close(self._lock_descriptor)
            self._lock_descriptor = -1

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Documents

    def put_documents(self, digest: Digest, manifest: bytes, bundle: bytes, hint: bytes) -> None:
        """Keep what describes a version, durably; IntegrityError if the manifest is another's.

        Room for the rest of it is set aside, until `settle`: CacheNoRoom if there is none.
        """
        parsed = Manifest.parse(manifest)
        self.space.promise(digest, parsed, self._incomplete(parsed))
        self._documents.put(digest, Documents(manifest, bundle, hint))
        self.space.measure_documents(digest, self._documents.paths(digest))
        with self._lock:
            self._manifests[digest] = parsed
            self._strays.discard(digest)

    def documents(self, digest: Digest) -> Documents | None:
        """What `put_documents` kept, or None."""
        return self._documents.get(digest)

    def document_path(self, digest: Digest, kind: DocumentKind) -> Path:
        """Where a document lies, if it is there: immutable, replaced by rename only."""
        return self._documents.path(digest, kind)

    # Filling a version

    def begin(self, manifest: Manifest) -> Filling:
        """Make room for a version's files, or resume: says what is missing.

        What an earlier process claims to have written is hashed again before it counts. The
        version's manifest must have passed verification; it is kept from here on. Room is set
        aside for all of it until `settle`, or CacheNoRoom.
        """
        with self._changing:
            self._condemn_lost(manifest)
            self.space.promise(manifest.digest, manifest, self._incomplete(manifest))
            self._documents.put_manifest(manifest)
            self.space.measure_documents(manifest.digest, self._documents.paths(manifest.digest))
            with self._lock:
                self._manifests[manifest.digest] = manifest
                self._strays.discard(manifest.digest)
                unknown = {
                    file.chunk_root: file
                    for file in manifest.files
                    if file.chunks and self._index.file(file.chunk_root) is None
                }
            adopted = adopt(self._layout, list(unknown.values()))
            with self._lock:
                for stored in adopted:
                    self._index.add(stored)
                missing = self._index.missing(manifest)
                local = frozenset(c for c in missing if self._index.holding(c) is not None)
        for stored in adopted:
            self.space.measure_file(stored.root)
        return Filling(
            manifest,
            tuple(missing.values()),
            local,
            sum(c.length for c in manifest.unique_chunks.values() if c.id not in missing),
        )

    def store(self, verified: VerifiedChunk) -> None:
        """Write a verified chunk at every place that wants it, and offer it from then on."""
        if not isinstance(verified, VerifiedChunk):
            raise TypeError("the cache stores verified chunks only: see cachd.cache.verifier")
        self._storing.store(verified)

    def clone(self, chunk: Chunk, buffer: memoryview) -> bool:
        """Take a chunk over from another file of this cache without writing it, verified in
        `buffer`. False: it has to be read and stored."""
        return self._storing.clone(chunk, buffer)

    def publish(self, manifest: Manifest) -> Path:
        """The version's directory, made visible in one step once all chunks are there.

        Idempotent. VersionIncomplete if chunks are missing.
        """
        final = self.published(manifest.digest)
        if final is not None:
            return final
        with self._changing:
            self._finish_files(manifest)
            final = self.published(manifest.digest)
            final = final or publish.build_version(self._layout, manifest)
            self.space.measure_version(manifest.digest)
        self.settle(manifest.digest)
        return final

    def settle(self, digest: Digest) -> None:
        """The version is not being filled any more: what was set aside for it is free, and what
        gave way for it is gone."""
        self.space.settle(digest)
        self._leaving.finish()

    def published(self, digest: Digest) -> Path | None:
        """The version's directory if it is visible."""
        path = self._layout.version(digest)
        return path if path.is_dir() else None

    def versions(self) -> dict[Digest, Manifest]:
        """The versions that are known here, visible or not."""
        with self._lock:
            return dict(self._manifests)

    # What is held

    def locate(self, chunk_id: ChunkId) -> tuple[Path, int, int] | None:
        """(path, offset, length) of verified bytes. The file may be renamed at any time: to read
        it use `open_chunk`."""
        with self._lock:
            place = self._index.holding(chunk_id)
            return None if place is None else self._locate(place)

    def open_chunk(self, chunk_id: ChunkId) -> OpenChunk | None:
        """The verified chunk, opened for reading, or None if it is not held."""
        for _ in range(limits.OPEN_ATTEMPTS_MAX):
            found = self.locate(chunk_id)
            if found is None:
                return None
            path, offset, length = found
            try:
                return OpenChunk(os.open(path, os.O_RDONLY | os.O_CLOEXEC), offset, length)
            except FileNotFoundError:
                continue  # published or dropped between the two
        return None

    def have(self, digest: Digest) -> bytes | None:
        """One bit per chunk of `manifest.unique_chunks`, least significant first; None if the
        version is not known here. Bits are set from the first verified chunk on."""
        with self._lock:
            manifest = self._manifests.get(digest)
            return None if manifest is None else self._bitmaps.of(manifest)

    def condemn(self, chunk_id: ChunkId) -> None:
        """The bytes held of this chunk turned out damaged: the files that hold them are no source
        any more. Their names in `blobs/` go, so that the next fetch makes sound ones."""
        with self._changing:
            while True:
                with self._lock:
                    place = self._index.holding(chunk_id)
                if place is None:
                    return
                self._condemn(place.stored)

    # Damage

    def verify(self, manifest: Manifest, cancel: threading.Event | None = None) -> list[str]:
        """Hash every file of a visible version again; the paths (in the version) that are damaged.

        Damaged files are no source any more; `begin`, fetch and `mend` heal the version.
        """
        bad = audit.damaged_files(manifest, self._layout.version(manifest.digest), cancel)
        self.condemn_files(manifest, bad)
        return bad

    def condemn_files(self, manifest: Manifest, paths: Collection[str]) -> None:
        """These files of a visible version turned out damaged: they are no source any more."""
        version = self._layout.version(manifest.digest)
        with self._changing:
            for file in manifest.files:
                stored = self._index.file(file.chunk_root) if file.path in paths else None
                blob = self._layout.blob(file.chunk_root)
                if stored is not None and publish.same_file(version / file.path, blob):
                    self._condemn(stored)

    def scrub(self, chunk_root: bytes, stop: threading.Event) -> int:
        """Hash a complete file as the disk has it; the number of damaged chunks, all if it is lost.
        If there are any, the file is no source any more."""
        with self._lock:
            stored = self._index.file(chunk_root)
        if stored is None or not stored.complete:
            return 0
        try:
            bad = damaged_chunks(self._layout.blob(chunk_root), stored.chunks, stop)
        except FileNotFoundError:
            bad = list(range(len(stored.chunks)))
        with self._changing:
            if stored.gone:  # dropped meanwhile
                return 0
            if bad:
                self._condemn(stored)
        return len(bad)

    def mend(self, manifest: Manifest) -> Path:
        """The version's directory, where sound files take the place of damaged ones.

        Each by one rename: what was opened or mapped before stays as it was. VersionIncomplete if
        chunks are missing.
        """
        path = self.publish(manifest)
        with self._changing:
            self._finish_files(manifest)
            publish.replace_files(self._layout, manifest)
            self._leftovers.tidy()
            self.space.measure_version(manifest.digest)
        self.settle(manifest.digest)
        return path

    # Room

    def complete_files(self) -> dict[bytes, int]:
        """Chunk root -> size of what is complete here."""
        with self._lock:
            return self._index.complete()

    def lacking_bytes(self, manifest: Manifest) -> int:
        """What the disk must still take for this version to be whole here."""
        return self.space.lacking(manifest, self._incomplete(manifest))

    def touch(self, digest: Digest, now_s: float) -> None:
        """The version was used now (Unix time). Outlasts a restart."""
        with suppress(FileNotFoundError):
            os.utime(self._documents.path(digest, DocumentKind.MANIFEST), (now_s, now_s))

    def survey(self) -> Survey:
        """What there is to evict, and what that frees. Not cheap."""
        with self._lock:
            manifests, strays = dict(self._manifests), set(self._strays)
        return survey(self._layout, self.space, manifests, strays)

    def tidy(self) -> None:
        """Let go of files that were kept for others' links only, where these are gone."""
        with self._changing:
            self._leftovers.tidy()

    def drop(self, digest: Digest, *, gives_way: bool = False) -> None:
        """Remove a version, its documents, and the files that no other version needs.

        A file that others have links to is no source any more, but stays as long as they do.
        `gives_way`: to one that comes next, as whose chunks are stored its blocks are freed; all
        that are left when that is settled.
        """
        self.space.settle(digest)
        if not gives_way:
            self._leaving.finish()
        with self._changing:
            visible = self.published(digest)
            if visible is not None:
                with disk_errors("drop a version", visible):
                    aside = self._layout.tmp / f"{digest.hex}.{os.urandom(8).hex()}"
                    visible.chmod(0o755)
                    visible.rename(aside)
                    sync_folder(self._layout.versions)
                    remove_tree(aside)
            with self._lock:
                manifest = self._manifests.pop(digest, None)
                self._bitmaps.forget(digest)
                needed = {f.chunk_root for m in self._manifests.values() for f in m.files}
            self._strays.discard(digest)
            self._documents.remove(digest)
            self.space.measure_documents(digest, self._documents.paths(digest))
            self.space.measure_version(digest)
            for file in manifest.files if manifest else ():
                stored = self._index.file(file.chunk_root)
                if stored is not None and file.chunk_root not in needed:
                    self._let_go(stored)
            self._leftovers.tidy(gradually=gives_way)

    # Inside; `_changing` is held

    def _finish_files(self, manifest: Manifest) -> None:
        """Partials that are whole become blobs."""
        for stored in self._storing.whole_files(manifest):
            if not stored.complete:
                publish.sync_partial(self._layout, stored)
                with self._lock:
                    publish.rename_to_blob(self._layout, stored)
                    stored.complete = True
                self.space.measure_file(stored.root)

    def _condemn_lost(self, manifest: Manifest) -> None:
        """Complete files that somebody deleted are to be fetched again."""
        for file in manifest.files:
            stored, blob = self._index.file(file.chunk_root), self._layout.blob(file.chunk_root)
            if stored is not None and stored.complete and not is_file(blob, file.size):
                self._condemn(stored)

    def _condemn(self, stored: StoredFile) -> None:
        self._forget(stored)
        self._leftovers.condemn(stored.root)

    def _let_go(self, stored: StoredFile) -> None:
        self._forget(stored)
        self._leftovers.let_go(stored.root)

    def _forget(self, stored: StoredFile) -> None:
        with self._lock:
            self._index.remove(stored)
        with disk_errors("remove a file", self._layout.partials):
            self._layout.have(stored.root).unlink(missing_ok=True)
            self._layout.partial(stored.root).unlink(missing_ok=True)

    def _incomplete(self, manifest: Manifest) -> list[ModelFile]:
        """The files of a version that still have to be written, each once."""
        with self._lock:
            files = {
                file.chunk_root: file
                for file in manifest.files
                if file.chunks and not self._index.is_complete(file.chunk_root)
            }
        return [f for root, f in files.items() if not is_file(self._layout.blob(root), f.size)]

    def _locate(self, place: Place) -> tuple[Path, int, int]:
        root = place.stored.root
        path = self._layout.blob(root) if place.stored.complete else self._layout.partial(root)
        return path, place.offset, place.chunk.length
