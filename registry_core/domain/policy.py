"""Policy: whose keys count for what, and the root that policies are trusted by. Pure documents.

A policy lists public keys (by key id, the SHA-256 of their PEM), gives them roles, and has one
rule per model and stage pattern (first match wins): which role signs a move and how many of them,
how many approvers besides the author, on what evidence, and whether a change must carry a guard.
Owners sign it (`registry_core.trust.policy`).
Format: docs/FORMATS.md, "Policy and root".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from registry_core.domain import canonical, limits
from registry_core.domain.evidence import NO_EVIDENCE, Evidence
from registry_core.domain.identifiers import Digest, ModelName, StageName, parse_hex32
from registry_core.errors import InvalidInput

POLICY_FORMAT = "cachd.policy/1"
ROOT_FORMAT = "cachd.root/1"
PUBLISHER, PROMOTER, APPROVER, STAGER = "publisher", "promoter", "approver", "stager"
ANY = "*"


@dataclass(frozen=True, slots=True)
class StageRule:
    """Moves of `model`@`stage` (names or `*`) need `threshold` signatures by keys of `role`, and
    `approvals` by keys of the role `approver`, the move's author not counted."""

    model: str
    stage: str
    role: str
    threshold: int
    protected: bool
    approvals: int = 0
    approver: str = APPROVER
    evidence: Evidence = NO_EVIDENCE

    def matches(self, model: ModelName, stage: StageName) -> bool:
        return self.model in (ANY, model.text) and self.stage in (ANY, stage.text)

    def to_json(self) -> dict[str, Any]:
        made: dict[str, Any] = {
            "model": self.model,
            "stage": self.stage,
            "role": self.role,
            "threshold": self.threshold,
            "protected": self.protected,
        }
        if self.approvals:
            made |= {"approvals": self.approvals, "approver": self.approver}
        if self.evidence != NO_EVIDENCE:
            made["evidence"] = self.evidence.to_json()
        return made

    @classmethod
    def from_json(cls, doc: Mapping[str, Any]) -> StageRule:
        fields = dict(doc)
        evidence = fields.pop("evidence", None)
        return cls(
            **fields, evidence=Evidence.from_json(evidence) if evidence is not None else NO_EVIDENCE
        )


@dataclass(frozen=True)
class Policy:
    """`keys`: key id -> PEM. `roles`: role -> key ids."""

    registry: str
    keys: dict[str, str]
    roles: dict[str, tuple[str, ...]]
    rules: tuple[StageRule, ...]

    @cached_property
    def encoded(self) -> bytes:
        return canonical.encode(
            {
                "format": POLICY_FORMAT,
                "registry": self.registry,
                "keys": self.keys,
                "roles": {role: list(ids) for role, ids in self.roles.items()},
                "rules": [rule.to_json() for rule in self.rules],
            }
        )

    @cached_property
    def digest(self) -> Digest:
        return Digest.of(self.encoded)

    def keys_of(self, role: str) -> dict[str, str]:
        """Key id -> PEM of the keys with `role`."""
        return {key_id: self.keys[key_id] for key_id in self.roles.get(role, ())}

    def rule_for(self, model: ModelName, stage: StageName) -> StageRule:
        for rule in self.rules:
            if rule.matches(model, stage):
                return rule
        raise InvalidInput(f"the policy has no rule for {model}@{stage}: add one for it or for *")

    @classmethod
    def parse(cls, data: bytes) -> Policy:
        doc = canonical.decode(data, bytes_max=limits.ENVELOPE_MAX, what="policy")
        try:
            if doc["format"] != POLICY_FORMAT:
                raise InvalidInput(f"policy format {doc['format']!r:.40} is not known here")
            policy = cls(
                doc["registry"],
                _parse_keys(doc["keys"]),
                {role: tuple(ids) for role, ids in doc["roles"].items()},
                tuple(StageRule.from_json(rule) for rule in doc["rules"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(f"policy is not well formed: {error}") from error
        _check(policy)
        if policy.encoded != data:
            raise InvalidInput("policy holds unknown fields")
        return policy


@dataclass(frozen=True)
class Root:
    """What a node trusts from the start: the owners' keys and the authority's checkpoint key."""

    registry: str
    owners: dict[str, str]
    threshold: int
    authority: str
    """PEM of the Ed25519 key that signs checkpoints."""

    @cached_property
    def encoded(self) -> bytes:
        return canonical.encode(
            {
                "format": ROOT_FORMAT,
                "registry": self.registry,
                "owners": self.owners,
                "threshold": self.threshold,
                "authority": self.authority,
            }
        )

    @cached_property
    def digest(self) -> Digest:
        return Digest.of(self.encoded)

    @classmethod
    def parse(cls, data: bytes) -> Root:
        doc = canonical.decode(data, bytes_max=limits.ENVELOPE_MAX, what="root")
        try:
            if doc["format"] != ROOT_FORMAT:
                raise InvalidInput(f"root format {doc['format']!r:.40} is not known here")
            owners = _parse_keys(doc["owners"])
            root = cls(doc["registry"], owners, doc["threshold"], doc["authority"])
        except (KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(f"root is not well formed: {error}") from error
        if not isinstance(root.registry, str) or not isinstance(root.authority, str):
            raise InvalidInput("root: registry or authority is not text")
        if type(root.threshold) is not int or not 1 <= root.threshold <= len(owners):
            raise InvalidInput("root: threshold is not between 1 and the number of owners")
        if root.encoded != data:
            raise InvalidInput("root holds unknown fields")
        return root


def _parse_keys(doc: Any) -> dict[str, str]:
    keys = dict(doc)
    if len(keys) > limits.POLICY_KEYS_MAX:
        raise InvalidInput(f"more than {limits.POLICY_KEYS_MAX} keys")
    for key_id, pem in keys.items():
        if hashlib.sha256(pem.encode()).digest() != parse_hex32(key_id, "key id"):
            raise InvalidInput(f"key {key_id:.16}… is not the SHA-256 of its PEM")
    return keys


def _check(policy: Policy) -> None:
    if not isinstance(policy.registry, str):
        raise InvalidInput("policy: registry is not text")
    for role, ids in policy.roles.items():
        if len(set(ids)) != len(ids) or not set(ids) <= policy.keys.keys():
            raise InvalidInput(f"policy: role {role!r:.40} names an unknown key, or one twice")
    for rule in policy.rules:
        if rule.model != ANY:
            ModelName.parse(rule.model)
        if rule.stage != ANY:
            StageName.parse(rule.stage)
        count = len(policy.roles.get(rule.role, ()))
        if type(rule.threshold) is not int or not 1 <= rule.threshold <= count:
            raise InvalidInput(
                f"policy: rule {rule.model}@{rule.stage} needs {rule.threshold} of {count} keys"
            )
        if type(rule.protected) is not bool:
            raise InvalidInput("policy: 'protected' is not true or false")
        _check_approvals(policy, rule)


def _check_approvals(policy: Policy, rule: StageRule) -> None:
    if rule.approvals == 0 and rule.approver == APPROVER:
        return
    count = len(policy.roles.get(rule.approver, ()))
    if type(rule.approvals) is not int or not 1 <= rule.approvals <= count:
        raise InvalidInput(
            f"policy: rule {rule.model}@{rule.stage} needs {rule.approvals} approvals and the role "
            f"{rule.approver!r:.40} has {count} keys"
        )
