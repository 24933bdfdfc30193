"""What a node's versions in memory are for: its controller and its serving host, asked."""

from __future__ import annotations

from collections.abc import Callable

from cachd.node.controller import Controller
from cachd.node.grace import Grace
from cachd.node.memory_keeper import Claims
from cachd.node.standings import standings
from cachd.serve.host import ServingHost
from registry_core.domain.identifiers import Digest


class Claimants:
    """`controller` is None before the node runs; `age_s` of a version that is in memory."""

    def __init__(
        self,
        controller: Callable[[], Controller | None],
        host: ServingHost,
        grace: Grace,
        age_s: Callable[[Digest], float],
    ) -> None:
        self._controller = controller
        self._host = host
        self._grace = grace
        self._age_s = age_s

    def claims(self) -> Claims:
        controller, holdings = self._controller(), self._host.holdings()
        stages = controller.acting() if controller is not None else []
        graces: dict[Digest, float] = {}
        for stage in stages:
            if stage.keep is not None:
                grace_s = self._grace.of(stage.ref.model.text, stage.ref.stage.text)
                digest = Digest.parse(stage.keep.digest)
                graces[digest] = max(grace_s, graces.get(digest, 0.0))
        found = standings(
            stages,
            holdings,
            prefetched=controller.prefetched() if controller is not None else (),
            pinned=controller.pinned() if controller is not None else (),
            young=lambda digest: self._age_s(digest) < graces.get(digest, 0.0),
        )
        wanted = {Digest.parse(stage.serve.digest): stage.serve.bytes for stage in stages}
        return Claims(found, wanted, frozenset(Digest.parse(text) for text in holdings))
