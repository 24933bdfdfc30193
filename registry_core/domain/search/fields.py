"""What can be asked for: fields of a version, their types, and what may be done with them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from registry_core.domain import limits
from registry_core.errors import InvalidInput


class Kind(StrEnum):
    """Type of the values that a field is compared with."""

    TEXT = "text in quotes"
    NUMBER = "a number"
    TIME = "a time: '2026-11-23', '2026-11-23T14:03:00Z' or Unix milliseconds"


@dataclass(frozen=True, slots=True)
class Field:
    """`key` is set for fields of a map, such as `tags.team`."""

    name: str
    key: str | None = None

    @property
    def kind(self) -> Kind:
        return _KINDS[self.name]

    @property
    def is_member(self) -> bool:
        """A version has any number of these; a term asks whether one of them is as said."""
        return self.name in ("stage", "formats")

    def __str__(self) -> str:
        return self.name if self.key is None else f"{self.name}.{self.key}"


_KINDS = {
    "name": Kind.TEXT,
    "digest": Kind.TEXT,
    "publisher": Kind.TEXT,
    "actor": Kind.TEXT,
    "notes": Kind.TEXT,
    "stage": Kind.TEXT,
    "formats": Kind.TEXT,
    "number": Kind.NUMBER,
    "bytes": Kind.NUMBER,
    "created": Kind.TIME,
    "tags": Kind.TEXT,
    "metrics": Kind.NUMBER,
    "lineage": Kind.TEXT,
}
_MAPS = frozenset({"tags", "metrics", "lineage"})
KNOWN = ", ".join(f"{name}.KEY" if name in _MAPS else name for name in _KINDS)


def make_field(name: str, key: str | None) -> Field:
    """The field, or InvalidInput that lists those there are."""
    if name not in _KINDS:
        raise InvalidInput(f"field {name!r:.80} is not known: there are {KNOWN}")
    if (key is not None) != (name in _MAPS):
        said = f"{name}.KEY" if name in _MAPS else name
        raise InvalidInput(f"field {name!r} is written {said}")
    if key is not None and not 1 <= len(key) <= limits.TAG_KEY_CHARS_MAX:
        raise InvalidInput(f"the key of {name} has 1 to {limits.TAG_KEY_CHARS_MAX} characters")
    return Field(name, key)
