"""Subjects of log entries: what an entry is about, as text.

registry                       the registry itself
model/NAME                     a model
model/NAME/version/3           a version
model/NAME/stage/production    a stage
"""

from __future__ import annotations

from registry_core.domain.identifiers import ModelName, StageName
from registry_core.errors import InvalidInput

REGISTRY = "registry"


def of_model(model: ModelName) -> str:
    return f"model/{model}"


def of_version(model: ModelName, number: int) -> str:
    return f"model/{model}/version/{number}"


def of_stage(model: ModelName, stage: StageName) -> str:
    return f"model/{model}/stage/{stage}"


def model_of(subject: str) -> ModelName | None:
    """The model a subject belongs to; None for the registry itself."""
    if subject == REGISTRY:
        return None
    kind, _, rest = subject.partition("/")
    if kind != "model":
        raise InvalidInput(f"subject {subject!r:.150} is not known")
    return ModelName.parse(rest.partition("/")[0])


def stage_of(subject: str) -> tuple[ModelName, StageName]:
    parts = subject.split("/")
    if len(parts) != 4 or parts[0] != "model" or parts[2] != "stage":
        raise InvalidInput(f"subject {subject!r:.150} is not a stage")
    return ModelName.parse(parts[1]), StageName.parse(parts[3])
