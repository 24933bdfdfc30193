"""Origin: an object store with bounded reads, durable writes and one error.

Thread-safe (obstore is). A crash leaves an object wholly there or absent: object stores promise
it, and for `file://` obstore writes aside and renames; what `put` returned from is on disk.
Credentials come from the usual places (environment, instance profile), never from a URL.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import obstore
import obstore.exceptions as faults
from obstore.store import from_url

from registry_core.domain.packs import Location
from registry_core.errors import InvalidInput, NotFound, OriginError
from registry_core.origin.conditions import SETTLE_S, Conditions
from registry_core.origin.credentials import none_were_found, what_to_set
from registry_core.origin.layout import pack_key
from registry_core.origin.patience import ONCE, PATIENT, Patience

A = TypeVar("A")
T = TypeVar("T")
_SCHEMES = frozenset({"file", "s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "https", "http"})
_CLIENT_OPTIONS = frozenset({"allow_http", "allow_invalid_certificates", "connect_timeout",
    "pool_idle_timeout", "proxy_url", "timeout", "user_agent"})  # fmt: skip
_LIST_PAGE = 1_000
_AT_ONCE = 16
_LEFTOVER = re.compile(r".+#[0-9]+")  # what obstore writes before it renames
_BUSY = re.compile(r"status code: (?:503|429)\b")  # obstore gives the answer as text alone
_FINAL = (
    faults.PermissionDeniedError,
    faults.UnauthenticatedError,
    faults.NotSupportedError,
    faults.InvalidPathError,
)


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as a listing shows it; `modified_ms` (Unix) is by the origin's clock."""

    key: str
    bytes: int
    modified_ms: int


