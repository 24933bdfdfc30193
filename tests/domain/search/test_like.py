"""LIKE looks at each character of the text once, whatever the pattern."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from registry_core.domain import limits
from registry_core.domain.search.like import is_like


class Watched(str):
    """Text that counts how often one of its characters is asked for."""

    __slots__ = ("steps",)

    def __iter__(self) -> Iterator[str]:
        for char in str.__iter__(self):
            self._step()
            yield char

    def __getitem__(self, at: object) -> str:
        self._step()
        return str.__getitem__(self, at)  # type: ignore[index]  # whatever the matcher asks for

    def _step(self) -> None:
        self.steps: int = getattr(self, "steps", 0) + 1


LONG = 8 * limits.KIB
WORST = {
    "many %": ("%a" * 2000 + "b", False),
    "a long run behind one %": ("%" + "a" * 1000 + "b", False),
    "_ behind one %": ("%" + "_a" * 500 + "b", False),
    "nothing but %": ("%" * 4000, True),
    "% and a match at the very end": ("%" + "a" * 2000, True),
    "as long as the text": ("_" * LONG, True),
}


@pytest.mark.parametrize("case", WORST)
def test_steps_do_not_grow_with_the_pattern(case: str) -> None:
    pattern, expected = WORST[case]
    text = Watched("a" * LONG)
    assert is_like(text, pattern) is expected
    assert getattr(text, "steps", 0) <= LONG


def test_it_stops_where_the_answer_is_known() -> None:
    text = Watched("b" + "a" * LONG)
    assert not is_like(text, "a%")
    assert is_like(text, "b%")
    assert text.steps <= 2


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("Straße", "Stra_e", True), ("日本語", "日%", True), ("日本語", "___", True),
        ("🙂", "_", True), ("e\u0301", "_", False), ("a\nb", "a_b", True), ("a\\b", "a\\%", True),
        ("", "_", False), ("", "%%", True), ("A", "a", False),
    ],
)  # fmt: skip
def test_unicode_and_no_escapes(text: str, pattern: str, expected: bool) -> None:
    assert is_like(text, pattern) is expected
