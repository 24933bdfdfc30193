"""Creating and annotating models."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import msgspec

from registry_core.domain.entry import TAG_BYTES, EntryType
from registry_core.domain.identifiers import ModelName
from registry_core.domain.metadata import MODEL_FIELDS, changed
from registry_core.ledger import queries, subjects
from registry_core.ledger.change import Change
from registry_core.ledger.draft import Draft
from registry_core.ledger.records import ModelRecord


def model_or_new(commit: Draft, model: ModelName, change: Change) -> ModelRecord:
    found = queries.find_model(commit.txn, model)
    if found is not None:
        return found
    commit.append(
        EntryType.MODEL_CREATED,
        subjects.of_model(model),
        tag=os.urandom(TAG_BYTES),
        before=None,
        after={"name": model.text},
        change=change,
    )
    return queries.model(commit.txn, model)


def annotate_model(
    commit: Draft, model: ModelName, fields: Mapping[str, Any], change: Change
) -> ModelRecord:
    """Set fields of a model, or take them away where the value is None."""
    if commit.recall(change) is None:
        known = queries.model(commit.txn, model)
        before, _ = changed(msgspec.to_builtins(known), fields, MODEL_FIELDS)
        commit.append(
            EntryType.MODEL_ANNOTATED,
            subjects.of_model(model),
            tag=bytes.fromhex(known.tag),
            before=before,
            after=dict(fields),
            change=change,
        )
    return queries.model(commit.txn, model)
