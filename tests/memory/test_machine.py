"""What there is of memory: this machine's, and what control groups of either kind leave of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cachd.memory.budget import budget_bytes, parse_budget
from cachd.memory.machine import Memory, look
from registry_core.errors import InvalidInput

GIB = 1 << 30
MEMINFO = "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\nSwapTotal: 0 kB\n"


def proc(folder: Path, cgroup: str, mountinfo: str, meminfo: str = MEMINFO) -> Path:
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/meminfo").write_text(meminfo)
    (folder / "proc/self/cgroup").write_text(cgroup)
    (folder / "proc/self/mountinfo").write_text(mountinfo)
    return folder / "proc"


def group(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def test_this_machine() -> None:
    found = look()
    total = int(Path("/proc/meminfo").read_text(encoding="ascii").split()[1]) * 1024
    assert 0 < found.available <= found.total <= total


def test_without_groups(tmp_path: Path) -> None:
    assert look(proc(tmp_path, "", "")) == Memory(16 * GIB, 8 * GIB, swap=False)
    swaps = proc(tmp_path / "s", "", "", MEMINFO.replace("SwapTotal: 0", "SwapTotal: 4096"))
    assert look(swaps).swap


def test_the_tightest_group_above_this_process_counts(tmp_path: Path) -> None:
    """Version 2."""
    root = tmp_path / "cg"
    mount = f"30 1 0:26 / {root} rw - cgroup2 cgroup2 rw\n"
    group(root / "a/b", memory__max="max", memory__high=4 * GIB, memory__current=3 * GIB,
          memory__stat=f"anon 5\ninactive_file {GIB}\nactive_file 0")  # fmt: skip
    group(root / "a", memory__max=6 * GIB, memory__current=GIB, memory__stat="inactive_file 0")
    group(root)
    found = look(proc(tmp_path, "0::/a/b\n", mount))
    assert (found.total, found.available) == (4 * GIB, 2 * GIB)
    above = look(proc(tmp_path / "2", "0::/a\n", mount))
    assert (above.total, above.available) == (6 * GIB, 5 * GIB)


def test_version_1_and_a_group_that_is_not_visible(tmp_path: Path) -> None:
    root = tmp_path / "cg"
    mount = f"31 1 0:27 /docker/1234 {root} rw - cgroup cgroup rw,memory\n"
    group(root, memory__limit_in_bytes=2 * GIB, memory__usage_in_bytes=GIB,
          memory__stat=f"total_inactive_file {GIB // 2}\ntotal_active_file 0")  # fmt: skip
    cgroup = "5:cpu,memory:/docker/1234\n0::/\n"
    mount = mount.replace("rw,memory", "rw,cpu,memory")
    found = look(proc(tmp_path, cgroup, mount))
    assert (found.total, found.available) == (2 * GIB, 3 * GIB // 2)
    group(root, memory__limit_in_bytes=9223372036854771712)
    assert look(proc(tmp_path / "2", cgroup, mount)).total == 16 * GIB


def test_a_budget_is_a_size_or_a_share_of_what_there_is() -> None:
    memory = Memory(10 * GIB, 5 * GIB, swap=False)
    assert budget_bytes(parse_budget("80%"), memory) == 8 * GIB
    assert budget_bytes(parse_budget("4GiB"), memory) == 4 * GIB
    assert budget_bytes(parse_budget("40GiB"), memory) == 10 * GIB, "never more than there is"
    for text in ("", "0", "-1GiB", "120%", "lots"):
        with pytest.raises(InvalidInput, match="memory budget: write for example 48GiB"):
            parse_budget(text)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a control group")
def test_a_real_control_group() -> None:
    made = next((p for p in (_V1, _V2) if (p / "cgroup.procs").exists()), None)
    if made is None or (made == _V2 and "memory" not in _text(_V2 / "cgroup.subtree_control")):
        pytest.skip("no memory controller is mounted here")
    folder = made / f"cachd-test-{os.getpid()}"
    folder.mkdir()
    limit = "memory.limit_in_bytes" if made == _V1 else "memory.max"
    try:
        (folder / limit).write_text(str(256 << 20))
        program = (
            f"open('{folder}/cgroup.procs', 'w').write('0')\n"
            "from cachd.memory.machine import look\n"
            "found = look()\nprint(found.total, found.available)"
        )
        ran = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip
    finally:
        folder.rmdir()
    total, available = map(int, ran.stdout.split())
    assert total == 256 << 20
    assert 0 < available < total


_V1, _V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.exists() else ""
