"""Why each version is in memory: from what stages want, workers hold and people asked for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from cachd.memory.standing import Standing
from cachd.node.desired import DesiredStage
from cachd.serve.resident import Holding
from registry_core.domain.identifiers import Digest


def standings(
    stages: Iterable[DesiredStage],
    holdings: Mapping[str, Holding],
    *,
    prefetched: Collection[Digest],
    pinned: Collection[Digest],
    young: Callable[[Digest], bool],
) -> dict[Digest, Standing]:
    """The highest that each version has; those that are not told are spare.

    `holdings`: what the host does with a version, by digest. `young`: it came so lately that its
    grace is not over, though no worker was told of it (after the host's table was lost).
    """
    found: dict[Digest, Standing] = {}

    def stands(digest: Digest, standing: Standing) -> None:
        found[digest] = max(standing, found.get(digest, Standing.SPARE))

    for digest in prefetched:
        stands(digest, Standing.PREFETCHED)
    keeps = set()
    for stage in stages:
        stands(Digest.parse(stage.serve.digest), Standing.NEEDED)
        if stage.keep is not None and stage.split:
            stands(Digest.parse(stage.keep.digest), Standing.NEEDED)
        elif stage.keep is not None:
            keeps.add(Digest.parse(stage.keep.digest))
    for text, holding in holdings.items():
        digest = Digest.parse(text)
        if holding == "in force":
            stands(digest, Standing.NEEDED)
        elif holding == "leased":
            stands(digest, Standing.LEASED)
        else:
            stands(digest, Standing.ROLLBACK if digest in keeps else Standing.GRACE)
    for digest in keeps:
        stands(digest, Standing.ROLLBACK if young(digest) else Standing.WARM)
    for digest in pinned:
        stands(digest, Standing.NEEDED)
    return found
