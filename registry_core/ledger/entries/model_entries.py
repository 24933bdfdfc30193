"""model.created and model.annotated."""

from __future__ import annotations

import msgspec

from registry_core.domain.entry import Entry, LogRecord
from registry_core.domain.identifiers import ModelName
from registry_core.domain.metadata import MODEL_FIELDS, changed
from registry_core.domain.policy import Root
from registry_core.errors import Conflict
from registry_core.ledger import queries, subjects
from registry_core.ledger.entries.require import require
from registry_core.ledger.records import ModelRecord, encode, model_key
from registry_core.ledger.store import Table, Writer


def model_created(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    model = ModelName.parse(entry.after["name"])
    require(entry.subject == subjects.of_model(model), entry, "names two models")
    if txn.get(Table.MODELS, model_key(model)) is not None:
        raise Conflict(f"model {model} exists already")
    made = ModelRecord(
        model.text, record.tag.hex(), 0, 0, created_ms=entry.time_ms, sequence=entry.sequence
    )
    txn.put(Table.MODELS, model_key(model), encode(made))


def model_annotated(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    model = subjects.model_of(entry.subject)
    if model is None or entry.subject != subjects.of_model(model):
        require(False, entry, "is of no model")
        return
    known = queries.model(txn, model)
    before, after = changed(msgspec.to_builtins(known), entry.after, MODEL_FIELDS)
    require(entry.before == before, entry, "was made for another state of the model")
    txn.put(Table.MODELS, model_key(model), encode(msgspec.convert(after, ModelRecord)))
