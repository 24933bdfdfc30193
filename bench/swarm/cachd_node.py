"""A cachd node as a program of the bench: its cache, its peer server and a fetch, as in
`cachd node`, without a ledger: `python -m bench.swarm.cachd_node CONFIG`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from bench.swarm.lab import NETWORK
from bench.swarm.parts import take_part
from cachd.cache.cache import Cache
from cachd.fetch.documents import fetch_documents
from cachd.fetch.fetcher import Fetcher
from cachd.fetch.report import FetchReport
from cachd.peer.directory import PeerAddress
from cachd.peer.server import PeerServer
from cachd.peer.trusted import TrustedNetworks
from registry_core.domain.identifiers import Digest, NodeId
from registry_core.domain.manifest import Manifest
from registry_core.domain.packs import decode_hint
from registry_core.origin.store import Origin


def main(config: dict[str, Any]) -> None:
    digest, bundle = Digest.parse(config["digest"]), bytes.fromhex(config["bundle"])
    peers = [PeerAddress.parse(text) for text in config["peers"]]
    origin = Origin.open(config["origin"], {"allow_http": "true"})
    reports: list[FetchReport] = []
    with (
        Cache.open(config["folder"]) as cache,
        PeerServer(
            cache, host=config["host"], port=config["port"], incarnation=1,
            trusted=TrustedNetworks.parse([NETWORK]),
        ) as server,
    ):  # fmt: skip

        def bring() -> Path:
            documents = fetch_documents(digest, bundle, peers, origin)
            cache.put_documents(digest, documents.manifest, documents.bundle, documents.hint)
            manifest = Manifest.parse(documents.manifest)
            fetcher = Fetcher(cache, origin, NodeId.parse(config["name"]), 1, offers=server.offers)
            reports.append(fetcher.fetch(manifest, decode_hint(documents.hint), lambda: peers))
            return cache.publish(manifest) / config["file"]

        def told() -> dict[str, Any]:
            return {
                "from_origin": reports[0].bytes_from_origin,
                "served": server.bytes_sent,
                "complaints": [str(one) for one in reports[0].complaints],
            }

        take_part(bring, told)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
