"""A rollback on one host, through its node's control socket, while nobody else can be asked."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cachctl.output import emit_json, emit_line

if TYPE_CHECKING:
    from cachd.control.host_client import HostClient
    from cachd.control.reports import StageReport
    from registry_core.domain.identifiers import StageRef

_RUN_DEFAULT = Path("/run/cachd")
_SWITCH_S_MAX = 10.0
_LOOK_S = 0.01


def control_socket(socket_path: Path | None, run_dir: Path | None, data: Path | None) -> Path:
    """By what was given; else beside the socket that workers use; else where the service has it."""
    from cachd.control.host_requests import SOCKET_NAME

    if socket_path is not None:
        return socket_path
    if run_dir is not None:
        return run_dir / SOCKET_NAME
    if data is not None:
        return data / "run" / SOCKET_NAME
    workers = os.environ.get("CACHD_SOCKET")
    return (Path(workers).parent if workers else _RUN_DEFAULT) / SOCKET_NAME


def roll_back_here(
    path: Path, ref: StageRef, *, reason: str, undo: bool, as_json: bool | None
) -> None:
    """Ask, wait until the workers have switched, and say what came of it."""
    import msgspec

    from cachd.control.host_client import HostClient
    from cachd.control.host_requests import ROLLBACK, UNDO, HostRequest

    with HostClient(path) as host:
        before = host.ask(HostRequest(UNDO if undo else ROLLBACK, ref, reason))
        report = _switched(host, ref, before)
    if as_json:
        emit_json(msgspec.to_builtins(report))
    else:
        emit_line(f"{ref}: {_said(report)}")


def _switched(host: HostClient, ref: StageRef, report: StageReport) -> StageReport:
    """The stage once all workers answer by the choice, or after as long as one would wait."""
    from cachd.control.host_requests import LOOK, HostRequest

    deadline = time.monotonic() + _SWITCH_S_MAX
    while not _is_done(report) and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
        report = host.ask(HostRequest(LOOK, ref))
    return report


def _is_done(report: StageReport) -> bool:
    in_force = report.state in ("serving", "diverged")
    # Without a flip in this daemon's life there is no time to tell.
    return in_force and (
        not report.workers or report.switch_ms is not None or not report.flipped_ns
    )


def _said(report: StageReport) -> str:
    serves = report.observed
    number = f"version {serves.number} ({serves.generation}.{serves.choice})" if serves else "none"
    said = f"this host serves {number}, state {report.state}, flip {report.flip}"
    if report.switch_ms is not None:
        said += f"; {report.workers} workers switched within {report.switch_ms:.1f} ms"
    elif report.workers:
        said += f"; not all of {report.workers} workers have switched yet"
    return said + (f"; {report.detail}" if report.detail else "")