class Origin:
    """One origin, e.g. `Origin.open("file:///srv/models")` or `Origin.open("s3://bucket/prefix")`.

    `options` go to the store as they are (`endpoint`, `region`, `allow_http`…, see obstore);
    `patience` says how long it tries by itself.
    """

    def __init__(
        self, url: str, store: Any, local_root: Path | None, conditions: Conditions | None = None
    ) -> None:
        self.url = url
        self._store = store
        self._local_root = local_root
        self._conditions = conditions or Conditions(store)

    @classmethod
    def open(
        cls, url: str, options: Mapping[str, Any] | None = None, patience: Patience = PATIENT
    ) -> Origin:
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES:
            raise InvalidInput(
                f"origin {url!r:.200} is not a URL of file://, s3://, gs://, az:// or "
                "https://ACCOUNT.blob.core.windows.net: for a directory write file:///absolute/path"
            )
        if parts.username or parts.password:
            raise InvalidInput("an origin's URL must not carry credentials: use the environment")
        try:
            if parts.scheme == "file":
                root = Path(unquote(parts.path))
                root.mkdir(parents=True, exist_ok=True)
                return cls(url, from_url(url), root)
            once = _open_remote(url, options or {}, ONCE)
            return cls(url, _open_remote(url, options or {}, patience), None, Conditions(once))
        except BaseException as error:
            # Where an option is unknown, obstore raises a PanicException, which is no Exception.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            hint = what_to_set(parts)
            raise OriginError(
                f"origin {url} cannot be opened: {_first_line(error)}; look at its options"
                + (f", or {hint}" if hint else ""),
                retryable=False,
            ) from error

    def size(self, key: str) -> int | None:
        """Bytes of the object, or None if there is none."""
        try:
            if self._local_root is not None:
                path = self._local(key)
                return self._do(lambda: os.stat(path), f"look up {key}").st_size  # noqa: PTH116  # see _local
            return int(self._do(lambda: obstore.head(self._store, key), f"look up {key}")["size"])
        except NotFound:
            return None

    def get(self, key: str, *, bytes_max: int) -> bytes:
        """The whole object, or NotFound. More than `bytes_max` is an error before it is read."""
        if self._local_root is not None:  # a quarter of the time that obstore takes
            path = self._local(key)
            with self._do(lambda: open(path, "rb", buffering=0), f"read {key}") as file:  # noqa: PTH123  # see _local
                self._require_within(key, os.fstat(file.fileno()).st_size, bytes_max)
                return self._do(file.read, f"read {key}")
        result = self._do(lambda: obstore.get(self._store, key), f"read {key}")
        self._require_within(key, result.meta["size"], bytes_max)
        return bytes(self._do(result.bytes, f"read {key}"))

    def each(self, work: Callable[[A], T], items: Sequence[A]) -> list[T]:
        """What `work`, which asks this origin, gives for each item, in their order. Over a network,
        where it is the way that takes long, several are asked for at a time."""
        if self._local_root is not None or len(items) < 2:
            return [work(item) for item in items]
        with ThreadPoolExecutor(min(len(items), _AT_ONCE), "origin") as pool:
            return list(pool.map(work, items))

    def read_chunk(self, place: Location) -> memoryview:
        """The bytes at `place`, unverified."""
        key = pack_key(place.pack)
        start, length = place.offset, place.length
        data = self._do(
            lambda: obstore.get_range(self._store, key, start=start, length=length), f"read {key}"
        )
        view = memoryview(data)
        if len(view) != length:
            raise OriginError(f"origin {self.url}: {key} ends early", retryable=False)
        return view

    def chunk_in_parts(self, place: Location, part_bytes: int) -> Iterator[memoryview]:
        """The bytes at `place`, unverified, as they come: of at least `part_bytes` each, but for
        the last. What fails in their midst is not tried again here."""
        key, end = pack_key(place.pack), place.offset + place.length
        result = self._do(
            lambda: obstore.get(self._store, key, options={"range": (place.offset, end)}),
            f"read {key}",
        )
        pieces, left = iter(result.stream(min_chunk_size=part_bytes)), place.length
        while (piece := self._do(lambda: next(pieces, None), f"read {key}")) is not None:
            view = memoryview(piece)
            left -= len(view)
            if left < 0:
                break
            yield view
        if left:
            raise OriginError(
                f"origin {self.url}: {key} has not the length that was asked for", retryable=False
            )

    def put(self, key: str, data: bytes | bytearray | memoryview) -> None:
        """Store an object whose content its key determines; durable when this returns."""
        self._do(lambda: obstore.put(self._store, key, data, use_multipart=False), f"write {key}")
        if self._local_root is not None:
            _fsync_with_parents(self._local_root / key, self._local_root)

    def put_new(self, key: str, data: bytes) -> bool:
        """`put`, unless there is such an object: then False, and it stays as it is.

        Of several who do so at once, one is told True, and its object stays; where the store keeps
        no conditions that takes a moment, and holds for those whose writes do not hang for longer.
        """
        if self.size(key) is not None:  # whatever the store promises
            return False
        created = self._conditions.create(key, data)
        if created is None:
            self._put_or_be_overtaken(key, data)  # shows a fault again
            if self._conditions.kept is not True and self._local_root is None:
                time.sleep(SETTLE_S)
            return self.size(key) == len(data) and self.get(key, bytes_max=len(data)) == data
        if created and self._local_root is not None:
            _fsync_with_parents(self._local_root / key, self._local_root)
        return created

    def _put_or_be_overtaken(self, key: str, data: bytes) -> None:
        """`put`, where a fault may mean that another wrote it in this moment: Swift answers the
        older of two writes without the ETag that a client asks for."""
        try:
            self.put(key, data)
        except OriginError:
            if self.size(key) is None:
                raise

    def list(self, prefix: str) -> Iterator[Listed]:
        """All objects whose keys begin with `prefix` and a slash, as they come, in no order; a
        page of them is in memory at a time."""
        stream = obstore.list(self._store, prefix, chunk_size=_LIST_PAGE)
        while True:
            page = self._do(lambda: next(stream, ()), f"list {prefix}")
            if not page:
                return
            for found in page:
                modified_ms = int(found["last_modified"].timestamp() * 1000)
                yield Listed(found["path"], int(found["size"]), modified_ms)

    def leftovers(self) -> Iterator[Listed]:
        """Halves of objects that a writer to a `file://` origin left when it was killed. Listings
        do not show them; elsewhere stores tidy up by themselves."""
        if self._local_root is None:
            return
        for folder, _, names in os.walk(self._local_root):
            for name in names:
                path = Path(folder) / name
                if not _LEFTOVER.fullmatch(name):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    state = path.stat()
                    key = path.relative_to(self._local_root).as_posix()
                    yield Listed(key, state.st_size, state.st_mtime_ns // 1_000_000)

    def delete_leftover(self, key: str) -> None:
        if self._local_root is None or not _LEFTOVER.fullmatch(key.rpartition("/")[2]):
            raise InvalidInput(f"{key!r:.200} is no leftover")
        path = self._local_root / key
        self._do(lambda: path.unlink(missing_ok=True), f"delete {key}")

    def delete(self, key: str) -> None:
        self._do(lambda: obstore.delete(self._store, key), f"delete {key}")

    def _local(self, key: str) -> str:
        """As text: pathlib's joining shows in the profile of a registration."""
        return f"{self._local_root}/{key}"

    def _require_within(self, key: str, size: int, bytes_max: int) -> None:
        if size > bytes_max:
            raise OriginError(
                f"origin {self.url}: {key} has {size} bytes where at most {bytes_max} are expected",
                retryable=False,
            )

    def _do(self, act: Callable[[], T], what: str) -> T:
        try:
            return act()
        except FileNotFoundError as error:
            raise NotFound(f"origin {self.url}: there is nothing to {what}") from error
        except _FINAL as error:
            raise OriginError(
                f"origin {self.url}: may not {what}: {_first_line(error)}; check the credentials",
                retryable=False,
            ) from error
        except (faults.BaseError, OSError) as error:
            reason = _first_line(error)
            if none_were_found(reason):
                hint = what_to_set(urlsplit(self.url))
                raise OriginError(
                    f"origin {self.url}: could not {what}: there are no credentials ({reason}): "
                    f"{hint}",
                    retryable=True,  # a metadata service may be away for a moment
                ) from error
            raise OriginError(
                f"origin {self.url}: could not {what}: {reason}",
                retryable=True,
                busy=_BUSY.search(reason) is not None,
            ) from error


def _open_remote(url: str, options: Mapping[str, Any], patience: Patience) -> Any:
    """`options` go where obstore wants them: to the store, or to the HTTP client beneath it."""
    client: Any = patience.client_options() | {
        k: _flag(v) for k, v in options.items() if k in _CLIENT_OPTIONS
    }
    store: Any = {k: v for k, v in options.items() if k not in _CLIENT_OPTIONS}
    return from_url(
        url,
        config=store or None,
        client_options=client,
        retry_config=patience.retry_config(),
    )


def _flag(value: Any) -> Any:
    """Options typed on a command line are text; the client wants real truth values."""
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]


def _fsync_with_parents(path: Path, root: Path) -> None:
    """obstore renames into place but does not sync: after power loss the name could be empty."""
    for place in (path, *path.parents):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if place == root:
            return
