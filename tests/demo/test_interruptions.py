"""Signals wait while a process is started."""

from __future__ import annotations

import signal
import threading

import pytest

from cachctl.demo.interruptions import ended_by_signals, uninterrupted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_comes_at_the_end(number: signal.Signals) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell has none
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
