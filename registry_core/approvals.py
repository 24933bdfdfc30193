"""Moves that need several people: one proposes and signs, others approve by signing the same bytes.

registry.approvals.propose("fraud@production", 3, reason="better recall")
approver.approvals.approve("fraud@production")        # another person, with other keys
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from registry_core.changes.approvals import Approval
from registry_core.control.approvals import ApprovalControl
from registry_core.domain.identifiers import StageRef
from registry_core.domain.move import Move
from registry_core.domain.policy import Policy
from registry_core.domain.split import parse_move_split
from registry_core.errors import Conflict, InvalidInput, NotFound
from registry_core.ledger.change import Change
from registry_core.ledger.records import ProposalRecord
from registry_core.trust.dsse import Envelope
from registry_core.trust.keys import Keyring, SigningKey
from registry_core.trust.move import PAYLOAD_TYPE, sign_move
from registry_core.trust.policy import sign_policy

OWNER = "owner"


class Approvals:
    """`Registry.approvals`. Signs with the caller's keys; which role's is the policy's to say."""

    def __init__(
        self,
        control: ApprovalControl,
        policy: Callable[[], Policy],
        next_move: Callable[[str, int | str], Move],
        keys: Keyring,
        change: Callable[[str], Change],
    ) -> None:
        self._control = control
        self._policy = policy
        self._next_move = next_move
        self._keys = keys
        self._change = change

    def propose(
        self,
        stage: str,
        version: int | str,
        *,
        split: float | str | None = None,
        reason: str = "",
    ) -> Approval:
        """Propose the move of `NAME@STAGE` to a version; `Approval.lacking` says what it needs.
        With `split` the version will answer that percentage of the requests only."""
        move = self._next_move(stage, version)
        role = self._policy().rule_for(move.model, move.stage).role
        signed = sign_move(move, self._keys.get(role))
        return self._control.propose(signed, self._change(reason), split=parse_move_split(split))

    def approve(self, stage: str, proposal: str = "", *, reason: str = "") -> Approval:
        """Sign a proposal for `NAME@STAGE`; without its id, the only one that is open."""
        ref = StageRef.parse(stage)
        found = self._find(ref, proposal)
        rule = self._policy().rule_for(ref.model, ref.stage)
        wanted = Envelope.parse(found.envelope.encode())
        added = Envelope(PAYLOAD_TYPE, wanted.payload, ()).with_signature(
            self._approving_key(rule.approver, rule.role)
        )
        return self._control.approve(ref.model, ref.stage, found.id, added, self._change(reason))

    def reject(self, stage: str, proposal: str = "", *, reason: str) -> ProposalRecord:
        """Close a proposal; `reason` says why."""
        if not reason:
            raise InvalidInput("a rejection says why: give a reason")
        ref = StageRef.parse(stage)
        found = self._find(ref, proposal)
        return self._control.reject(ref.model, ref.stage, found.id, self._change(reason))

    def open(self, *, mine: bool = False) -> Sequence[ProposalRecord]:
        """Open proposals; `mine`: those that wait for a signature by one of the caller's keys."""
        if not mine:
            return self._control.open_proposals()
        ids = {self._keys.get(name).key_id for name in self._keys.names()}
        return self._control.open_proposals(ids) if ids else []

    def set_policy(self, policy: Policy, *, reason: str = "") -> Policy:
        """Replace the policy, signed by the owner's key. Proposals under the old one are void."""
        before = self._policy().digest
        envelope = sign_policy(policy, self._keys.get(OWNER))
        return self._control.set_policy(envelope, before, self._change(reason))

    def _approving_key(self, *roles: str) -> SigningKey:
        for role in roles:
            if role in self._keys.names():
                return self._keys.get(role)
        raise NotFound(
            f"there is no key {roles[0]!r} in {self._keys.directory}: `cachctl key new {roles[0]}` "
            "makes one, and an owner adds it to the policy"
        )

    def _find(self, ref: StageRef, proposal: str) -> ProposalRecord:
        names = (ref.model.text, ref.stage.text)
        found = [
            one
            for one in self._control.open_proposals()
            if (one.model, one.stage) == names and one.id.startswith(proposal)
        ]
        if not found:
            raise NotFound(f"nothing is proposed for {ref}: `cachctl proposals` lists what is open")
        if len(found) > 1:
            raise Conflict(
                f"several moves are proposed for {ref}: name one of "
                f"{', '.join(one.id for one in found)}"
            )
        return found[0]
