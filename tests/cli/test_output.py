"""What people and programs get to read: plain text whatever is in the log, one JSON object, bars
on a terminal only."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cachctl.output import printable, size_text
from tests.cli.cachctl import cachctl, environment
from tests.models import make_model


@pytest.fixture
def pushed(home: Path, tmp_path: Path) -> Path:
    """Pushed by somebody who writes what others must not be harmed by."""
    folder = make_model(tmp_path / "v1")
    done = cachctl(
        "push", folder, "--model", "m", "--tag", "a=[/b]", "--notes", "one\ntwo\x1b[31m",
        "--reason", "[/red]\x1b[2Jgone\nnext", "--actor", "me [bold]", registry=home,
    )  # fmt: skip
    assert done.code == 0, done.err
    return home


def test_what_is_in_the_log_is_shown_as_text(pushed: Path) -> None:
    history = cachctl("history", "m", registry=pushed)
    assert (history.code, history.err) == (0, "")
    first = history.out.splitlines()[1]
    assert "me [bold]" in first
    assert r"[/red]\x1b[2Jgone\nnext" in first
    assert "a=[/b]" in cachctl("show", "m", registry=pushed).out
    shown = cachctl("show", "m/1", registry=pushed)
    assert "one\ntwo\\x1b[31m\n" in shown.out
    assert "\x1b" not in shown.out
    entry = cachctl("history", "m", "--json", registry=pushed).json["entries"][0]
    assert entry["reason"] == "[/red]\x1b[2Jgone\nnext", "JSON escapes by itself"


def test_a_pipe_gets_each_row_on_one_line(pushed: Path) -> None:
    lines = cachctl("show", "m", registry=pushed).out.splitlines()
    (row,) = (line for line in lines if line.startswith("1 "))
    assert "sha256:" in row
    assert all(line == line.rstrip() for line in lines)


def test_a_move_says_from_where_to_where(pushed: Path, tmp_path: Path) -> None:
    cachctl("push", make_model(tmp_path / "v2", changed=2), "--model", "m", registry=pushed)
    first = cachctl("promote", "m@production", 1, registry=pushed)
    assert first.out == "m@production: 1 (now 1.0)\n"
    assert cachctl("promote", "m@production", 2, registry=pushed).out == (
        "m@production: 1 -> 2 (now 2.0)\n"
    )
    back = cachctl("rollback", "m@production", "--json", registry=pushed).json
    assert (back["replaced"], back["in_force"]["number"], back["guard"]) == (2, 1, "2.1")
    stale = cachctl("promote", "m@production", 1, "--expect", "2.0", "--json", registry=pushed)
    assert stale.code == 5
    error = stale.json["error"]
    assert (error["code"], error["expected"], error["actual"]) == ("stale", "2.0", "2.1")
    assert error["stage"]["guard"] == "2.1"
    assert error["stage"]["in_force"]["number"] == 1


def test_options_stand_before_or_after_the_command(pushed: Path) -> None:
    before = cachctl("--registry", pushed, "--json", "resolve", "m/1")
    after = cachctl("resolve", "m/1", "--json", "--registry", pushed)
    assert before.json == after.json
    assert cachctl("--registry", "http://127.0.0.1:9", "list", "--registry", pushed).code == 0


def test_an_output_that_takes_nothing(pushed: Path) -> None:
    for words in (["list"], ["list", "--json"], ["show", "m/1"]):
        with Path("/dev/full").open("wb") as full:
            failed = cachctl(*words, registry=pushed, stdout=full)
        assert failed.code == 1
        assert failed.err.startswith("cachctl: standard output cannot be written"), failed.err
        assert len(failed.err.splitlines()) == 1


def _interruptible() -> None:
    """Shells start background jobs with SIGINT ignored, which is handed down to their children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_interrupted(pushed: Path) -> None:
    watching = subprocess.Popen(
        [sys.executable, "-m", "cachctl", "status", "m", "--watch", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(pushed),
        preexec_fn=_interruptible,  # noqa: PLW1509  # no thread is there yet
    )  # fmt: skip
    assert watching.stdout is not None
    assert json.loads(watching.stdout.readline())["model"] == "m"
    watching.send_signal(signal.SIGINT)
    out, err = watching.communicate(timeout=10)
    assert watching.returncode == 130
    assert err.strip() == "cachctl: interrupted"
    assert json.loads(out.splitlines()[-1])["error"]["code"] == "interrupted"


def on_a_terminal(*words: str | Path, registry: Path) -> str:
    """What the command draws on standard error, which is a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "cachctl", *map(str, words)],
        stdout=subprocess.DEVNULL, stderr=theirs,
        env=environment(registry) | {"TERM": "xterm", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(theirs)
    drawn, deadline = b"", time.monotonic() + 30
    while time.monotonic() < deadline and select.select([ours], [], [], 30)[0]:
        try:
            drawn += os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    assert process.wait(10) == 0, drawn
    return drawn.decode()


def test_bars_are_for_terminals(pushed: Path) -> None:
    drawn = on_a_terminal("verify", "--deep", registry=pushed)
    assert "log entries" in drawn
    assert re.search(r"\b[0-6] of 6\b", drawn), "entries are counted, not measured in bytes"
    assert "6.3 MB of 6.3 MB" in drawn
    assert on_a_terminal("verify", "--deep", "--json", registry=pushed) == ""
    assert cachctl("verify", "--deep", registry=pushed).err == ""


def test_texts() -> None:
    assert [size_text(n) for n in (0, 999, 1000, 312_000_000, 5_100_000_000)] == [
        "0 B", "999 B", "1.0 kB", "312.0 MB", "5.1 GB",
    ]  # fmt: skip
    assert printable("naïve — ok") == "naïve — ok"
    assert printable("a\x1b\u202eb\x00\ud800") == r"a\x1b\u202eb\x00\ud800"
