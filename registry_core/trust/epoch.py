"""Signed epochs: the owners, by the root of trust."""

from __future__ import annotations

from registry_core.domain.epoch import Epoch
from registry_core.domain.policy import Root
from registry_core.errors import Unauthorized
from registry_core.trust import dsse
from registry_core.trust.dsse import Envelope
from registry_core.trust.keys import SigningKey

PAYLOAD_TYPE = "application/vnd.cachd.epoch+json"


def sign_epoch(epoch: Epoch, *owners: SigningKey) -> Envelope:
    return dsse.sign(PAYLOAD_TYPE, epoch.encode(), *owners)


def verify_epoch(envelope: Envelope, root: Root) -> Epoch:
    """The epoch, if it is of this registry and enough owners signed it."""
    dsse.require(envelope, PAYLOAD_TYPE, root.owners, root.threshold, "the epoch")
    epoch = Epoch.parse(envelope.payload)
    if epoch.registry != root.registry:
        raise Unauthorized(f"the epoch is of registry {epoch.registry:.40}, not {root.registry}")
    return epoch
