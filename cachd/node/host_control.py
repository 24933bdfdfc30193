"""What a host's owner may tell its node: a local rollback, its end, and a look. Event loop only."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from cachd.control.host_requests import ROLLBACK, UNDO, HostRequest
from cachd.control.reports import StageReport
from cachd.node.controller import Controller
from registry_core.errors import NotFound

_log = structlog.get_logger("cachd.node")


class HostControl:
    """`controller` is there once the node has begun to serve."""

    def __init__(
        self, controller: Callable[[], Controller | None], on_change: Callable[[], None]
    ) -> None:
        self._controller = controller
        self._on_change = on_change

    def answer(self, request: HostRequest, uid: int, received_ns: int) -> StageReport:
        """Do what is asked; the stage as it then is. RegistryError, HostError."""
        controller = self._controller()
        if controller is None:
            raise NotFound("this node serves nothing yet: ask again in a moment")
        driver = controller.driver(request.ref)
        if request.op == ROLLBACK:
            driver.roll_back(request.reason, uid, received_ns)
        elif request.op == UNDO:
            driver.undo(received_ns)
        report = driver.report()
        if report is None:
            raise NotFound(f"{request.ref} was not moved yet: this node serves nothing of it")
        if request.op in (ROLLBACK, UNDO):
            observed = report.observed
            _log.warning(
                f"local {request.op}", stage=str(request.ref), uid=uid, reason=request.reason,
                serves=observed.number if observed else None, state=report.state, flip=report.flip,
            )  # fmt: skip
            self._on_change()
        return report
