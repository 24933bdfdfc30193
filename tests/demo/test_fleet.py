"""Processes: failures are told with what the process last said, and nothing is left running."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import registry_core
from cachctl.demo.fleet import DemoFailed, Fleet
from tests.demo.rig import processes_of, until


def test_leaving_stops_everything(tmp_path: Path) -> None:
    registry_core.init(tmp_path / "registry").close()
    with Fleet(tmp_path) as fleet:
        words = ["authority", "--home", str(tmp_path / "registry"), "--listen", "127.0.0.1:0"]
        fleet.start_daemon("authority", *words)
        assert len(processes_of(tmp_path)) == 1
        assert fleet.ended() == []
    assert processes_of(tmp_path) == []


def test_a_daemon_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    with (
        Fleet(tmp_path) as fleet,
        pytest.raises(DemoFailed, match=r"authority ended before.*last said:\n.*no-such-home"),
    ):
        fleet.start_daemon("authority", "authority", "--home", str(tmp_path / "no-such-home"))


def test_a_process_that_ends_by_itself_is_found(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        fleet.start_program("worker", "-c", "raise SystemExit('out of order')", env={})
        with pytest.raises(DemoFailed, match=r"the process ended; worker last said:\nout of order"):
            fleet.wait(lambda: False, "worker answers", "worker")
        assert len(fleet.ended()) == 1
        assert "worker ended by itself (exit status 1)" in fleet.ended()[0]


def test_a_killed_process_did_not_end_by_itself(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        fleet.start_program("worker", "-c", "import time; time.sleep(60)", f"{tmp_path}/", env={})
        until(lambda: len(processes_of(tmp_path)) == 1, "the process runs")
        fleet.kill("worker")
        assert processes_of(tmp_path) == []
        assert fleet.ended() == []


def test_waiting_has_a_deadline(tmp_path: Path) -> None:
    began = time.monotonic()
    with (
        Fleet(tmp_path) as fleet,
        pytest.raises(DemoFailed, match="waiting until all is well: not within 0 s"),
    ):
        fleet.wait(lambda: False, "all is well", "nobody", within_s=0.1)
    assert time.monotonic() - began < 5
