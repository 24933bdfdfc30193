"""One stage of one node: from what is desired to what is served.

When the version in force is resident already (a rollback within grace), the flip is asked for at
once and synchronously. Otherwise a task brings it; a newer desire replaces an older one at any
point. After the version in force is served, the other one of the move is brought too, so that a
rollback finds it resident. A choice that this host made itself stands before the log's, until the
log has moved on. Event loop only.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from random import Random

import structlog

from cachd.cache.errors import CacheUnavailable
from cachd.control.limits import RETRY_S_MAX, RETRY_S_MIN
from cachd.control.reports import PointBody, StageReport, WorkerReport
from cachd.node.desired import DesiredStage
from cachd.node.local_choices import LocalChoices
from cachd.node.request_figures import requests_told
from cachd.node.residency import Residency
from cachd.serve.host import ServingHost
from cachd.serve.host_errors import HostError
from cachd.serve.resident import Observed, ResidentVersion, Target
from registry_core.domain.identifiers import Digest, StageRef
from registry_core.errors import (
    Conflict,
    IntegrityError,
    NotFound,
    RegistryError,
    Unauthorized,
)
from registry_core.ledger.records import VersionRecord

_log = structlog.get_logger("cachd.node")


class StageDriver:
    """`want` tells it what is desired; `run` works on it until cancelled."""

    def __init__(
        self,
        ref: StageRef,
        residency: Residency,
        host: ServingHost,
        local: LocalChoices,
        rng: Random,
    ) -> None:
        self.ref = ref
        self.desired: DesiredStage | None = None  # by the log
        self._local = local
        self._residency = residency
        self._host = host
        self._rng = rng
        self.acting: DesiredStage | None = None  # with this host's own choice
        self._received_ns = 0
        self._changed = asyncio.Event()
        self._trouble = ("", "")

    def want(self, desired: DesiredStage, received_ns: int) -> None:
        if desired == self.desired:
            return
        if self.desired is not None and desired.position < self.desired.position:
            return  # the log never goes back, and neither does a host
        self.desired = desired
        self._act(desired, received_ns)
        self._local.end_before(desired)

    def roll_back(self, reason: str, uid: int, received_ns: int) -> None:
        """Serve `previous` by this host's own choice. NotFound, Conflict, CacheUnavailable,
        HostError: nothing has changed."""
        desired = self._moved()
        if self._local.over(desired) != desired:
            return  # it is so already
        if desired.choice % 2 and not desired.split:
            raise Conflict(f"{self.ref} is rolled back for all hosts already ({_guard(desired)})")
        if desired.keep is None:
            raise Conflict(
                f"{self.ref} has no previous version: {_guard(desired)} is its first move"
            )
        back = desired.serve if desired.split else desired.keep
        digest = Digest.parse(back.digest)
        if self._resident(back) is None and not self._residency.on_disk(digest):
            raise Conflict(
                f"version {back.number}, the previous one of {self.ref}, is not resident "
                "on this host: it comes when the node reaches a peer or an origin"
            )
        try:
            self._choose(lambda: self._local.choose(desired, reason, uid), received_ns)
        except HostError:  # nothing was flipped, nor will be
            self.acting = desired
            self._local.clear(self.ref)
            raise

    def undo(self, received_ns: int) -> None:
        """Serve what the log says again. NotFound, Conflict, CacheUnavailable, HostError."""
        self._moved()
        if not self._local.holds(self.ref):
            raise Conflict(f"{self.ref} is not rolled back by this host: there is nothing to undo")
        self._choose(lambda: self._local.clear(self.ref), received_ns)

    def _moved(self) -> DesiredStage:
        if self.desired is None:
            raise NotFound(f"{self.ref} was not moved yet: this node serves nothing of it")
        return self.desired

    def _choose(self, change: Callable[[], None], received_ns: int) -> None:
        try:
            change()
        except OSError as error:
            raise CacheUnavailable(
                f"the choice cannot be written to this node's disk ({error.strerror}): nothing "
                "was flipped; make space or repair the disk"
            ) from error
        self._act(self._moved(), received_ns)

    def _act(self, desired: DesiredStage, received_ns: int) -> None:
        """Go for what is to be served now; at once if it is here."""
        acting = self.acting = self._local.over(desired)
        self._received_ns = received_ns
        self._troubled("", "")
        if self._residency.path_of(Digest.parse(acting.serve.digest)) is not None:
            self._offer(acting)
        self._changed.set()

    async def run(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self.acting is None:
                continue
            driving = asyncio.create_task(self._drive(self.acting), name=f"drive {self.ref}")
            waiting = asyncio.create_task(self._changed.wait(), name=f"wait {self.ref}")
            try:
                await asyncio.wait({driving, waiting}, return_when=asyncio.FIRST_COMPLETED)
                if driving.done():
                    driving.result()
                    await waiting
            finally:
                for task in (driving, waiting):
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task

    def report(self) -> StageReport | None:
        """What to tell the authority; None before anything is desired."""
        desired, acting = self.desired, self.acting
        if desired is None or acting is None:
            return None
        observed = self._host.observed(self.ref.model.text, self.ref.stage.text)
        coming = desired.keep if desired.split and desired.keep is not None else desired.serve
        arrival = self._residency.arrival(Digest.parse(coming.digest))
        report = StageReport(
            model=self.ref.model.text,
            stage=self.ref.stage.text,
            state="waiting",
            desired=_point(desired),
            local=self._local.body(self.ref),
            bytes_done=arrival.bytes_done,
            bytes_total=arrival.bytes_total,
            bytes_from_origin=arrival.bytes_from_origin,
            bytes_from_home=arrival.bytes_from_home,
            bytes_from_peers=arrival.bytes_from_peers,
            bytes_local=arrival.bytes_local,
        )
        report.requests = requests_told(self._host, self.ref)
        return self._with_observed(report, observed, acting, arrival.state)

    async def _drive(self, desired: DesiredStage) -> None:
        await self._bring(desired.serve)
        self._offer(desired)
        if desired.keep is not None:
            await self._bring(desired.keep)
            self._offer(desired)

    async def _bring(self, version: VersionRecord) -> None:
        """Retry until the version is here; what is refused may be mended in the origin."""
        pause_s = RETRY_S_MIN
        while True:
            try:
                await self._residency.bring(version)
                self._troubled("", "")
                return
            except (IntegrityError, Unauthorized) as error:
                self._troubled("refused", str(error))
            except (RegistryError, OSError) as error:
                self._troubled("waiting", str(error))
            _log.warning("version is not here yet", version=version.number, why=self._trouble[1])
            await self._residency.pause(pause_s * (0.5 + self._rng.random()))
            pause_s = min(pause_s * 2, RETRY_S_MAX)

    def _troubled(self, state: str, why: str) -> None:
        """Told to the authority, and to workers that wait for a first version."""
        self._trouble = (state, why)
        self._host.tell_waiting(self.ref.model.text, self.ref.stage.text, why)

    def _offer(self, desired: DesiredStage) -> None:
        serve = self._resident(desired.serve)
        if serve is None:
            return
        self._host.set_target(
            Target(
                model=self.ref.model.text,
                stage=self.ref.stage.text,
                generation=desired.generation,
                choice=desired.choice,
                serve=serve,
                keep=self._resident(desired.keep) if desired.keep else None,
                received_ns=self._received_ns,
                split=desired.split,
            )
        )

    def _keeps(self) -> bool:
        keep = self.acting.keep if self.acting is not None else None
        return keep is not None and self._resident(keep) is not None

    def _resident(self, version: VersionRecord) -> ResidentVersion | None:
        path = self._residency.path_of(Digest.parse(version.digest))
        if path is None:
            return None
        files = self._residency.files_of(Digest.parse(version.digest))
        return ResidentVersion(version.number, version.digest, str(path), files)

    def _with_observed(
        self, report: StageReport, observed: Observed, acting: DesiredStage, arriving: str
    ) -> StageReport:
        """Add what the host says; before the host has the target, how far the version is."""
        if observed.digest is not None and observed.number is not None:
            report.observed = PointBody(
                observed.generation,
                observed.choice,
                observed.number,
                observed.digest,
                observed.split,
            )
        report.flip, report.workers = observed.flip, observed.workers
        report.standby = self._keeps() and observed.standby == observed.workers
        report.received_ns, report.flipped_ns = observed.received_ns, observed.flip_ns
        report.switched_ns = observed.last_switch_ns
        in_force = report.observed is not None and report.observed == _point(acting)
        report.state = observed.state if in_force or observed.state != "serving" else arriving
        report.detail = observed.error or _so_far(observed)
        report.ready, report.switched = observed.ready, observed.switched
        report.policy, report.warms_in_s = observed.policy, observed.begins_in_s
        report.progress = [
            WorkerReport(one.pid, one.state, one.seconds, one.flip, one.error)
            for one in observed.progress
        ]
        if acting is not self.desired and report.state == "serving":
            report.state = "diverged"
        if self._trouble[0] and not in_force:
            report.state, report.detail = self._trouble
        elif self._trouble[0] and not report.detail:
            report.detail = f"the version to roll back to is not here: {self._trouble[1]}"
        if in_force and observed.received_ns and observed.flip_ns:
            report.flip_ms = (observed.flip_ns - observed.received_ns) / 1e6
            if observed.last_switch_ns and observed.switched == observed.workers:
                report.switch_ms = (observed.last_switch_ns - observed.received_ns) / 1e6
        return report


def _point(desired: DesiredStage) -> PointBody:
    serve = desired.serve
    return PointBody(desired.generation, desired.choice, serve.number, serve.digest, desired.split)


def _guard(desired: DesiredStage) -> str:
    return f"{desired.generation}.{desired.choice}"


def _so_far(observed: Observed) -> str:
    """What is waited for, where nothing is wrong."""
    if observed.state != "preparing":
        return ""
    if observed.begins_in_s:
        return f"warms in {observed.begins_in_s:.0f} s"
    if not observed.workers:
        return "the workers from before are waited for"
    return f"{observed.ready} of {observed.workers} workers ready"
