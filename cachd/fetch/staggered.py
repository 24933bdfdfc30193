"""Ask several, without waiting long for any: RFC 8305 ("Happy Eyeballs", section 5) for questions
other than TCP's."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from registry_core.errors import RegistryError

T = TypeVar("T")


class NobodyAnswered(Exception):
    """Whoever was asked failed; `reasons` say why, in the order of asking."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


def first_answer(asked: Sequence[tuple[str, Callable[[], T]]], stagger_s: float) -> T:
    """The first answer of those asked, who have names. The next is asked as soon as all before have
    failed, or the last one has said nothing for `stagger_s`.

    Who fails raises a RegistryError; any other error is raised again here. Questions without an
    answer go on in threads of their own: it is for the caller to end them. NobodyAnswered.
    """
    answers: queue.SimpleQueue[tuple[int, T | BaseException]] = queue.SimpleQueue()

    def ask(place: int) -> None:
        try:
            answers.put((place, asked[place][1]()))
        except BaseException as error:  # judged below
            answers.put((place, error))

    failed: dict[int, str] = {}
    begun = 0
    while len(failed) < len(asked):
        if begun < len(asked):
            name = f"cachd-ask-{asked[begun][0]}"
            threading.Thread(target=ask, args=(begun,), name=name, daemon=True).start()
            begun += 1
        while len(failed) < begun:
            try:
                place, answer = answers.get(timeout=stagger_s if begun < len(asked) else None)
            except queue.Empty:
                break
            if isinstance(answer, RegistryError):
                failed[place] = f"{asked[place][0]}: {answer}"
            elif isinstance(answer, BaseException):
                raise answer
            else:
                return answer
    raise NobodyAnswered([failed[place] for place in sorted(failed)])
