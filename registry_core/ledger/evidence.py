"""Whether a version shows what a stage's rule demands. Part of judging a move at its position in
the log: authority, replicas and `check` come to the same answer."""

from __future__ import annotations

from registry_core.domain.policy import StageRule
from registry_core.errors import EvidenceMissing
from registry_core.ledger.records import VersionRecord


def require_evidence(rule: StageRule, version: VersionRecord) -> None:
    lacking = rule.evidence.complaints(version.metrics, version.formats)
    if lacking:
        raise EvidenceMissing(
            f"{version.model}/{version.number} cannot be moved to {rule.model}@{rule.stage}: it "
            f"needs {'; '.join(lacking)}. Add what is missing with `cachctl annotate`, or choose "
            "another version"
        )
