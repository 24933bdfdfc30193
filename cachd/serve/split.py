"""Which of two loaded versions answers a request, while a split is in force here.

Deterministic by key: the same key gets the same version in every thread, worker and host of a
generation, since nothing but names, generation and key goes into

    bucket = BLAKE2b-64 of  model@stage NUL generation NUL key
    the new version answers if  bucket < 2^64 * share,  read as big-endian numbers

so a larger share only moves keys towards the new version, and another move draws other cohorts.
Keys are text (as UTF-8), bytes, or whole numbers (as decimal text: 42 is "42"). Without a key it is
chance, per request. Format: docs/FORMATS.md, "Split by key".
Threads: any; nothing changes after construction. Imported when the link comes up, not with the
client: hashlib and random take 5 ms.
"""

from __future__ import annotations

import hashlib
import random
from operator import index

from cachd.serve.errors import InvalidArgument
from cachd.serve.limits import KEY_DIGITS_MAX, SPLIT_WHOLE
from cachd.serve.typed import Of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cachd.serve.typed import T
    from cachd.serve.version import View

    Key = str | bytes | int


class Split(Of["T"]):
    """Made for one word of the flip page; `pick` for each request."""

    __slots__ = ("_below", "_chance", "_in_force", "_salted", "_share", "_version", "word")

    def __init__(
        self, word: int, in_force: View[T], version: View[T], *, name: str, per_mille: int
    ) -> None:
        """`in_force` answers what `version` does not, which has `per_mille` of the requests."""
        self.word = word
        self._in_force = in_force
        self._version = version
        self._share = per_mille / SPLIT_WHOLE
        self._below = threshold(per_mille)
        self._salted = salted(name, in_force.generation)
        self._chance = random.Random().random  # its own: programs seed the shared one

    def pick(self, key: Key | None) -> View[T]:
        if key is None:
            return self._version if self._chance() < self._share else self._in_force
        mixed = self._salted.copy()
        mixed.update(key_bytes(key))
        return self._version if mixed.digest() < self._below else self._in_force

    def shows(self, in_force: View[T], version: object) -> bool:
        """Whether it picks between this view and this loaded version."""
        return self._in_force is in_force and self._version.loaded is version


def salted(name: str, generation: int) -> hashlib.blake2b:
    """The hash of a key, all but the key. `name`: model@stage."""
    return hashlib.blake2b(f"{name}\0{generation}\0".encode(), digest_size=8)


def threshold(per_mille: int) -> bytes:
    """What a hash must lie below, as 8 bytes that compare like the number."""
    return ((per_mille << 64) // SPLIT_WHOLE).to_bytes(8, "big")


def key_bytes(key: Key) -> bytes:
    if isinstance(key, str):
        return key.encode("utf-8", "surrogatepass")
    if isinstance(key, bytes):
        return key
    number = index(key)
    return (b"%d" if -KEY_LIMIT < number < KEY_LIMIT else b"%x") % number


KEY_LIMIT = 10**KEY_DIGITS_MAX  # longer decimal text is slow to make, and Python may refuse to


def check_key(key: object) -> None:
    """InvalidArgument for what is no key, whether requests are split just now or not."""
    if isinstance(key, str | bytes):
        return
    if isinstance(key, bool) or not hasattr(key, "__index__"):
        raise InvalidArgument(
            f"key {key!r:.80} is {type(key).__name__}: a key is text, bytes or a whole number, "
            "such as the id of a user"
        )
