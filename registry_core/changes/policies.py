"""Replacing the policy: signed by the owners, by compare-and-swap on the policy before."""

from __future__ import annotations

from registry_core.domain.entry import REGISTRY_TAG, EntryType
from registry_core.domain.identifiers import Digest
from registry_core.domain.policy import Policy
from registry_core.errors import Stale
from registry_core.ledger import queries, subjects
from registry_core.ledger.change import Change
from registry_core.ledger.draft import Draft
from registry_core.trust.dsse import Envelope


def set_policy(commit: Draft, envelope: Envelope, expect: Digest, change: Change) -> Policy:
    """The policy now in force. Moves that were proposed under the one before are void."""
    if commit.recall(change) is None:
        before = queries.policy(commit.txn).digest
        if before != expect:
            raise Stale(
                "the policy was replaced since you looked: read it again and decide again",
                expected=str(expect),
                actual=str(before),
            )
        commit.append(
            EntryType.POLICY_SET,
            subjects.REGISTRY,
            tag=REGISTRY_TAG,
            before=str(before),
            after={"envelope": envelope.to_json()},
            change=change,
        )
    return queries.policy(commit.txn)
