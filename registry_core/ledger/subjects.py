"""Subjects of log entries: what an entry is about, as text.

registry                       the registry itself
region/NAME                    a region
model/NAME                     a model
model/NAME/version/3           a version
model/NAME/stage/production    a stage
model/NAME/push/1f0e…          a push, by its random id (32 hex digits)
"""

from __future__ import annotations

import re

from registry_core.domain.identifiers import (
    ModelName,
    RegionName,
    StageName,
    parse_version_number,
)
from registry_core.errors import InvalidInput

REGISTRY = "registry"


def of_model(model: ModelName) -> str:
    return f"model/{model}"


def of_version(model: ModelName, number: int) -> str:
    return f"model/{model}/version/{number}"


def of_stage(model: ModelName, stage: StageName) -> str:
    return f"model/{model}/stage/{stage}"


def of_push(model: ModelName, intent: bytes) -> str:
    return f"model/{model}/push/{intent.hex()}"


def of_region(region: RegionName) -> str:
    return f"region/{region}"


def model_of(subject: str) -> ModelName | None:
    """The model a subject belongs to; None for the registry itself and its regions."""
    kind, _, rest = subject.partition("/")
    if subject == REGISTRY or kind == "region":
        return None
    if kind != "model":
        raise InvalidInput(f"subject {subject!r:.150} is not known")
    return ModelName.parse(rest.partition("/")[0])


def region_of(subject: str) -> RegionName:
    kind, _, name = subject.partition("/")
    if kind != "region":
        raise InvalidInput(f"subject {subject!r:.150} is not a region")
    return RegionName.parse(name)


def stage_of(subject: str) -> tuple[ModelName, StageName]:
    model, stage = _parts(subject, "stage")
    return model, StageName.parse(stage)


def version_of(subject: str) -> tuple[ModelName, int]:
    model, number = _parts(subject, "version")
    return model, parse_version_number(number)


def push_of(subject: str) -> tuple[ModelName, bytes]:
    model, intent = _parts(subject, "push")
    if not re.fullmatch(r"[0-9a-f]{32}", intent):
        raise InvalidInput(f"subject {subject!r:.150} is not a push")
    return model, bytes.fromhex(intent)


def _parts(subject: str, kind: str) -> tuple[ModelName, str]:
    parts = subject.split("/")
    if len(parts) != 4 or parts[0] != "model" or parts[2] != kind:
        raise InvalidInput(f"subject {subject!r:.150} is not a {kind}")
    return ModelName.parse(parts[1]), parts[3]
