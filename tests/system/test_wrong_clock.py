"""Hosts whose clocks are days off: they fetch, give to each other, flip and restart as any other.

libfaketime shifts the wall clock of a node's process (Debian: faketime), not the monotonic one.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models import make_model
from tests.system.rig import Rig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


def shifted(days: int) -> dict[str, str]:
    return {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME": f"{days:+d}d",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


@pytest.mark.skipif(not LIBRARY.exists(), reason="needs libfaketime (Debian: faketime)")
@pytest.mark.parametrize("days", [-400, 400])
def test_a_node_with_a_wrong_clock_is_a_node_like_others(
    tmp_path: Path, rig: Rig, days: int
) -> None:
    with rig.connect() as registry:
        registry.push(make_model(tmp_path / "v1"), "m")
        registry.push(make_model(tmp_path / "v2", changed=2), "m")
        registry.promote("m@production", 1)
    rig.start_node("wrong", env=shifted(days))
    rig.wait_serving("wrong", 1)
    rig.start_node("right")
    assert rig.wait_serving("right", 1)["bytes_from_peers"] > 0, "it gives to others"
    rig.start_worker("w", "wrong")
    with rig.connect() as registry:
        registry.promote("m@production", 2)
    rig.wait_worker("w", 2, "2.0")
    rig.fleet.kill("wrong")
    rig.start_node("wrong", env=shifted(-days))
    rig.wait_serving("wrong", 2)
    with rig.connect() as registry:
        registry.rollback("m@production")
    rig.wait_worker("w", 1, "2.1")
    rig.assert_unharmed("w")
