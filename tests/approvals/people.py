"""A registry whose production stages need approvals, and people with keys of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from registry_core.domain.evidence import NO_EVIDENCE, Evidence
from registry_core.domain.policy import APPROVER, PROMOTER, StageRule
from registry_core.registry import Registry
from registry_core.trust.keys import Keyring, SigningKey


class People:
    """`as_person(name)` is the same registry in somebody's hands."""

    def __init__(self, registry: Registry, folder: Path) -> None:
        self._registry = registry
        self._folder = folder
        self._keys: dict[str, dict[str, SigningKey]] = {}

    def add(self, name: str, *roles: str) -> SigningKey:
        """A person with one key, in a keyring that has it under each role."""
        key = SigningKey.generate_p256()
        (self._folder / name).mkdir()
        for role in roles:
            Keyring(self._folder / name).create(role, key)
        self._keys[name] = dict.fromkeys(roles, key)
        return key

    def as_person(self, name: str) -> Registry:
        registry = self._registry
        return Registry(registry.control, registry.origin, Keyring(self._folder / name), name)

    def rule(
        self, *, approvals: int = 1, threshold: int = 1, evidence: Evidence = NO_EVIDENCE
    ) -> None:
        """Everybody's keys into the policy, and a rule for production."""
        policy = self._registry.control.policy()
        keys, roles = dict(policy.keys), {role: list(ids) for role, ids in policy.roles.items()}
        for mine in self._keys.values():
            for role, key in mine.items():
                keys[key.key_id] = key.public_pem
                if key.key_id not in roles.setdefault(role, []):
                    roles[role].append(key.key_id)
        rule = StageRule(
            "*", "production", PROMOTER, threshold, protected=True, approvals=approvals,
            approver=APPROVER, evidence=evidence,
        )  # fmt: skip
        others = [one for one in policy.rules if one.stage != "production"]
        self._registry.approvals.set_policy(
            replace(
                policy,
                keys=keys,
                roles={role: tuple(ids) for role, ids in roles.items()},
                rules=(rule, *others),
            )
        )


def types(entries: Sequence[object]) -> list[str]:
    return [str(getattr(entry, "type")) for entry in entries]  # noqa: B009  # of any entry
