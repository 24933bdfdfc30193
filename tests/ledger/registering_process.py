"""Registers versions of one model in a registry, one commit each, and promotes every other one."""

from __future__ import annotations

import sys

from blake3 import blake3

import registry_core
from registry_core.changes.versions import Examined, VersionDraft, register_version
from registry_core.domain.identifiers import ChunkId, Digest, ModelName
from registry_core.domain.manifest import Chunk, Manifest, ModelFile
from registry_core.embedded.control import EmbeddedControl
from registry_core.ledger.change import Change


def main(home: str, model: str, count: str) -> None:
    with registry_core.open(home) as registry:
        control = registry.control
        assert isinstance(control, EmbeddedControl)
        publisher = next(iter(control.policy().keys_of("publisher")))
        for number in range(1, int(count) + 1):
            content = f"{model} {number}".encode()
            chunk = Chunk(ChunkId(blake3(content).digest()), len(content))
            file = ModelFile("w", len(content), blake3(content).digest(), (chunk,))
            manifest = Manifest.build([file])
            draft = VersionDraft(
                ModelName(model), manifest.digest, Digest.of(b"{}"), 1 << 20, {}, ""
            )
            examined = Examined(manifest, publisher)
            control.ledger.commit(
                lambda commit, draft=draft, examined=examined: register_version(
                    commit, draft, examined, Change("tester", "", "")
                )
            )
            if number % 2:
                registry.promote(f"{model}@production", number)


if __name__ == "__main__":
    main(*sys.argv[1:])
