"""Which object has which key in an origin. Format: docs/FORMATS.md, "Origin".

manifests/<2 hex>/<64 hex>          canonical manifest, named by its SHA-256
manifests/<2 hex>/<64 hex>.bundle   the OMS bundle of the version
manifests/<2 hex>/<64 hex>.packs    hint: where the version's chunks lie
packs/<2 hex>/<64 hex>              pack, named by its BLAKE3
"""

from __future__ import annotations

from registry_core.domain.identifiers import Digest
from registry_core.domain.packs import PackName

MANIFESTS, PACKS = "manifests", "packs"


def manifest_key(digest: Digest) -> str:
    return f"{MANIFESTS}/{digest.hex[:2]}/{digest.hex}"


def bundle_key(digest: Digest) -> str:
    return manifest_key(digest) + ".bundle"


def hint_key(digest: Digest) -> str:
    return manifest_key(digest) + ".packs"


def pack_key(name: PackName) -> str:
    return f"{PACKS}/{name.hex[:2]}/{name.hex}"
