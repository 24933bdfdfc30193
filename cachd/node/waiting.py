"""Why a stage that a worker asked for, and that nobody has moved, serves nothing here. Pure."""

from __future__ import annotations

from registry_core.domain.identifiers import StageRef
from registry_core.ledger import log, queries
from registry_core.ledger.store import Reader

_STAGES_NAMED = 10


def why_waiting(txn: Reader, ref: StageRef) -> str:
    """In words, with what to do."""
    if queries.find_model(txn, ref.model) is None:
        return (
            f"there is no model {ref.model} in the registry, as this node knows it (its log has "
            f"{log.log_size(txn)} entries): correct the name, or make it by `cachctl push DIR "
            f"--model {ref.model}`"
        )
    stages = [one.stage for one in queries.stages(txn, ref.model)][:_STAGES_NAMED]
    known = f" (it has {', '.join(stages)})" if stages else ""
    return (
        f"model {ref.model} has no version in stage {ref.stage} yet{known}: correct the name, or "
        f"`cachctl promote {ref} VERSION`"
    )
