"""The versions that one attachment holds, by handle: being loaded, loaded, and orphaned.

Not thread-safe: the attachment's lock guards every call. Methods that drop a version return it,
so that the caller lets go of it (and runs a user's finalizer) outside the lock.
"""

from __future__ import annotations

from cachd.serve.typed import Of
from cachd.serve.version import Loaded, Version
from cachd.serve.version_files import VersionFiles
from cachd.serve.wire import WireError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cachd.serve.from_daemon import Prepare
    from cachd.serve.leases import LeaseBook
    from cachd.serve.typed import T


class Shelf(Of["T"]):
    """A handle is in at most one of `_loading` and `_loaded`."""

    def __init__(self, book: LeaseBook) -> None:
        self._book = book
        self._loading: dict[int, Version] = {}
        self._loaded: dict[int, Loaded[T]] = {}
        # Loaded under handles of a daemon that left no trace; good for the same digest again.
        self._orphans: list[Loaded[T]] = []

    def get(self, handle: int) -> Loaded[T] | None:
        return self._loaded.get(handle)

    def loading(self) -> bool:
        return bool(self._loading)

    def being_loaded(self, handle: int) -> Version | None:
        return self._loading.get(handle)

    def wanted(self, version: Version) -> bool:
        """Whether the version is still to be loaded."""
        return self._loading.get(version.lease.handle) is version

    def prepare(
        self, message: Prepare, fds: list[int], in_force: Loaded[T] | None
    ) -> Version | Loaded[T] | None:
        """A Version: load it. A Loaded: ready at once. None: being loaded already."""
        handle = message.handle
        known = self._loading.get(handle) or self._loaded.get(handle)
        if known is not None:
            version = known.version if isinstance(known, Loaded) else known
            if version.digest != message.digest:
                raise WireError(f"handle {handle} names another version than before")
            return known if isinstance(known, Loaded) else None
        lease = self._book.open(handle, message.digest)
        twin = self._same_bytes(message.digest, in_force)
        sources = twin.version.sources if twin else VersionFiles(fds.pop(), message.files)
        version = Version(message.number, message.digest, message.path, sources, lease)
        if twin is None:
            self._loading[handle] = version
            return version
        self._loaded[handle] = Loaded(version, twin.value)
        self._book.ready(lease)
        return self._loaded[handle]

    def finish(self, loaded: Loaded[T]) -> bool:
        """Take in what was loaded; False if it was retired meanwhile."""
        if not self.wanted(loaded.version):
            return False
        handle = loaded.version.lease.handle
        del self._loading[handle]
        self._loaded[handle] = loaded
        self._book.ready(loaded.version.lease)
        return True

    def fail(self, version: Version) -> bool:
        """Forget what did not load; False if it was retired meanwhile."""
        if not self.wanted(version):
            return False
        del self._loading[version.lease.handle]
        return True

    def retire(self, handle: int) -> object:
        return self._loading.pop(handle, None), self._loaded.pop(handle, None)

    def keep_only(self, adopted: frozenset[int]) -> None:
        """A daemon came that knows only these handles: all others are orphaned, without a lease."""
        self._book.lapse_all_but(adopted)
        for handle in [handle for handle in self._loading if handle not in adopted]:
            del self._loading[handle]
        for handle in [handle for handle in self._loaded if handle not in adopted]:
            self._orphans.append(self._loaded.pop(handle))

    def drop_orphans(self) -> object:
        dropped, self._orphans = self._orphans, []
        return dropped

    def clear(self) -> object:
        dropped = self._loading, self._loaded, self._orphans
        self._loading, self._loaded, self._orphans = {}, {}, []
        return dropped

    def _same_bytes(self, digest: str, in_force: Loaded[T] | None) -> Loaded[T] | None:
        candidates = [*self._loaded.values(), *self._orphans, *([in_force] if in_force else [])]
        return next((one for one in candidates if one.version.digest == digest), None)
