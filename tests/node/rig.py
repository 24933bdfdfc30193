"""What a node keeps on its disk, without the daemon around it: a real cache, residency and
retention, over a real registry and its origin. What stages name and workers lease is set by hand,
and time passes when told."""

from __future__ import annotations

import hashlib
import random
from contextlib import suppress
from pathlib import Path

import msgspec

from cachd.cache.cache import Cache
from cachd.cache.quota import Quota
from cachd.memory.form import FilesForm
from cachd.memory.settings import MemorySettings
from cachd.memory.standing import Standing
from cachd.node.config import MEMORY_DEFAULT
from cachd.node.memory_keeper import Claims, MemoryKeeper
from cachd.node.origin_book import OriginBook, OriginPlace
from cachd.node.residency import Residency
from cachd.node.retention import Retention
from cachd.peer.offers import Offers
from registry_core import Registry
from registry_core.domain.identifiers import Digest, NodeId
from registry_core.domain.manifest import Manifest
from registry_core.ledger.memory_store import MemoryStore
from registry_core.ledger.records import VersionRecord
from registry_core.ledger.replica import Replica

GRACE_S = 900.0
NOBODY = "http://127.0.0.1:9"


def push(registry: Registry, folder: Path, files: dict[str, bytes]) -> VersionRecord:
    """The next version of model `m`."""
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return registry.push(folder, "m").version


class Disk:
    """`open`, then `close`; the event loop is the caller's."""

    def __init__(
        self,
        data: Path,
        registry: Registry,
        origin: Path,
        quota: Quota,
        memory: MemorySettings = MEMORY_DEFAULT,
    ) -> None:
        data.mkdir()
        place = OriginPlace(origin.absolute().as_uri(), {})
        (data / "origin.json").write_bytes(msgspec.json.encode(place))
        self.data = data
        self._policy = registry.control.policy()
        self._replica = Replica(MemoryStore(), registry.control.root())
        self._quota = quota
        self.wanted: set[Digest] = set()
        self.leased: set[Digest] = set()
        self.standings: dict[Digest, Standing] = {}
        self.to_serve: dict[Digest, int] = {}
        self.in_use: set[Digest] = set()
        self.has_workers = False
        self.let_go: list[Digest] = []
        self.stays: set[Digest] = set()
        self._memory_settings = memory
        self.now_s = 1e6
        self.open()

    def open(self) -> None:
        self.cache = Cache.open(self.data / "cache", self._quota)
        self.memory = MemoryKeeper(
            self._memory_settings,
            FilesForm(),
            claims=self._claims,
            let_go=self._let_go,
            on_damaged=self._heal,
            on_change=lambda: None,
            clock=lambda: self.now_s,
            rng=random.Random(1),
        )
        self.residency = Residency(
            self.cache,
            OriginBook(self.data / "origin.json", NOBODY, self._replica, "local"),
            NodeId("n1"),
            1,
            Offers(),
            peers=lambda _: [],
            policy=lambda: self._policy,
            memory=self.memory,
            make_room=self._make_room,
            serving=lambda: self.has_workers,
            on_change=lambda: None,
        )
        self.retention = Retention(
            self.cache,
            self.residency,
            wanted=lambda: self.wanted,
            leased=lambda: self.leased,
            grace_s=GRACE_S,
            clock=lambda: self.now_s,
        )

    async def close(self) -> None:
        await self.residency.stop()
        self.memory.stop(in_use=False)
        self.cache.close()

    def _claims(self) -> Claims:
        needed = dict.fromkeys(self.wanted | self.leased, Standing.NEEDED)
        return Claims(needed | self.standings, self.to_serve, frozenset(self.in_use))

    def _let_go(self, digest: Digest) -> None:
        """As the host does: it ends when workers drop it, which those that stay do not."""
        self.let_go.append(digest)
        if digest in self.stays:
            self.standings[digest] = Standing.LEASED
        else:
            self.standings.pop(digest, None)

    async def _heal(self, digest: Digest, damaged: list[str]) -> None:
        await self.residency.heal(digest, damaged)

    async def _make_room(self, manifest: Manifest) -> None:
        await self.retention.make_room(manifest)

    def on_disk(self) -> set[Digest]:
        """Versions that are visible."""
        return {digest for digest in self.cache.versions() if self.cache.published(digest)}

    def assert_whole(self, digest: Digest, files: dict[str, bytes]) -> None:
        folder = self.cache.published(digest)
        assert folder is not None, "what is resident or leased is on the disk"
        for path, data in files.items():
            found = hashlib.sha256((folder / path).read_bytes()).digest()
            assert found == hashlib.sha256(data).digest(), path


def remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()
