"""The error tree of the cache. Damaged bytes are `registry_core.errors.IntegrityError`."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from registry_core.domain.identifiers import Digest
from registry_core.errors import RegistryError

NOT_THERE: Final = (FileNotFoundError, NotADirectoryError)
"""What a lookup says of a file that somebody deleted, or a folder above it: damage, where it should
be there, and no trouble of the disk."""


class CacheError(RegistryError):
    """The cache cannot do what was asked. `retryable`: trying again later can help."""

    code = "cache"
    retryable = False


class CacheFull(CacheError):
    """The disk is full. Helps once there is room: what was verified so far is kept."""

    code = "cache_full"
    retryable = True


class CacheNoRoom(CacheFull):
    """A version does not fit. Helps once something else is released, or the quota is raised."""

    code = "cache_no_room"

    def __init__(self, digest: Digest, wanted: int, free: int, limit: int, held: str = "") -> None:
        super().__init__(
            f"version {digest} needs {wanted:,} bytes more, and {free:,} of the {limit:,} that the "
            f"cache may take are free{held}. It comes when something is released, or with a larger "
            "--cache-quota or disk"
        )
        self.digest = digest
        self.wanted, self.free, self.limit = wanted, free, limit


class CacheLocked(CacheError):
    """Another process uses this cache. Helps when it ends."""

    code = "cache_locked"
    retryable = True


class CacheUnavailable(CacheError):
    """The disk refuses (permission, I/O error, read-only). Helps after the cause is gone."""

    code = "cache_unavailable"


class VersionIncomplete(CacheError):
    """A version was to be published before all its chunks were there. Fetch the rest first."""

    code = "version_incomplete"
    retryable = True


@contextmanager
def disk_errors(act: str, path: Path) -> Iterator[None]:
    """Translate OSError where the cache touches the disk."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise CacheFull(
                f"cannot {act}: no space left for {path}. Free some space or drop versions, then "
                "fetch again: what is verified is kept"
            ) from error
        raise CacheUnavailable(
            f"cannot {act}: {error.strerror or error} at {path}. Check the disk and that this "
            "user may write there"
        ) from error
