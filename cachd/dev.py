"""An authority and a node in one process, for a laptop. The same parts, over the same loopback
sockets; only the processes are one."""

from __future__ import annotations

from pathlib import Path

from cachd.authority.daemon import Authority
from cachd.cache.quota import Quota
from cachd.listen import Address
from cachd.memory.settings import MemorySettings
from cachd.node.config import NodeConfig, node_name
from cachd.node.daemon import Node
from cachd.node.flip_options import FlipRulesByStage
from cachd.node.grace import Grace
from cachd.node.stage_pattern import StagePattern


class Dev:
    """`start`, then `stop`: the authority first up and last down."""

    def __init__(
        self, home: Path, listen: Address, *, region: str, data: Path, run: Path,
         serve: tuple[StagePattern, ...], grace: Grace, flip_rules: FlipRulesByStage,
        memory: MemorySettings, cache_quota: Quota, scrub_s: float, bulk_share: float,
    ) -> None:  # fmt: skip
        self._authority = Authority(home, listen)
        self._home = home
        self._settings = (region, data, run, serve, grace, memory, flip_rules)
        self._cache_settings = (cache_quota, scrub_s, bulk_share)
        self._node: Node | None = None

    async def start(self) -> dict[str, object]:
        ready = await self._authority.start()
        region, data, run, serve, grace, memory, flip_rules = self._settings
        cache_quota, scrub_s, bulk_share = self._cache_settings
        self._node = Node(
            NodeConfig(
                name=node_name(None),
                region=region,
                authority_url=self._authority.url,
                root_file=self._home / "root.json",
                data=data,
                run=run,
                listen=Address("127.0.0.1", 0),
                serve=serve,
                grace=grace,
                memory=memory,
                flip_rules=flip_rules,
                cache_quota=cache_quota,
                scrub_s=scrub_s,
                bulk_share=bulk_share,
            )
        )
        return ready | await self._node.start() | {"ready": "dev"}

    async def stop(self) -> None:
        if self._node is not None:
            await self._node.stop()
        await self._authority.stop()
