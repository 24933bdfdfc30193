"""Signals wait while a process is started."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from cachctl.demo.interruptions import ended_by_signals, uninterrupted


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def number(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal that is not ignored, as it is under nohup and in background jobs of a shell."""
    before = signal.signal(request.param, signal.default_int_handler)
    yield request.param
    signal.signal(request.param, before)


def test_it_comes_at_the_end(number: signal.Signals) -> None:
    done = []

    def work() -> None:
        with uninterrupted():
            signal.raise_signal(number)
            signal.raise_signal(number)
            done.append("all of it")

    with ended_by_signals(), pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["all of it"]


def test_without_a_signal_nothing_changes() -> None:
    before = signal.getsignal(signal.SIGINT)
    with uninterrupted():
        pass
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_do_not_handle_signals() -> None:
    done = []

    def work() -> None:
        with uninterrupted():
            done.append("it")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == ["it"]
