"""SIGTERM ends every daemon soon, in any order, with exit code 0 and without a word of trouble."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.models import make_model
from tests.system.rig import Rig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]
STOP_S_MAX = 3.0
TROUBLE = ("Traceback", '"level": "error"')


@pytest.mark.parametrize("order", [("n1", "authority"), ("authority", "n1")], ids="-then-".join)
def test_a_daemon_that_is_told_to_stop_stops(
    rig: Rig, tmp_path: Path, order: tuple[str, str]
) -> None:
    with rig.connect() as registry:
        registry.push(make_model(tmp_path / "v1", tensors=1), "m")
        registry.promote("m@production", 1)
    rig.start_node("n1")
    rig.wait_serving("n1", 1)
    rig.start_worker("w1", "n1")
    rig.wait_worker("w1", 1, "1.0")
    for name in order:
        process = rig.fleet._processes[name]
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert time.monotonic() - began < STOP_S_MAX, f"{name} took long{rig.fleet.tail(name)}"
        log = (tmp_path / f"{name}.log").read_text(encoding="utf-8")
        assert not any(word in log for word in TROUBLE), log
    rig.assert_unharmed("w1")


def test_a_reader_of_the_log_that_goes_is_no_error(rig: Rig, tmp_path: Path) -> None:
    with rig.connect() as registry:
        registry.push(make_model(tmp_path / "v1", tensors=1), "m")
        registry.push(make_model(tmp_path / "v2", tensors=1, changed=0), "m")
        registry.promote("m@production", 1)
        rig.start_node("n1")
        rig.wait_serving("n1", 1)
        rig.fleet.kill("n1")
        registry.promote("m@production", 2)
        registry.rollback("m@production")
        registry.rollback("m@production")
        rig.start_node("n1")
        rig.wait_serving("n1", 2, "2.2")
    log = (tmp_path / "authority.log").read_text(encoding="utf-8")
    assert not any(word in log for word in TROUBLE), log
