"""Which files a directory holds, strictly: what cannot become a version is refused by name.

Symbolic links, sockets, devices and pipes are refused (a link out of the directory would sign
what somebody else can change). What git keeps at the top level is left out, as OMS tools do.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from registry_core.domain import limits
from registry_core.domain.paths import parse_path, refuse_collisions
from registry_core.errors import InvalidModelFiles

_IGNORED = frozenset({".git", ".github", ".gitattributes", ".gitignore"})


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to push. `fingerprint` changes when somebody writes to it meanwhile."""

    path: str
    location: Path
    size: int
    fingerprint: tuple[int, int, int]


def scan_directory(directory: Path) -> list[SourceFile]:
    """All files below `directory`, sorted by path."""
    if not _is_directory(directory):
        raise InvalidModelFiles(
            f"{directory} is not a directory: a version is a directory of files, push that"
        )
    found = sorted(_walk(directory, directory), key=lambda file: file.path)
    if not found:
        raise InvalidModelFiles(f"{directory} holds no files: a version needs at least one")
    if len(found) > limits.FILES_MAX:
        raise InvalidModelFiles(
            f"{directory} holds {len(found)} files, more than the {limits.FILES_MAX} of a version"
        )
    refuse_collisions(file.path for file in found)
    return found


def fingerprint(state: os.stat_result) -> tuple[int, int, int]:
    return (state.st_ino, state.st_size, state.st_mtime_ns)


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:
        raise InvalidModelFiles(f"{path} cannot be looked at ({error.strerror})") from error


def _walk(root: Path, folder: Path, depth: int = 1) -> list[SourceFile]:
    if depth > limits.PATH_DEPTH_MAX:
        raise InvalidModelFiles(f"{folder} lies deeper than {limits.PATH_DEPTH_MAX} folders")
    found: list[SourceFile] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if folder == root and entry.name in _IGNORED:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    found.extend(_walk(root, Path(entry.path), depth + 1))
                else:
                    found.append(_source(root, entry))
    except OSError as error:
        raise InvalidModelFiles(
            f"{error.filename or folder} cannot be read ({error.strerror}): "
            "let this user read it, or leave it out"
        ) from error
    return found


def _source(root: Path, entry: os.DirEntry[str]) -> SourceFile:
    location = Path(entry.path)
    path = parse_path(location.relative_to(root).as_posix())
    state = entry.stat(follow_symlinks=False)
    if stat.S_ISLNK(state.st_mode):
        raise InvalidModelFiles(
            f"{location} is a symbolic link: a version holds real files only; "
            "copy the directory with `cp -rL` and push the copy"
        )
    if not stat.S_ISREG(state.st_mode):
        raise InvalidModelFiles(f"{location} is not a regular file: leave it out")
    if not os.access(location, os.R_OK):
        raise InvalidModelFiles(f"{location} cannot be read: let this user read it")
    return SourceFile(path, location, state.st_size, fingerprint(state))
