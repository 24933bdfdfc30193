"""What a node tells the authority about itself, and what it is told in return. Soft state."""

from __future__ import annotations

import msgspec


class PointBody(msgspec.Struct):
    """A version that is desired or observed under a stage's `generation.choice`. `split`: per mille
    of the requests that the other version of the move answers instead."""

    generation: int
    choice: int
    number: int
    digest: str
    split: int = 0


class LocalBody(msgspec.Struct):
    """A choice of `previous` that the host made itself: at which guard, why, by which user id of
    the host, since when. `ended`: the guard of the log that ended it; empty while it holds."""

    at: str
    reason: str
    uid: int
    since_ms: int
    ended: str = ""


class WorkerReport(msgspec.Struct):
    """One worker and the version that its stage is to serve. `state` is one of untold, loading,
    late, ready, failed; `seconds` what loading took, or takes so far; `flip` the one it answers by.
    """

    pid: int
    state: str
    seconds: float
    flip: int
    detail: str = ""


class RequestsBody(msgspec.Struct):
    """Requests that a version answered on a node since its daemon started, as its workers told:
    how many, how many of them failed, seconds in all, and where the times lie. `buckets`: counts
    by the bounds of `cachd.serve.latency`."""

    number: int
    digest: str
    requests: int
    failed: int
    seconds: float
    p50_ms: float
    p95_ms: float
    buckets: list[int]


class StageReport(msgspec.Struct):
    """One stage on one node. Bytes are those of the fetch of the version now desired; of those from
    the origin, `bytes_from_home` came from the home region's because this region's did not have
    them.

    `state` is one of waiting, fetching, verifying, preparing, serving, load-failed, load-late,
    blocked, refused, diverged. Diverged: the host serves `previous` by a choice of its own, which
    is told in `local` and shows in `observed` as the choice after the log's.
    Of `workers`, `ready` have loaded what is desired, and `switched` answer by `flip`.
    `warms_in_s`: until workers are told of it, where hosts begin spread over a time. `progress`
    tells of single workers, those first that hold it back, and not of all where there are many.
    `standby`: the other version of the move is resident here and loaded in every worker, so that a
    rollback is one store to memory.
    `received_ns` and `switched_ns` are CLOCK_MONOTONIC of that host: when the change now in force
    arrived, when the host flipped, and when the last worker switched; `flip_ms` and `switch_ms` are
    the distances from arrival (`switch_ms` once all workers have switched).
    """

    model: str
    stage: str
    state: str
    detail: str = ""
    desired: PointBody | None = None
    observed: PointBody | None = None
    flip: int = 0
    workers: int = 0
    ready: int = 0
    switched: int = 0
    policy: str = ""
    warms_in_s: float = 0.0
    progress: list[WorkerReport] = []
    standby: bool = False
    bytes_done: int = 0
    bytes_total: int = 0
    bytes_from_origin: int = 0
    bytes_from_home: int = 0
    bytes_from_peers: int = 0
    bytes_local: int = 0
    received_ns: int = 0
    flipped_ns: int = 0
    switched_ns: int = 0
    flip_ms: float | None = None
    switch_ms: float | None = None
    local: LocalBody | None = None
    requests: list[RequestsBody] = []


class PrefetchReport(msgspec.Struct):
    """A version that the node is to have before it is needed. `state` is one of waiting, fetching,
    verifying, refused, resident."""

    model: str
    number: int
    digest: str
    state: str
    detail: str = ""
    bytes_done: int = 0
    bytes_total: int = 0


class VersionInMemory(msgspec.Struct):
    """A version that is held in memory. `standing` is why: needed, leased, rollback, grace,
    prefetched, warm, spare. `there`: bytes in memory as measured last; `locked`: of these, bytes
    that cannot be reclaimed."""

    model: str
    digest: str
    standing: str
    bytes: int
    there: int
    locked: int


class NodeReport(msgspec.Struct, forbid_unknown_fields=True):
    """A node as it describes itself; `peer` is where it serves chunks, host:port."""

    node: str
    incarnation: int
    region: str
    peer: str
    log_size: int
    stages: list[StageReport]
    zone: str = ""
    bytes_from_origin: int = 0
    bytes_from_peers: int = 0
    bytes_local: int = 0
    bytes_served: int = 0
    alarm: str = ""
    cache_bytes: int = 0
    cache_limit: int = 0
    """What the cache takes of the disk, and what it may: its quota, or what the disk has for it."""
    chunks_damaged: int = 0
    """That scrubbing found since the node was set up; they are fetched again."""
    held: list[str] = []
    """Digests of versions that are resident or leased here, whether a stage names them or not."""
    prefetches: list[PrefetchReport] = []
    memory: list[VersionInMemory] = []
    memory_bytes: int = 0
    memory_budget: int = 0
    """What versions take of memory, and what they may; a file of several versions counts once."""
    followed: int = 0
    """Entries of the log that `stages` and `prefetches` follow from."""
    peers_known: str = ""
    """`ReportAnswer.version` of the peers that the node knows."""


class PeerBody(msgspec.Struct):
    """Another node of the registry, as a source of chunks. `models`: those it has to do with."""

    node: str
    peer: str
    region: str
    incarnation: int
    zone: str = ""
    models: list[str] = []


class KnownPeerBody(msgspec.Struct):
    """A peer that a node may ask. `source` is where it is known from: authority, static, dns,
    mdns."""

    node: str
    peer: str
    region: str
    zone: str
    source: str


class KnownPeersBody(msgspec.Struct):
    peers: list[KnownPeerBody]


class ReportAnswer(msgspec.Struct):
    """The nodes that were heard of lately, without the one that asks; null where they are those of
    the `version` that the report names."""

    peers: list[PeerBody] | None
    version: str = ""


class SeenReport(msgspec.Struct):
    """A report with when it came (Unix milliseconds); `silent` when that is too long ago."""

    report: NodeReport
    seen_ms: int
    silent: bool


class NodesBody(msgspec.Struct):
    nodes: list[SeenReport]
