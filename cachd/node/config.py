"""What a node is told at start, parsed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from socket import gethostname

from cachd.cache.quota import Quota
from cachd.control.limits import SCRUB_DAYS_DEFAULT, TTL_S_DEFAULT
from cachd.listen import Address
from cachd.memory.settings import MemorySettings
from cachd.node.flip_options import FlipRulesByStage
from cachd.node.grace import Grace
from cachd.node.repository import RepositoryPlace
from cachd.node.stage_pattern import StagePattern
from cachd.peer.bulk_path import UNBOUNDED, BulkPath
from cachd.peer.directory import PeerAddress
from cachd.peer.trusted import LOOPBACK_ONLY, TrustedNetworks
from cachd.serve.allowed_uids import WHOEVER_CONNECTS, AllowedUids
from registry_core.domain.identifiers import NodeId

CACHE_QUOTA_DEFAULT = Quota(share=0.9)
MEMORY_DEFAULT = MemorySettings()
SCRUB_S_DEFAULT = SCRUB_DAYS_DEFAULT * 86_400


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """`data` holds replica and cache and must last; `run` holds socket and flip page."""

    name: NodeId
    region: str
    authority_url: str
    root_file: Path
    data: Path
    run: Path
    listen: Address
    serve: tuple[StagePattern, ...]
    grace: Grace
    flip_rules: FlipRulesByStage
    api: Address | None = None
    """Where reads are answered and the log is relayed."""
    relays: str = ""
    """Nodes whose API to follow the log from, before any authority."""
    ttl_s: float = TTL_S_DEFAULT
    trusted: TrustedNetworks = LOOPBACK_ONLY
    cache_quota: Quota = CACHE_QUOTA_DEFAULT
    zone: str = ""
    peers: tuple[PeerAddress, ...] = ()
    """To be asked besides those that the authority names, and while it is away."""
    peers_dns: tuple[str, ...] = ()
    """DNS names with SRV records of peers."""
    dns_server: Address | None = None
    """Whom to ask for them; None: those of /etc/resolv.conf."""
    mdns: tuple[str, ...] = ()
    """Interfaces, or addresses on them, where this node is announced and others are heard of."""
    scrub_s: float = SCRUB_S_DEFAULT
    """In which all that is held is looked at once; 0: never."""
    bulk: BulkPath = UNBOUNDED
    bulk_share: float = 1.0
    """Of the time, for which each thread that stores or populates works while workers answer
    requests."""
    memory: MemorySettings = MEMORY_DEFAULT
    allowed: AllowedUids = WHOEVER_CONNECTS
    """Whose processes may attach to which stages."""
    repositories: tuple[RepositoryPlace, ...] = ()
    """Where versions stand for servers that know directories."""


def node_name(given: str | None) -> NodeId:
    """The name given, or one made of the host's name."""
    if given is not None:
        return NodeId.parse(given)
    return NodeId.parse(gethostname().lower().replace("_", "-").strip("-.") or "node")
