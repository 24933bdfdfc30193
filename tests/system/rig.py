"""A registry, its authority and nodes as real processes, and an acquiring worker process."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import registry_core
from cachctl.demo.fleet import Fleet
from cachd.control.remote import RemoteControl, connect
from registry_core.domain.identifiers import ModelName
from registry_core.registry import Registry
from registry_core.trust.keys import Keyring

WORKER = Path(__file__).with_name("worker.py")


@dataclass
class Rig:
    """`fleet` owns the processes; everything lives below `folder`."""

    fleet: Fleet
    folder: Path
    url: str = ""
    port: int = 0

    @classmethod
    def begin(cls, folder: Path, fleet: Fleet) -> Rig:
        registry_core.init(folder / "registry").close()
        rig = cls(fleet, folder)
        rig.start_authority()
        return rig

    def start_authority(self) -> None:
        """The same port again after the first time, so that nodes find it."""
        said = self.fleet.start_daemon(
            "authority", "authority", "--home", str(self.folder / "registry"),
            "--listen", f"127.0.0.1:{self.port}",
        )  # fmt: skip
        self.url = said["url"]
        self.port = int(self.url.rpartition(":")[2])

    def start_node(
        self, name: str, *more: str, serve: str = "m@production", env: dict[str, str] | None = None
    ) -> dict[str, Any]:
        return self.fleet.start_daemon(
            name, "node", "--name", name, "--authority", self.url,
            "--root", str(self.folder / "registry" / "root.json"),
            "--data", str(self.folder / name), "--run", str(self.run_folder(name)),
            "--listen", "127.0.0.1:0", "--serve", serve, *more, env=env,
        )  # fmt: skip

    def run_folder(self, name: str) -> Path:
        return self.folder / f"{name}.run"

    def start_worker(self, name: str, node: str, *, model: str = "m") -> None:
        self.fleet.start_program(
            name, str(WORKER), str(self.folder / f"{name}.jsonl"), model, "production",
            env={"CACHD_SOCKET": str(self.run_folder(node) / "cachd.sock")},
        )  # fmt: skip

    def connect(self) -> Registry:
        return connect(self.url, Keyring(self.folder / "registry" / "keys"), "tester")

    def stage_on(self, node: str, model: str = "m") -> dict[str, Any] | None:
        """What the authority knows of m@production on a node; None before it reported."""
        with self.connect() as registry:
            control = registry.control
            assert isinstance(control, RemoteControl)
            for seen in control.status(ModelName(model))["nodes"]:
                if seen["node"] == node:
                    found: dict[str, Any] = seen["stages"][0]
                    return found
        return None

    def wait_serving(
        self, node: str, number: int, guard: str = "", *, model: str = "m", within_s: float = 30.0
    ) -> dict[str, Any]:
        def serves() -> bool:
            stage = self.stage_on(node, model)
            observed = stage["observed"] if stage else None
            if stage is None or observed is None or stage["state"] != "serving":
                return False
            at = f"{observed['generation']}.{observed['choice']}"
            return bool(observed["number"] == number and guard in ("", at))

        self.wait(serves, f"{node} serves version {number} {guard}", node, within_s)
        stage = self.stage_on(node, model)
        assert stage is not None
        return stage

    def wait(
        self, holds: Callable[[], bool], what: str, about: str, within_s: float = 30.0
    ) -> None:
        self.fleet.wait(holds, what, about, within_s)

    def worker_lines(self, name: str) -> list[dict[str, Any]]:
        """What a worker wrote: a line per switch, per error, and now and then how far it is."""
        file = self.folder / f"{name}.jsonl"
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True) if file.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def wait_worker(self, name: str, number: int, guard: str) -> None:
        def switched() -> bool:
            lines = [line for line in self.worker_lines(name) if "guard" in line]
            return bool(lines and (lines[-1]["number"], lines[-1]["guard"]) == (number, guard))

        self.wait(switched, f"{name} answers by {guard}", name)

    def assert_unharmed(self, name: str) -> None:
        """The worker never saw an error or a mixture, and goes on acquiring."""
        lines = self.worker_lines(name)
        assert [line for line in lines if "error" in line] == []
        count = max(line["count"] for line in lines)
        self.wait(
            lambda: max(line["count"] for line in self.worker_lines(name)) > count,
            f"{name} goes on", name,
        )  # fmt: skip


def eventually(holds: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)
