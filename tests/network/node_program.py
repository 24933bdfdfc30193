"""A node on a host of the lab: its cache, its peer server, and a fetch for each line it reads.

`python -m tests.network.node_program CONFIG` answers each line by one of JSON: what was fetched, or
why not.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from bench.swarm.lab import NETWORK
from cachd.cache.cache import Cache
from cachd.fetch.documents import fetch_documents
from cachd.fetch.errors import FetchFailed
from cachd.fetch.fetcher import Fetcher
from cachd.fetch.settings import FetchSettings
from cachd.peer.directory import PeerAddress
from cachd.peer.server import PeerServer
from cachd.peer.trusted import TrustedNetworks
from registry_core.domain.identifiers import Digest, NodeId
from registry_core.domain.manifest import Manifest
from registry_core.domain.packs import decode_hint
from registry_core.errors import RegistryError
from registry_core.origin.store import Origin


def main(config: dict[str, Any]) -> None:
    peers = [PeerAddress.parse(text) for text in config["peers"]]
    origin = Origin.open(config["origin"], {"allow_http": "true"})
    with (
        Cache.open(config["folder"]) as cache,
        PeerServer(
            cache, host=config["host"], port=config["port"], incarnation=1,
            trusted=TrustedNetworks.parse([NETWORK]),
        ) as server,
    ):  # fmt: skip
        fetcher = Fetcher(
            cache, origin, NodeId.parse(config["name"]), 1,
            FetchSettings(**config["settings"]), server.offers,
        )  # fmt: skip
        say({"ready": True})
        for _ in sys.stdin:
            say(fetched(config, cache, fetcher, peers, origin) | {"rss_mb": rss_mb()})


def fetched(
    config: dict[str, Any], cache: Cache, fetcher: Fetcher, peers: list[PeerAddress], origin: Origin
) -> dict[str, Any]:
    digest, bundle = Digest.parse(config["digest"]), bytes.fromhex(config["bundle"])
    try:
        documents = cache.documents(digest) or fetch_documents(digest, bundle, peers, origin)
        cache.put_documents(digest, documents.manifest, documents.bundle, documents.hint)
        manifest = Manifest.parse(documents.manifest)
        report = fetcher.fetch(manifest, decode_hint(documents.hint), lambda: peers)
        file = cache.publish(manifest) / config["file"]
    except (FetchFailed, RegistryError) as error:
        return {"error": str(error), "kind": type(error).__name__,
                "visible": cache.published(digest) is not None}  # fmt: skip
    with file.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    return {
        "sha256": sha256,
        "from_origin": report.bytes_from_origin,
        "from_peers": report.bytes_from_peers,
        "complaints": [str(one) for one in report.complaints],
        "seconds": report.seconds,
    }


def say(fields: dict[str, Any]) -> None:
    print(json.dumps(fields), flush=True)


def rss_mb() -> float:
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
