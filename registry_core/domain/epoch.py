"""An epoch: what the owners say after the log lost entries that nodes may have seen. Pure.

The statement names the last entry that is kept, by size and root hash of the log up to it. From
there on the log goes its own way, and whoever holds more of another one gives that up. A stage's
position is (epoch, generation, choice): a later epoch goes before any generation of an earlier one.
Format: docs/FORMATS.md, "Epoch".
"""

from __future__ import annotations

from dataclasses import dataclass

from registry_core.domain import canonical, limits
from registry_core.domain.identifiers import parse_hex32
from registry_core.errors import InvalidInput

EPOCH_FORMAT = "cachd.epoch/1"


@dataclass(frozen=True, slots=True)
class Epoch:
    """The `number`-th epoch of `registry`, after a log of `kept_size` entries with root hash
    `kept_root` (32 bytes). A log begins in epoch 0, which nobody opens."""

    registry: str
    number: int
    kept_size: int
    kept_root: bytes

    def encode(self) -> bytes:
        return canonical.encode(
            {
                "format": EPOCH_FORMAT,
                "registry": self.registry,
                "epoch": self.number,
                "kept": {"size": self.kept_size, "root": self.kept_root.hex()},
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> Epoch:
        doc = canonical.decode(data, bytes_max=limits.ENVELOPE_MAX, what="epoch")
        try:
            if doc["format"] != EPOCH_FORMAT:
                raise InvalidInput(f"epoch format {doc['format']!r:.40} is not known here")
            kept = doc["kept"]
            epoch = cls(
                doc["registry"], doc["epoch"], kept["size"], parse_hex32(kept["root"], "log root")
            )
            texts = isinstance(epoch.registry, str)
            whole = type(epoch.number) is int and type(epoch.kept_size) is int
        except (KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(f"epoch is not well formed: {error}") from error
        if not texts or not whole or epoch.number < 1 or epoch.kept_size < 1:
            raise InvalidInput("epoch: registry, number or size is not valid")
        if epoch.encode() != data:
            raise InvalidInput("epoch holds unknown fields")
        return epoch
