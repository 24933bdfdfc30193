"""A node brings versions slowly while workers answer requests, and only then: real processes."""

from __future__ import annotations

import random
import threading
import time

import pytest

from cachd.serve.client import Attached, attach
from tests.system.rig import Rig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
SIZE = 48 << 20
SHARE = 0.02


def test_a_version_that_comes_beside_requests_takes_many_times_as_long(rig: Rig) -> None:
    """The first one does not, though a worker waits for it: nobody is to be spared."""
    with rig.connect() as registry:
        for number in (1, 2):
            folder = rig.folder / f"v{number}"
            folder.mkdir()
            (folder / "weights.bin").write_bytes(random.Random(number).randbytes(SIZE))
            registry.push(folder, "m")
        said = rig.start_node("n1", "--bulk-share", f"{SHARE:.0%}", "--ready-timeout-s", "60")
        attached: list[Attached[str]] = []

        def work() -> None:
            attached.append(
                attach("m", stage="production", load=lambda version: version.digest,
                       socket=said["socket"], timeout_s=60)
            )  # fmt: skip

        worker = threading.Thread(target=work)
        worker.start()
        took_s = []
        for number in (1, 2):
            began_s = time.monotonic()
            registry.promote("m@production", number)
            rig.wait_serving("n1", number)
            took_s.append(time.monotonic() - began_s)
            worker.join(60)
        print(f"{took_s[0]:.2f} s without requests beside it, {took_s[1]:.2f} s with")
        assert took_s[1] > 2 * took_s[0]
        attached[0].close()
