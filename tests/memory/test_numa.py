"""Pages spread over the nodes of a machine: the decision, and the call on whatever this one is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from cachd.memory.numa import (
    interleave_this_thread,
    interleaved,
    memory_nodes,
    set_interleave,
)


def in_a_thread(act: Callable[[], object]) -> object:
    """The policy of a thread ends with it."""
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(act()))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize(
    ("text", "nodes"), [("0\n", (0,)), ("0-63\n", (0,)), ("", ()), ("x", ()), ("1\n", ())]
)
def test_nodes_with_memory_that_this_process_may_use(
    tmp_path: Path, text: str, nodes: tuple[int, ...]
) -> None:
    if set(memory_nodes()) - {0}:
        pytest.skip("this machine has several nodes: their numbers are its own")
    (tmp_path / "has_memory").write_text(text)
    assert memory_nodes(tmp_path) == nodes
    assert memory_nodes(tmp_path / "none") == ()


def test_one_node_is_left_alone() -> None:
    assert in_a_thread(lambda: (interleave_this_thread((0,)), interleaved())) == (False, ())
    assert in_a_thread(lambda: interleave_this_thread(())) is False


def test_the_kernel_takes_the_policy_and_threads_inherit_it() -> None:
    nodes = memory_nodes()
    if not nodes:
        pytest.skip("this kernel knows no NUMA")

    def act() -> object:
        return set_interleave(nodes), interleaved(), in_a_thread(interleaved)

    assert in_a_thread(act) == (True, nodes, nodes)
    assert interleaved() == (), "this thread was left as it was"


def test_nodes_that_are_not_there_are_refused_without_harm() -> None:
    assert in_a_thread(lambda: set_interleave((900,))) is False
    assert in_a_thread(lambda: set_interleave((5000,))) is False
