"""What a broken or hostile process can do to a host, and a broken runtime directory to both."""

from __future__ import annotations

import gc
import json
import os
import random
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cachd.serve.client import Attached, Incompatible, InvalidArgument, attach
from cachd.serve.host_errors import HostError, RuntimeDirUnusable, SlotsExhausted, TableDamaged
from cachd.serve.limits import SEND_QUEUE_FRAMES_MAX
from cachd.serve.resident import ResidentVersion
from cachd.serve.wire import FrameReader, close_all, encode_frame, send_frame
from tests.serve.rig import MODEL, STAGE, HostThread, target, until

Versions = list[ResidentVersion]
Attach = Callable[..., Attached[Any]]
ATTACH = {
    "op": "attach",
    "protocol": 1,
    "model": MODEL,
    "stage": STAGE,
    "pid": 1,
    "client": "raw",
    "held": [],
}


class RawWorker:
    """Speaks the protocol by hand."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(20)
        self.sock.connect(str(path))
        self.reader = FrameReader(accepts_fds=True)
        self._ready: list[dict[str, Any]] = []

    def send(self, message: dict[str, Any]) -> None:
        send_frame(self.sock, message)

    def next(self) -> dict[str, Any] | None:
        """The next message; None at the end of the stream."""
        while not self._ready:
            try:
                alive = self.reader.receive(self.sock)
            except ConnectionResetError:
                return None
            if not alive:
                return None
            for message, fds in self.reader.frames():
                close_all(fds)
                self._ready.append(message)
        return self._ready.pop(0)

    def close(self) -> None:
        self.reader.close()
        self.sock.close()


@pytest.fixture
def raw(runtime_dir: Path) -> Iterator[Callable[[], RawWorker]]:
    made: list[RawWorker] = []

    def make() -> RawWorker:
        made.append(RawWorker(runtime_dir / "cachd.sock"))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 100,
        b"\0\0\0\2{]",
        encode_frame({"op": "ready", "handle": 1}),  # before attach
        encode_frame(ATTACH | {"model": "../../etc"}),
        encode_frame(ATTACH | {"held": [{"handle": -1, "digest": "x"}]}),
        encode_frame(ATTACH) * 2,
        encode_frame(ATTACH) + encode_frame({"op": "ready", "handle": "1"}),
    ],
)
def test_garbage_ends_its_own_connection_only(
    host: HostThread,
    versions: Versions,
    attached: Attach,
    raw: Callable[[], RawWorker],
    data: bytes,
) -> None:
    host.set_target(target(1, 0, versions[1]))
    model = attached()
    hostile = raw()
    hostile.sock.sendall(data)
    while hostile.next() is not None:
        pass
    until(lambda: host.observed().workers == 1, "the good worker alone")
    host.set_target(target(2, 0, versions[2], versions[1]))
    until(lambda: model.acquire().number == 2, "the flip")


def test_random_bytes(host: HostThread, raw: Callable[[], RawWorker]) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    frames = [encode_frame(ATTACH), encode_frame({"op": "switched", "flip": 1, "handle": 1})]
    for _ in range(200):
        data = bytearray(b"".join(rng.choices(frames, k=3)))
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        hostile = raw()
        hostile.sock.sendall(data)
        hostile.close()
    until(lambda: host.call(lambda one: len(one._connections)) == 0, "the end of all")
    assert host.observed().workers == 0


def test_strangers_to_come_and_unknown_ops_are_met_kindly(
    host: HostThread, raw: Callable[[], RawWorker]
) -> None:
    worker = raw()
    worker.send({"op": "sing"})
    worker.send(ATTACH)
    worker.send({"op": "dance", "handle": []})
    answer = worker.next()
    assert answer is not None
    assert (answer["op"], answer["slots"]) == ("attached", 8)
    late = raw()
    late.send(ATTACH | {"protocol": 2, "held": "whatever protocol 2 says here"})
    answer = late.next()
    assert answer is not None
    assert (answer["op"], answer["code"]) == ("error", "protocol")
    assert late.next() is None


def test_a_connection_that_says_nothing_is_closed(
    host: HostThread, raw: Callable[[], RawWorker]
) -> None:
    silent, talking = raw(), raw()
    talking.send(ATTACH)
    until(lambda: host.observed().workers == 1, "attached")
    host.pass_time(11)
    assert silent.next() is None
    assert host.observed().workers == 1


def test_a_worker_that_does_not_read_loses_its_lease(
    host: HostThread, versions: Versions, raw: Callable[[], RawWorker]
) -> None:
    files = {f"file-{index:04}": 1 for index in range(1_000)}
    both = [ResidentVersion(v.number, v.digest, v.path, files) for v in (versions[1], versions[2])]
    host.set_target(target(1, 0, both[0]))
    deaf = raw()
    deaf.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.send(ATTACH)
    until(lambda: host.observed().workers == 1, "attached")
    for flip in range(2, 2_000 + SEND_QUEUE_FRAMES_MAX):
        host.set_target(target(flip, 0, both[flip % 2], both[1 - flip % 2]))
        if host.observed().workers == 0:
            break
    assert host.observed().workers == 0
    # Its leases are over: what no choice reaches is free at once.
    host.set_target(target(9_999, 0, versions[3], both[0]))
    assert host.leased() == {versions[3].digest, versions[1].digest}


def test_a_worker_that_reads_late_gets_all_in_order(
    host: HostThread, versions: Versions, raw: Callable[[], RawWorker]
) -> None:
    files = {f"file-{index:04}": 1 for index in range(1_000)}
    late = raw()
    late.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    late.send(ATTACH)
    until(lambda: host.observed().workers == 1, "attached")
    for number in range(1, 13):  # 12 x 35 KB: more than the socket holds
        version = ResidentVersion(number, f"sha256:{number}", versions[1].path, files)
        host.set_target(target(number, 0, version))
    answer = late.next()
    assert answer is not None
    assert answer["op"] == "attached"
    heard = [message for _ in range(23) if (message := late.next())]
    prepared = [one["version"]["number"] for one in heard if one["op"] == "prepare"]
    retired = [one["handle"] for one in heard if one["op"] == "retire"]
    # The first was put in force at once, and is kept; the others replaced each other.
    assert (prepared, retired) == (list(range(1, 13)), list(range(2, 12)))
    assert host.observed().workers == 1


def test_descriptors_of_workers_are_never_taken(
    host: HostThread, raw: Callable[[], RawWorker]
) -> None:
    worker = raw()
    worker.send(ATTACH)
    assert worker.next() is not None
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(50):
        socket.send_fds(worker.sock, [encode_frame({"op": "gift"})], [0, 0, 0])
    worker.send({"op": "released", "handle": 5})
    until(lambda: host.call(lambda one: len(one._connections)) == 1, "still there")
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_slots_are_bounded_and_idle_ones_reused(
    host: HostThread, versions: Versions, raw: Callable[[], RawWorker]
) -> None:
    for index in range(20):  # names that nobody serves
        worker = raw()
        worker.send(ATTACH | {"model": f"guess-{index}"})
        assert worker.next() is not None
        worker.close()
        until(lambda: host.call(lambda one: len(one._connections)) == 0, "gone")
    for index in range(8):
        host.set_target(target(1, 0, versions[1], model=f"model-{index}"))
    with pytest.raises(SlotsExhausted, match="configure more"):
        host.set_target(target(1, 0, versions[1], model="one-too-many"))
    refused = raw()
    refused.send(ATTACH | {"model": "another"})
    answer = refused.next()
    assert answer is not None
    assert (answer["op"], answer["again"]) == ("error", True)


def test_connections_come_and_go_without_a_leak(
    host: HostThread, versions: Versions, raw: Callable[[], RawWorker]
) -> None:
    host.set_target(target(1, 0, versions[1]))
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(50):
        worker = raw()
        worker.send(ATTACH)
        answer = worker.next()
        assert answer is not None
        worker.close()
    until(lambda: host.observed().workers == 0, "gone")
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_a_client_meets_a_daemon_of_another_release(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()

        def refuse() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(65536)
                message = {"op": "error", "code": "protocol", "message": "install release 9"}
                send_frame(sock, {**message, "again": False})

        thread = threading.Thread(target=refuse)
        thread.start()
        with pytest.raises(Incompatible, match="install release 9"):
            attach(MODEL, load=id, socket=str(path), timeout_s=20)
        thread.join()


@pytest.mark.parametrize("model", ["", "A", "../x", "a/b", "x" * 129])
def test_names_are_checked_before_anything_starts(model: str) -> None:
    with pytest.raises(InvalidArgument, match="beginning and ending"):
        attach(model, load=id)
    with pytest.raises(InvalidArgument, match="shorter runtime directory"):
        attach("m", load=id, socket="/" + "x" * 200)


def test_a_table_that_is_damaged_is_told(
    start_host: Callable[..., HostThread], versions: Versions, runtime_dir: Path
) -> None:
    host = start_host()
    host.set_target(target(1, 0, versions[1]))
    host.stop()
    (table,) = runtime_dir.glob("host.*.json")
    whole = json.loads(table.read_text())
    assert table.name == f"host.{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}.json"
    slot, handle = whole["slots"][0], whole["handles"][0]
    for damaged in (
        "",
        "{",
        "[]",
        json.dumps(whole | {"format": 3}),
        json.dumps(whole | {"next_handle": 1}),
        json.dumps(whole | {"slots": []}),
        json.dumps(whole | {"slots": [slot, slot]}),
        json.dumps(whole | {"handles": [handle | {"handle": "1"}]}),
        json.dumps(whole | {"handles": [handle | {"more": 1}]}),
    ):
        table.write_text(damaged)
        with pytest.raises(TableDamaged, match="remove it"):
            start_host()
    table.unlink()
    assert start_host().observed().state == "waiting"


def test_a_flip_that_cannot_be_recorded_does_not_happen(
    start_host: Callable[..., HostThread],
    versions: Versions,
    runtime_dir: Path,
    attached: Attach,
) -> None:
    host = start_host()
    host.set_target(target(1, 0, versions[1]))
    host.set_target(target(2, 0, versions[2], versions[1]))
    model = attached()
    (table,) = runtime_dir.glob("host.*.json")
    in_the_way = table.with_name(table.name + ".new")
    in_the_way.mkdir()
    host.set_target(target(2, 1, versions[1], versions[2]))
    seen = host.observed()
    assert (seen.state, seen.flip, seen.number) == ("blocked", 2, 2)
    assert seen.error is not None
    assert "nothing was flipped" in seen.error
    with pytest.raises(HostError, match="cannot write"):
        host.set_target(target(3, 0, versions[3], versions[1]))
    host.pass_time(601)  # nothing can be retired either
    assert model.acquire().number == 2
    in_the_way.rmdir()
    host.pass_time(1)
    seen = host.observed()
    assert (seen.state, seen.number, seen.error) == ("serving", 1, None)
    until(lambda: model.acquire().number == 1, "the worker has its own copy, too")
    host.pass_time(601)
    until(lambda: host.leased() == {versions[1].digest}, "2 is free")


def test_the_table_of_another_boot_is_not_read(
    start_host: Callable[..., HostThread], runtime_dir: Path
) -> None:
    runtime_dir.mkdir()
    other = runtime_dir / "host.1b4e28ba-2fa1-11d2-883f-0016d3cca427.json"
    other.write_text("cut off by a power loss")
    (runtime_dir / "page").write_bytes(b"")
    assert start_host().observed().state == "waiting"
    assert not other.exists()


def test_a_damaged_page_is_renewed_from_the_table(
    start_host: Callable[..., HostThread],
    versions: Versions,
    runtime_dir: Path,
    attached: Attach,
) -> None:
    host = start_host()
    host.set_target(target(1, 0, versions[1]))
    host.set_target(target(2, 0, versions[2], versions[1]))
    model = attached()
    host.stop()
    page = runtime_dir / "page"
    damaged = bytearray(page.read_bytes())
    damaged[64 + 32 : 64 + 96] = os.urandom(64)
    replaced = runtime_dir / "replaced"
    replaced.write_bytes(damaged)
    replaced.rename(page)
    host = start_host()
    assert host.observed().flip == 2
    host.await_flip(2)  # the worker came back and looks at the new page
    host.set_target(target(2, 1, versions[1], versions[2]))
    until(lambda: model.acquire().number == 1, "the rollback")
    assert model.acquire().flip == 3


def test_runtime_directories_that_cannot_be_used(
    start_host: Callable[..., HostThread], tmp_path: Path, runtime_dir: Path
) -> None:
    runtime_dir.write_text("a file")
    with pytest.raises(RuntimeDirUnusable, match="may write to"):
        start_host()
    with pytest.raises(RuntimeDirUnusable, match="shorter"):
        HostThread(tmp_path / ("x" * 120))
