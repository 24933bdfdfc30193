"""What a version must show before it may be moved to a stage. Pure.

Metrics within bounds (missing ones fail), and file formats that are allowed: a name, or `*` for
any. Without a list of formats everything is allowed but UNSAFE_FORMATS, whose loaders run code
that the file brings, or may. Every version carries a valid signature anyway.
Format: docs/FORMATS.md, "Policy and root".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from registry_core.domain.formats import PICKLE, UNEXAMINED
from registry_core.domain.metadata import metric_value, parse_metric
from registry_core.errors import InvalidInput

ANY_FORMAT = "*"
UNSAFE_FORMATS = frozenset({PICKLE, UNEXAMINED})


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one metric, as canonical decimal text; an absent end is open. Both ends are allowed."""

    minimum: str | None
    maximum: str | None

    def complaint(self, name: str, value: str | None) -> str | None:
        if value is None:
            return f"the metric {name}, which it lacks"
        number = metric_value(value)
        if self.minimum is not None and number < metric_value(self.minimum):
            return f"{name} of at least {self.minimum}, and has {value}"
        if self.maximum is not None and number > metric_value(self.maximum):
            return f"{name} of at most {self.maximum}, and has {value}"
        return None


@dataclass(frozen=True, slots=True)
class Evidence:
    """`metrics`: name -> bounds. `formats`: allowed ones, or None for all but the unsafe."""

    metrics: Mapping[str, Bounds] = field(default_factory=dict)
    formats: tuple[str, ...] | None = None

    def complaints(self, metrics: Mapping[str, str], formats: Collection[str]) -> list[str]:
        """What a version with these metrics and file formats lacks; each continues "it needs"."""
        found = [
            complaint
            for name, bounds in sorted(self.metrics.items())
            if (complaint := bounds.complaint(name, metrics.get(name))) is not None
        ]
        refused = sorted(one for one in set(formats) if not self.allows(one))
        if refused:
            found.append(f"allowed file formats only, and has {', '.join(refused)}")
        return found

    def allows(self, name: str) -> bool:
        if self.formats is None:
            return name not in UNSAFE_FORMATS
        return ANY_FORMAT in self.formats or name in self.formats

    def to_json(self) -> dict[str, Any]:
        made: dict[str, Any] = {}
        if self.metrics:
            made["metrics"] = {
                name: {
                    end: value
                    for end, value in (("min", bounds.minimum), ("max", bounds.maximum))
                    if value is not None
                }
                for name, bounds in self.metrics.items()
            }
        if self.formats is not None:
            made["formats"] = list(self.formats)
        return made

    @classmethod
    def from_json(cls, doc: Any) -> Evidence:
        if not isinstance(doc, dict) or not doc or not doc.keys() <= {"metrics", "formats"}:
            raise InvalidInput("policy: evidence is not an object of metrics and formats")
        metrics, formats = doc.get("metrics", {}), doc.get("formats")
        if not isinstance(metrics, dict) or not isinstance(formats, list | None):
            raise InvalidInput("policy: evidence: metrics or formats have the wrong type")
        if formats is not None and not all(isinstance(one, str) for one in formats):
            raise InvalidInput("policy: evidence: a format is not text")
        return cls(
            {name: _bounds(name, ends) for name, ends in metrics.items()},
            tuple(formats) if formats is not None else None,
        )


def _bounds(name: str, doc: Any) -> Bounds:
    if not isinstance(doc, dict) or not doc or not doc.keys() <= {"min", "max"}:
        raise InvalidInput(f"policy: bounds of {name!r:.80} are not an object of min and max")
    for value in doc.values():
        if not isinstance(value, str) or parse_metric(value, name) != value:
            raise InvalidInput(f"policy: bound {value!r:.40} of {name!r:.80} is no decimal text")
    return Bounds(doc.get("min"), doc.get("max"))


NO_EVIDENCE = Evidence()
