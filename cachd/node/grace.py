"""How long the previous version stays resident after a flip: for a node, and for single stages."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cachd.node.stage_pattern import StagePattern
from registry_core.errors import InvalidInput

GRACE_S_DEFAULT = 900.0
GRACE_S_MAX = 86_400.0
_TIME = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(s|m|h)?")
_SECONDS = {None: 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class GraceRule:
    """The stages that `pattern` matches have this grace."""

    pattern: StagePattern
    grace_s: float

    @classmethod
    def parse(cls, text: str) -> GraceRule:
        """`fraud@*=1800`, or `fraud@*=30m`."""
        pattern, equals, time = text.rpartition("=")
        found = _TIME.fullmatch(time)
        grace_s = float(found[1]) * _SECONDS[found[2]] if found else -1.0
        if not equals or not 0 <= grace_s <= GRACE_S_MAX:
            raise InvalidInput(
                f"--grace {text!r:.150} is not NAME@STAGE=TIME, with a time from 0 to 24h: write "
                "for example 'fraud@*=1800' or 'fraud@*=30m'; 10 to 30 minutes suit most models"
            )
        return cls(StagePattern.parse(pattern), grace_s)


@dataclass(frozen=True, slots=True)
class Grace:
    """The first rule that matches a stage counts; `default_s` for all others."""

    default_s: float = GRACE_S_DEFAULT
    rules: tuple[GraceRule, ...] = ()

    def of(self, model: str, stage: str) -> float:
        """Seconds."""
        found = (rule.grace_s for rule in self.rules if rule.pattern.names(model, stage))
        return next(found, self.default_s)
