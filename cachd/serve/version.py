"""What `load` gets and what `acquire()` gives.

Whoever references a `Version` or a `View`, or a map made by it (an array over it, a tensor), keeps
the bytes; the daemon hears that a version is free when it was retired and the last reference to it
is gone. No call ends a view: `with` only marks where it is used.
"""

from __future__ import annotations

import time

from cachd.serve.typed import Of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cachd.serve.flip_page import Record
    from cachd.serve.leases import Lease
    from cachd.serve.tally import Tally
    from cachd.serve.typed import T
    from cachd.serve.version_files import VersionFiles
    from cachd.serve.warmup import RecordedRequest


class Version:
    """A whole version on this host: an immutable directory of real, verified files."""

    __slots__ = ("_maps", "digest", "lease", "number", "path", "sources")

    def __init__(
        self, number: int, digest: str, path: str, sources: VersionFiles, lease: Lease
    ) -> None:
        self.number = number
        self.digest = digest
        self.path = path
        self.sources = sources
        self.lease = lease
        self._maps: dict[str, memoryview] = {}

    @property
    def files(self) -> dict[str, int]:
        """Path within the version -> bytes, of every file."""
        return self.sources.sizes()

    def fd(self, name: str) -> int:
        """Read-only descriptor of a file: shared (use pread), owned by the version. FileRefused."""
        return self.sources.fd(name)

    def buffer(self, name: str) -> memoryview:
        """The whole file as read-only memory, not copied. FileRefused."""
        mapped = self._maps.get(name)
        if mapped is None:  # of two threads that come first, one's map counts
            mapped = self._maps.setdefault(name, self.sources.map(name, self.lease))
        return mapped

    def warmup(self) -> Iterator[RecordedRequest]:
        """The requests recorded in its folder `warmup/`, in order; see `cachd.serve.warmup`."""
        from cachd.serve.warmup import recorded  # imported when used

        return recorded(self)

    def __repr__(self) -> str:
        return f"version {self.number} ({self.digest})"


class Loaded(Of["T"]):
    """A version with what `load` made of it."""

    __slots__ = ("_tally", "value", "version")

    def __init__(self, version: Version, value: T) -> None:
        self.version = version
        self.value = value
        self._tally: Tally | None = None

    @property
    def tally(self) -> Tally:
        if self._tally is None:
            self._tally = self.version.lease.tally()
        return self._tally


class View(Of["T"]):
    """What one flip put in force, whole: value, version, and the move that named it."""

    __slots__ = (
        "choice",
        "digest",
        "flip",
        "generation",
        "handle",
        "loaded",
        "number",
        "since_ns",
        "value",
    )

    def __init__(self, loaded: Loaded[T], record: Record, handle: int = 0) -> None:
        """`handle`: the one that `record` splits off; 0 for the one that it puts in force."""
        self.value = loaded.value
        self.loaded = loaded
        self.number = loaded.version.number
        self.digest = loaded.version.digest
        self.flip = record.flip
        self.handle = handle or record.handle
        self.generation = record.generation
        self.choice = record.choice
        self.since_ns = time.monotonic_ns()

    def __enter__(self) -> View[T]:
        return self

    # Static, because it needs no view and a fifth of `with model.acquire()` went into binding it.
    # The parameter too many is the view itself, which ExitStack passes and `with` does not.
    @staticmethod
    def __exit__(
        view_or_kind: object = None, kind: object = None, error: object = None, trace: object = None
    ) -> None:
        return None

    def observe(self, *, ok: bool = True, seconds: float) -> None:
        """Tell how a request that this version answered went, and how long it took. It is counted,
        by version, for whoever compares the two that requests are split between. Costs an append;
        TypeError for what is no number."""
        self.loaded.tally.observe(ok, seconds)

    @property
    def path(self) -> str:
        """The version's directory, for libraries that want one."""
        return self.loaded.version.path

    @property
    def files(self) -> dict[str, int]:
        """Path within the version -> bytes, of every file."""
        return self.loaded.version.sources.sizes()

    def fd(self, name: str) -> int:
        """Read-only descriptor of a file: shared (use pread), owned by the version. FileRefused."""
        return self.loaded.version.sources.fd(name)

    def buffer(self, name: str) -> memoryview:
        """The whole file as read-only memory, not copied. FileRefused."""
        return self.loaded.version.buffer(name)

    def __repr__(self) -> str:
        return f"{self.loaded.version!r} by {self.generation}.{self.choice}, flip {self.flip}"
