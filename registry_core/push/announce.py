"""A push announces itself, so that gc leaves alone what it made and what it uses again."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from registry_core.changes.garbage import Push
from registry_core.control.protocol import Control
from registry_core.domain.identifiers import Digest, ModelName
from registry_core.errors import Condemned, RegistryError
from registry_core.ledger.change import Change

T = TypeVar("T")
_WAIT_S = 10.0
_PAUSE_S_MIN, _PAUSE_S_MAX = 0.01, 0.5


@contextmanager
def announced(
    control: Control, model: ModelName, manifest: Digest, change: Change
) -> Iterator[Push]:
    """A push under way for as long as the block runs. One that dies ends by its age."""
    push = _begin(control, model, manifest, change)
    try:
        yield push
    except BaseException:
        with suppress(RegistryError):  # what made the push fail is what is told
            control.garbage.end_push(model, push.id, _anew(change))
        raise


def pushed(
    control: Control, model: ModelName, manifest: Digest, change: Change, work: Callable[[Push], T]
) -> T:
    """`work` in an announced push; once more in another, if what it used was condemned meanwhile.

    `work` must end the push by registering its version."""
    try:
        with announced(control, model, manifest, change) as push:
            return work(push)
    except Condemned:
        with announced(control, model, manifest, change) as push:
            return work(push)


def _begin(control: Control, model: ModelName, manifest: Digest, change: Change) -> Push:
    """The documents that a deleted version of the same files left may be going just now."""
    deadline_s, pause_s = time.monotonic() + _WAIT_S, _PAUSE_S_MIN
    while True:
        try:
            return control.garbage.begin_push(model, manifest, _anew(change))
        except Condemned:
            if time.monotonic() + pause_s > deadline_s:
                raise
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _PAUSE_S_MAX)


def _anew(change: Change) -> Change:
    return Change(change.actor, change.reason, uuid.uuid4().hex)
