"""Bulk threads stand back, and never need privileges for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cachd.cache.niceness import BULK_NICENESS

# As a user without privileges, who may only stand back further.
PROGRAM = """
import os, sys, threading
from cachd.cache.niceness import yield_to_others
if os.getuid() == 0:
    os.setuid(65534)
os.nice(int(sys.argv[1]))
def work():
    yield_to_others()
    print(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()), flush=True)
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
"""


@pytest.mark.parametrize(("began", "becomes"), [(0, BULK_NICENESS), (15, 15)])
def test_a_thread_stands_back_at_least_so_far_and_alone(began: int, becomes: int) -> None:
    command = [sys.executable, "-c", PROGRAM, str(began)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == [str(becomes), str(began)]
