"""All stages of a node: from the replica to one driver per stage.

Called after each applied batch of the log and when a worker asks for a stage. Drivers run in the
daemon's task group. Event loop only; the replica is read in microseconds.
"""

from __future__ import annotations

import asyncio
import time
from random import Random

from cachd.control.limits import WORKERS_PER_REPORT_MAX
from cachd.control.reports import PrefetchReport, StageReport
from cachd.node.desired import DesiredStage, desired_prefetches, desired_stage, desired_stages
from cachd.node.local_choices import LocalChoices
from cachd.node.prefetcher import Prefetcher
from cachd.node.residency import Residency
from cachd.node.stage_driver import StageDriver
from cachd.node.subscriptions import Subscriptions
from cachd.node.waiting import why_waiting
from cachd.serve.host import ServingHost
from registry_core.domain.identifiers import Digest, RegionName, StageRef
from registry_core.errors import NotFound
from registry_core.ledger import log
from registry_core.ledger.replica import Replica
from registry_core.ledger.store import Reader


class Controller:
    """`start` drivers in `group`; `look` again whenever something may have changed."""

    def __init__(
        self,
        replica: Replica,
        subscriptions: Subscriptions,
        residency: Residency,
        host: ServingHost,
        local: LocalChoices,
        *,
        group: asyncio.TaskGroup,
        rng: Random,
        region: RegionName,
    ) -> None:
        self._region = region
        self._prefetcher = Prefetcher(residency, group, rng)
        self.followed = 0
        """Entries of the log that the reports follow from."""
        self._replica = replica
        self._subscriptions = subscriptions
        self._residency = residency
        self._host = host
        self._local = local
        self._group = group
        self._rng = rng
        self._drivers: dict[StageRef, StageDriver] = {}

    def look(self, received_ns: int | None = None) -> None:
        """Tell each driver what the replica now says."""
        received_ns = received_ns if received_ns is not None else time.monotonic_ns()
        with self._replica.read() as txn:
            desired = desired_stages(txn, self._subscriptions.wants)
            wishes = desired_prefetches(txn, self._region, self._subscriptions.serves)
            self.followed = log.log_size(txn)
        for ref, stage in desired.items():
            driver = self._drivers.get(ref)
            if driver is None:
                driver = StageDriver(ref, self._residency, self._host, self._local, self._rng)
                self._drivers[ref] = driver
                self._group.create_task(driver.run(), name=f"stage {ref}")
                self._host.tell_waiting(ref.model.text, ref.stage.text, "")
            driver.want(stage, received_ns)
        self._prefetcher.want(wishes)

    def foresee(self, state: Reader, received_ns: int) -> None:
        """A verified batch is about to be committed: choices are followed at once.

        A choice is between two versions that the current signed move allows, so following it
        before this node's disk has it can reach nothing unapproved, and a rollback does not wait
        for the disk. New generations wait for `look`.
        """
        for ref, driver in self._drivers.items():
            known = driver.desired
            stage = desired_stage(state, ref) if known is not None else None
            if known is not None and stage is not None and stage.position[:2] == known.position[:2]:
                driver.want(stage, received_ns)

    def ask(self, model: str, stage: str) -> None:
        """A worker attached to a stage: serve it from now on."""
        ref = StageRef.parse(f"{model}@{stage}")
        if self._subscriptions.ask(ref):
            self.look()
        if ref not in self._drivers:
            with self._replica.read() as txn:
                self._host.tell_waiting(model, stage, why_waiting(txn, ref))

    def driver(self, ref: StageRef) -> StageDriver:
        """NotFound, if this node does not serve it."""
        driver = self._drivers.get(ref)
        if driver is None:
            known = ", ".join(sorted(map(str, self._drivers))) or "nothing yet"
            raise NotFound(f"this node does not serve {ref}; it serves {known:.500}")
        return driver

    def reports(self) -> list[StageReport]:
        found = (driver.report() for driver in self._drivers.values())
        reports = [report for report in found if report is not None]
        workers = 0
        for report in reports:
            workers += len(report.progress)
            if workers > WORKERS_PER_REPORT_MAX:
                report.progress = []
        return reports

    def prefetches(self) -> list[PrefetchReport]:
        return self._prefetcher.reports()

    def acting(self) -> list[DesiredStage]:
        """What each stage is to serve, this host's own choices considered."""
        found = (driver.acting for driver in self._drivers.values())
        return [stage for stage in found if stage is not None]

    def prefetched(self) -> set[Digest]:
        return self._prefetcher.wanted()

    def pinned(self) -> set[Digest]:
        return self._prefetcher.pinned()

    def wanted(self) -> set[Digest]:
        """Versions that some stage serves or may roll back to, and those that are prefetched."""
        return self._prefetcher.wanted() | {
            digest for stage in self.acting() for digest in stage.digests
        }
