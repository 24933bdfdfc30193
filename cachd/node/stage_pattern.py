"""Which stages an option of a node is about."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from registry_core.domain.identifiers import StageRef
from registry_core.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class StagePattern:
    """`NAME@STAGE`, each part with `*` and `?` as in file names."""

    model: str
    stage: str

    @classmethod
    def parse(cls, text: str) -> StagePattern:
        model, at, stage = text.partition("@")
        if not at or not model or not stage:
            raise InvalidInput(f"{text!r:.150} is not NAME@STAGE, for example 'minilm@production'")
        return cls(model, stage)

    def matches(self, ref: StageRef) -> bool:
        return self.names(ref.model.text, ref.stage.text)

    def names(self, model: str, stage: str) -> bool:
        return fnmatchcase(model, self.model) and fnmatchcase(stage, self.stage)
