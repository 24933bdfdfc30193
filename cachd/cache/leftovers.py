"""Files that the cache is done with while their inodes still have other names.

Removing a name frees nothing while the inode has others: a backup or a person linked it, or a
version's directory still shows a damaged file. The cache then keeps its own name as well, so that
it goes on counting the bytes, and drops it when it is the last. Called by one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cachd.cache.errors import disk_errors
from cachd.cache.layout import Layout
from cachd.cache.leaving import LeavingFiles
from cachd.cache.space import Space


class Leftovers:
    """Orphans are sound blobs that no version names, by chunk root; `condemned/` is for damaged
    ones. `in_use` says whether a version has taken the file up again."""

    def __init__(
        self,
        layout: Layout,
        space: Space,
        leaving: LeavingFiles,
        orphans: set[bytes],
        in_use: Callable[[bytes], bool],
    ) -> None:
        self._layout = layout
        self._space = space
        self._leaving = leaving
        self._orphans = orphans
        self._in_use = in_use

    def condemn(self, root: bytes) -> None:
        """A damaged blob loses its name: no fetch may take it for sound."""
        blob = self._layout.blob(root)
        with disk_errors("remove a damaged file", blob):
            if names_of(blob) > 1:
                aside = self._layout.condemned / f"{root.hex()}.{blob.lstat().st_ino:x}"
                blob.rename(aside)
                self._space.measure_aside(aside)
            else:
                blob.unlink(missing_ok=True)
        self._space.measure_file(root)

    def let_go(self, root: bytes) -> None:
        """No version needs this file any more."""
        self._orphans.add(root)

    def tidy(self, *, gradually: bool = False) -> None:
        """Remove what nobody else has a name of any more. `gradually`: it gives way to what comes
        next."""
        tidy_condemned(self._layout, self._space)
        for root in list(self._orphans):
            blob, in_use = self._layout.blob(root), self._in_use(root)
            if not in_use and names_of(blob) > 1:
                continue
            self._orphans.discard(root)
            if not in_use:
                with disk_errors("remove a file", blob):
                    self._leaving.remove(blob, gradually=gradually)
            self._space.measure_file(root)


def tidy_condemned(layout: Layout, space: Space) -> None:
    with disk_errors("remove a damaged file", layout.condemned):
        for path in layout.condemned.iterdir():
            if names_of(path) == 1 and path.is_file():
                path.unlink()
            space.measure_aside(path)


def names_of(path: Path) -> int:
    """How many names the file has; 0 if it is not there."""
    try:
        return path.lstat().st_nlink
    except FileNotFoundError:
        return 0
