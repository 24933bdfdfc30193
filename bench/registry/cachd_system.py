"""A cachd authority on LMDB, asked over its control API.

A write here is what it is in production: a promote carries the promoter's signature, which this
client makes before the clock runs, as `cachctl` does; the authority verifies it, signs a
checkpoint and syncs. To register a version the authority reads and verifies its manifest, bundle
and packs in the origin, where they were put before the clock runs.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from blake3 import blake3

import registry_core
from bench.registry.in_process import STAGE
from bench.registry.systems import Client, Size
from cachctl.demo.fleet import Fleet
from registry_core.changes.versions import Examined, VersionDraft, register_version
from registry_core.domain.identifiers import ChunkId, Digest, Guard, ModelName, StageName
from registry_core.domain.manifest import Chunk, Manifest, ModelFile
from registry_core.domain.move import Move, VersionPoint
from registry_core.domain.packs import Location, PackName, encode_hint, pack_trailer
from registry_core.embedded.control import EmbeddedControl
from registry_core.ledger import log
from registry_core.ledger.change import Change
from registry_core.ledger.draft import Draft
from registry_core.origin.layout import bundle_key, hint_key, manifest_key, pack_key
from registry_core.origin.store import Origin
from registry_core.registry import Registry
from registry_core.trust.keys import Keyring, SigningKey
from registry_core.trust.move import sign_move
from registry_core.trust.oms import sign_version

CHANGE = {"actor": "bench", "reason": "bench", "request_id": ""}
_COMMITS = 64  # versions registered in one commit while filling


class CachdSystem:
    name = "cachd"

    def __init__(
        self, client: Client, url: str, pid: int, home: Path, prepared: list[dict[str, Any]]
    ) -> None:
        self._client = client
        self.url = url
        self.pid = pid
        keys = Keyring(home / "keys")
        self._promoter = keys.get("promoter")
        self._policy = client.expect("GET", "/v1/registry")
        self._digest = Digest.of(self._policy["policy"].encode())
        self._prepared = iter(prepared)
        self._lock = threading.Lock()
        self._signed: dict[tuple[str, int], tuple[bytes, str]] = {}

    def read(self, model: str) -> int:
        answer = self._client.expect("GET", f"/v1/resolve?ref={model}@{STAGE}")
        return int(answer["version"]["number"])

    def create_version(self, model: str) -> int:
        with self._lock:
            body = next(self._prepared)
        answer = self._client.expect("POST", f"/v1/models/{model}/versions", body)
        return int(answer["version"]["number"])

    def prepare_stage(self, model: str, version: int) -> None:
        """Read the stage and sign the move, before `set_stage` sends it."""
        stage = self._client.expect("GET", f"/v1/models/{model}/stages/{STAGE}")
        target = self._client.expect("GET", f"/v1/models/{model}/versions/{version}")
        force = stage["previous"] if stage["choice"] % 2 else stage["version"]
        move = Move(
            self._policy["registry"], ModelName(model), StageName(STAGE), stage["generation"] + 1,
            VersionPoint(version, Digest.parse(target["digest"])),
            VersionPoint(force["number"], Digest.parse(force["digest"])), self._digest,
        )  # fmt: skip
        body = json.dumps(
            {"envelope": sign_move(move, self._promoter).to_json(), "change": CHANGE}
        ).encode()
        guard = str(Guard(stage["generation"], stage["choice"]))
        self._signed[model, threading.get_ident()] = (body, f'"{guard}"')

    def set_stage(self, model: str, version: int) -> bool:  # noqa: ARG002  # it is in the signed move
        body, guard = self._signed.pop((model, threading.get_ident()))
        path = f"/v1/models/{model}/stages/{STAGE}/move"
        status, answer = self._client.call("POST", path, body, {"If-Match": guard})
        if status not in (200, 412):
            raise RuntimeError(f"a promote answered {status}: {answer}")
        return status == 200

    def search(self, team: str) -> int:
        query = urlencode({"filter": f"tags.team = '{team}'", "page_size": 100})
        return len(self._client.expect("GET", f"/v1/versions?{query}")["versions"])


@contextmanager
def cachd_system(folder: Path, size: Size, creates: int) -> Iterator[CachdSystem]:
    folder.mkdir()
    home = folder / "registry"
    with registry_core.init(home, actor="bench") as registry:
        _fill(registry, home, size)
        prepared = [_prepare(registry, home, size, number) for number in range(creates)]
    with Fleet(folder) as fleet:
        said = fleet.start_daemon(
            "authority", "authority", "--home", str(home), "--listen", "127.0.0.1:0"
        )
        client = Client("127.0.0.1", int(str(said["url"]).rpartition(":")[2]))
        client.wait_for("/healthz", 30)
        yield CachdSystem(client, str(said["url"]), int(said["pid"]), home, prepared)


def _fill(registry: Registry, home: Path, size: Size) -> None:
    """As a push and a promote would leave the ledger; the files are in no origin."""
    control = registry.control
    assert isinstance(control, EmbeddedControl)
    publisher = Keyring(home / "keys").get("publisher")
    wanted = [(m, v) for v in range(1, size.versions + 1) for m in range(size.models)]
    for start in range(0, len(wanted), _COMMITS):
        group = [
            _draft_of(size, model, version, publisher)
            for model, version in wanted[start : start + _COMMITS]
        ]
        control.ledger.commit(lambda commit, group=group: _register(commit, group))
    for model in range(size.models):
        registry.promote(f"{size.name(model)}@{STAGE}", size.versions)


def _register(commit: Draft, group: list[tuple[VersionDraft, Examined]]) -> None:
    for draft, looked in group:
        examined = replace(looked, seen=log.log_size(commit.txn))
        register_version(commit, draft, examined, Change("bench", "", ""))


def _draft_of(
    size: Size, model: int, version: int, publisher: SigningKey
) -> tuple[VersionDraft, Examined]:
    name = ModelName(size.name(model))
    _, manifest = _content(f"{name} {version}".encode())
    tags = {"team": size.team(model, version)}
    # No node will ask for these files: their bundle is not looked at when it is registered here.
    draft = VersionDraft(name, manifest.digest, Digest.of(b"{}"), 1 << 20, tags, "")
    return draft, Examined(manifest, publisher.key_id, ("other",))


_numbers = itertools.count(1)


def _prepare(registry: Registry, home: Path, size: Size, number: int) -> dict[str, Any]:
    """Put the objects of a further version into the origin; the body that registers it."""
    model = size.name(number % size.models)
    data, manifest = _content(f"created {next(_numbers)}".encode())
    bundle = sign_version(manifest, model, Keyring(home / "keys").get("publisher"))
    _put(registry.origin, data, manifest, bundle)
    return {
        "manifest": str(manifest.digest),
        "bundle": sha256(bundle).hexdigest(),
        "chunk_bytes": 1 << 20,
        "tags": {"team": "created"},
        "change": CHANGE,
    }


def _put(origin: Origin, data: bytes, manifest: Manifest, bundle: bytes) -> None:
    chunk = manifest.files[0].chunks[0]
    pack = data + pack_trailer([chunk])
    name = PackName(blake3(pack).digest())
    origin.put(pack_key(name), pack)
    origin.put(manifest_key(manifest.digest), manifest.encoded)
    origin.put(bundle_key(manifest.digest), bundle)
    origin.put(hint_key(manifest.digest), encode_hint({chunk.id: Location(name, 0, len(data))}))


def _content(data: bytes) -> tuple[bytes, Manifest]:
    chunk = Chunk(ChunkId(blake3(data).digest()), len(data))
    file = ModelFile("weights.safetensors", len(data), sha256(data).digest(), (chunk,))
    return data, Manifest.build([file])
