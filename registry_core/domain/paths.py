"""Which file paths a version may hold (OMS specification, 6.1.2, and what every filesystem takes).

Paths are relative, `/`-separated, NFC text. Refused: empty, absolute, `.` and `..`, backslash,
NUL and control characters, and sets in which two paths would fall together on a filesystem that
ignores case or normalises Unicode.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from registry_core.domain import limits
from registry_core.errors import InvalidModelFiles

_COMPONENT_BYTES_MAX = 255


def parse_path(text: object) -> str:
    """`text` if it is a path that a version may hold."""
    if not isinstance(text, str) or not text:
        raise InvalidModelFiles("a file has an empty path")
    if any(c < " " or c in "\\\x7f" or "\ud800" <= c <= "\udfff" for c in text):
        raise InvalidModelFiles(
            f"file path {text!r:.120} holds a backslash, NUL, control or undecodable character: "
            "rename the file"
        )
    parts = text.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise InvalidModelFiles(f"file path {text!r:.120} is absolute or holds '.', '..' or '//'")
    if unicodedata.normalize("NFC", text) != text:
        raise InvalidModelFiles(f"file path {text!r:.120} is not NFC Unicode: rename the file")
    if (
        len(text.encode()) > limits.PATH_BYTES_MAX
        or len(parts) > limits.PATH_DEPTH_MAX
        or any(len(part.encode()) > _COMPONENT_BYTES_MAX for part in parts)
    ):
        raise InvalidModelFiles(f"file path {text!r:.80}… is too long or too deep")
    return text


def refuse_collisions(paths: Iterable[str]) -> None:
    """Raise if two paths, or a path and a folder of another, fall together when case is folded."""
    seen: dict[str, str] = {}
    folders: dict[str, str] = {}
    for path in paths:
        key = _folded(path)
        if key in seen:
            raise InvalidModelFiles(
                f"files {seen[key]!r} and {path!r} differ only by case: rename one"
            )
        seen[key] = path
        parts = path.split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            known = folders.setdefault(_folded(folder), folder)
            if known != folder:
                raise InvalidModelFiles(
                    f"folders {known!r} and {folder!r} differ only by case: rename one"
                )
    for key in seen.keys() & folders.keys():
        raise InvalidModelFiles(f"{seen[key]!r} is both a file and a folder")


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path.casefold())
