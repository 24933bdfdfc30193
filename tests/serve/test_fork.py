from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from cachd.serve.client import Attached, ForkedAfterAttach, attach
from cachd.serve.resident import ResidentVersion
from tests.serve.rig import MODEL, HostThread, target, until

Versions = list[ResidentVersion]


def number_of(version: Any) -> int:
    return int(version.number)


def serve_in_child(socket: str, pipe: Connection) -> None:
    with attach(MODEL, load=number_of, socket=socket, timeout_s=20) as model:
        pipe.send(model.acquire().value)
        pipe.recv()
        pipe.send(model.acquire().value)
        pipe.recv()


def acquire_in_child(model: Attached[int], pipe: Connection) -> None:
    try:
        pipe.send(model.acquire().value)
    except ForkedAfterAttach as error:
        pipe.send(str(error))
    pipe.recv()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_attach_in_the_worker(
    host: HostThread, versions: Versions, runtime_dir: Path, method: str
) -> None:
    host.set_target(target(1, 0, versions[1]))
    context: Any = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    child = context.Process(target=serve_in_child, args=(str(runtime_dir / "cachd.sock"), theirs))
    child.start()
    try:
        assert ours.poll(20)
        assert ours.recv() == 1
        host.set_target(target(2, 0, versions[2], versions[1]))
        host.await_flip(2)
        ours.send("again")
        assert ours.poll(20)
        assert ours.recv() == 2
        ours.send("end")
        child.join(20)
        assert child.exitcode == 0
    finally:
        child.kill()


def test_a_fork_of_an_attached_process_is_told_so(
    host: HostThread, versions: Versions, attached: Callable[..., Attached[int]]
) -> None:
    host.set_target(target(1, 0, versions[1]))
    model = attached(number_of)
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=acquire_in_child, args=(model, theirs))
    child.start()
    try:
        assert ours.poll(20)
        assert "attach in the worker, after the fork" in ours.recv()
        assert model.acquire().value == 1  # the parent's own
        # The child lives on with a copy of every descriptor, and yet the lease ends here.
        model.close()
        until(lambda: host.observed().workers == 0, "the end of the lease")
        assert child.is_alive()
    finally:
        child.kill()
        child.join()
    assert os.getpid() != child.pid
