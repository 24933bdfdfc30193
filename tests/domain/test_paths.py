"""Which paths a version may hold, and which may not be in one together."""

from __future__ import annotations

import posixpath
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_core.domain.paths import parse_path, refuse_collisions
from registry_core.errors import InvalidModelFiles


@pytest.mark.parametrize(
    "path",
    ["a", "a/b.c", "…", "große/Tüte", "a b", "...", ".hidden", "a" * 255, "/".join("a" * 32)],
)
def test_good(path: str) -> None:
    assert parse_path(path) == path


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "empty"), (None, "empty"), ("..", "'..'"), ("a/../b", "'..'"), ("a/..", "'..'"),
        (".", "'.'"), ("a/./b", "'.'"), ("/etc/passwd", "absolute"), ("a//b", "'//'"),
        ("a/", "'//'"), ("a\0b", "NUL"), ("a\\b", "backslash"), ("C:\\x", "backslash"),
        ("a\nb", "control"), ("a\x7f", "control"), ("a\x1b[2J", "control"),
        ("bad\udcff", "undecodable"), (unicodedata.normalize("NFD", "ü"), "NFC"),
        ("a" * 256, "too long"), ("ü" * 128, "too long"), ("/".join(["a"] * 33), "too deep"),
        ("/".join(["a" * 200] * 6), "too long"),
    ],
)  # fmt: skip
def test_bad(path: object, message: str) -> None:
    with pytest.raises(InvalidModelFiles, match=message):
        parse_path(path)


def test_messages_carry_no_control_characters() -> None:
    with pytest.raises(InvalidModelFiles) as caught:
        parse_path("a\x1b[2J\0")
    assert str(caught.value).isprintable()


@given(st.text(max_size=40))
def test_what_passes_stays_inside_any_directory(text: str) -> None:
    try:
        path = parse_path(text)
    except InvalidModelFiles:
        return
    assert path == text == unicodedata.normalize("NFC", text)
    assert posixpath.normpath(posixpath.join("/root", path)) == "/root/" + path
    assert "\0" not in path
    assert "\\" not in path


@pytest.mark.parametrize(
    "paths",
    [
        ["A", "a"], ["dir/x", "DIR/y"], ["ß", "ss"], ["a/B/c", "a/b/d"], ["a", "a/b"],
        ["A", "a/b"], ["x/y", "X"], ["é", "É"], ["İ", "i̇"],
    ],
)  # fmt: skip
def test_collisions(paths: list[str]) -> None:
    for order in (paths, paths[::-1]):
        with pytest.raises(
            InvalidModelFiles, match=r"differ only by case|both a file and a folder"
        ):
            refuse_collisions(order)


def test_no_collision() -> None:
    refuse_collisions(["a", "b/a", "b/c", "ab", "a.b", "b.a/c"])
