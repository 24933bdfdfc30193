"""A registry, an authority, a node and workers as processes, conducted by the bench."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import registry_core
from bench.flip.open_loop import References
from bench.flip.versions import Versions
from cachctl.demo.fleet import Fleet
from cachd.control.host_client import HostClient, NodeUnavailable
from cachd.control.host_requests import LOOK, HostRequest
from cachd.control.remote import connect
from cachd.control.reports import StageReport
from registry_core.domain.identifiers import StageRef
from registry_core.errors import NotFound, RegistryError
from registry_core.ledger.records import StageRecord
from registry_core.registry import Registry
from registry_core.trust.keys import Keyring

MODEL, STAGE = "m", "production"
REF = StageRef.parse(f"{MODEL}@{STAGE}")
NODE = "node"
_LOOK_S = 0.1
_HERE = ("preparing", "serving")
_SWITCH_S_MAX = 60.0


@dataclass
class System:
    """`begin` first. `in_force`: which version stands under each guard that there was."""

    fleet: Fleet
    folder: Path
    room: int
    workers: list[str]
    bulk_share: str
    url: str = ""
    references: References = field(default_factory=dict)
    in_force: dict[tuple[int, int], int] = field(default_factory=dict)
    resident_ns: int = 0
    """When the version waited for last was seen to be resident, to 100 ms."""

    def begin(self, versions: Versions) -> None:
        registry_core.init(self.folder / "registry").close()
        self.url = self.fleet.start_daemon(
            "authority", "authority", "--home", str(self.folder / "registry"),
            "--listen", "127.0.0.1:0", "--no-backup",
        )["url"]  # fmt: skip
        with self.connect() as registry:
            for made, probed in zip(versions.made, versions.probe_vectors, strict=True):
                pushed = registry.push(made.folder, MODEL).version
                digest = bytes.fromhex(pushed.digest.removeprefix("sha256:"))
                self.references[digest] = (pushed.number, [made.vectors, [probed]])
            self.note(registry.promote(str(REF), 1))
        self.start_node()
        for worker in self.workers:
            self.start_worker(worker)
        for worker in self.workers:
            self.fleet.wait_for_worker(worker)

    def start_node(self) -> None:
        self.fleet.start_daemon(
            NODE, "node", "--name", NODE, "--authority", self.url,
            "--root", str(self.folder / "registry" / "root.json"),
            "--data", str(self.folder / NODE), "--run", str(self._run),
            "--listen", "127.0.0.1:0", "--serve", str(REF), "--grace-s", "1",
            "--cache-quota", str(self.room), "--scrub-days", "0", "--bulk-share", self.bulk_share,
        )  # fmt: skip

    def start_worker(self, worker: str) -> None:
        self.fleet.start_worker(worker, str(self._run / "cachd.sock"), MODEL, STAGE)

    def sockets(self) -> dict[str, str]:
        return {worker: str(self.fleet.worker_socket(worker)) for worker in self.workers}

    def connect(self) -> Registry:
        return connect(self.url, Keyring(self.folder / "registry" / "keys"), "bench")

    def note(self, stage: StageRecord) -> StageRecord:
        key = (stage.guard.generation, stage.guard.choice)
        self.in_force[key] = stage.in_force.number
        return stage

    def look(self) -> StageReport | None:
        """The stage on the node; None while that is away."""
        try:
            with HostClient(self._run / "control.sock") as host:
                return host.ask(HostRequest(LOOK, REF))
        except (NodeUnavailable, NotFound):
            return None
        except RegistryError as error:
            if error.code == "not_found":
                return None
            raise

    def wait_switched(self, stage: StageRecord, *, standby: bool = False) -> StageReport | None:
        """Until all workers answer by this guard; None if that was not to be in time."""
        at = (stage.guard.generation, stage.guard.choice)
        deadline = time.monotonic() + _SWITCH_S_MAX
        self.resident_ns = 0
        while time.monotonic() < deadline:
            report = self.look()
            seen = report.observed if report is not None else None
            desired = report.desired if report is not None else None
            if report is not None and desired is not None and not self.resident_ns:
                here = (desired.generation, desired.choice) == at and report.state in _HERE
                self.resident_ns = time.monotonic_ns() if here else 0
            if report is not None and seen is not None and report.switch_ms is not None:
                there = (seen.generation, seen.choice) == at
                if (
                    there
                    and report.workers == len(self.workers)
                    and (report.standby or not standby)
                ):
                    return report
            time.sleep(_LOOK_S)
        return None

    @property
    def _run(self) -> Path:
        return self.fleet.worker_socket("x").parent / "run"
