from __future__ import annotations

import gc
import json
import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cachd.serve import from_daemon, from_worker
from cachd.serve.limits import FRAME_BYTES_MAX
from cachd.serve.wire import FrameReader, FrameTooLong, WireError, encode_frame, send_frame

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        yield ours, theirs


def count_fds() -> int:
    gc.collect()  # of earlier tests
    return len(list(Path("/proc/self/fd").iterdir()))


def read_all(reader: FrameReader, sock: socket.socket) -> None:
    while reader.receive(sock):
        list(reader.frames())


def test_golden_frame() -> None:
    ready = from_worker.Ready(7).message()
    assert encode_frame(ready) == b'\x00\x00\x00\x19{"op":"ready","handle":7}'
    assert encode_frame({"op": "x"}, fds=2) == b'\x00\x00\x00\x12{"op":"x","fds":2}'


def test_golden_messages() -> None:
    """What the two sides say; docs/FORMATS.md shows the same."""
    held = [from_worker.Held(3, "sha256:aa", True)]
    prepare = from_daemon.Prepare(
        4,
        flip_hint=9,
        generation=2,
        choice=0,
        number=12,
        digest="sha256:bb",
        path="/v",
        files={"a/b": 5},
        ready_within_s=60.0,
    )
    messages: list[Any] = [
        from_worker.Attach("minilm", "production", 42, "w.py", held, 1),
        from_worker.Failed(4, "OSError: no"),
        from_worker.Late(4, "load took longer than 60 s"),
        from_worker.Leaving(),
        from_worker.Switched(9, 4, 123),
        from_worker.Released(3),
        from_worker.Requests([from_worker.Answered(4, 3, 123456, {5: 10, 6: 2})]),
        from_daemon.Attached(0, 8, 5, 600.0, frozenset({3})),
        prepare,
        from_daemon.Retire(3),
        from_daemon.Flipped(9, 4),
        from_daemon.Waiting("needs 5.1 GB, 3.2 GB free"),
        from_daemon.Refused("protocol", "no", again=False),
    ]
    assert [json.dumps(message.message(), separators=(",", ":")) for message in messages] == [
        (
            '{"op":"attach","protocol":1,"model":"minilm","stage":"production","pid":42,'
            '"client":"w.py","held":[{"handle":3,"digest":"sha256:aa","ready":true}]}'
        ),
        '{"op":"failed","handle":4,"error":"OSError: no"}',
        '{"op":"late","handle":4,"error":"load took longer than 60 s"}',
        '{"op":"leaving"}',
        '{"op":"switched","flip":9,"handle":4,"ns":123}',
        '{"op":"released","handle":3}',
        (
            '{"op":"requests","versions":[{"handle":4,"failed":3,"us":123456,'
            '"buckets":[[5,10],[6,2]]}]}'
        ),
        '{"op":"attached","slot":0,"slots":8,"incarnation":5,"grace_s":600.0,"adopted":[3]}',
        (
            '{"op":"prepare","handle":4,"flip_hint":9,"generation":2,"choice":0,'
            '"ready_within_s":60.0,"version":'
            '{"number":12,"digest":"sha256:bb","path":"/v","files":[{"path":"a/b","size":5}]}}'
        ),
        '{"op":"retire","handle":3}',
        '{"op":"flipped","flip":9,"handle":4}',
        '{"op":"waiting","why":"needs 5.1 GB, 3.2 GB free"}',
        '{"op":"error","code":"protocol","message":"no","again":false}',
    ]
    for message in messages:
        module: Any = (
            from_worker if message.__class__.__module__.endswith("worker") else from_daemon
        )
        parsed = module.parse(message.message())
        assert parsed is not None
        assert parsed.message() == message.message()


def test_frames_and_descriptors_in_any_pieces(pair: Pair) -> None:
    ours, theirs = pair
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    reader = FrameReader(accepts_fds=True)
    got: list[tuple[int, list[int]]] = []
    expected = []
    before = count_fds()
    for number in range(300):
        fds = [os.memfd_create("x") for _ in range(rng.choice([0, 0, 1, 2, 4]))]
        for fd in fds:
            os.write(fd, str(number).encode())
        send_frame(ours, {"n": number, "pad": "x" * rng.randrange(3000)}, fds)
        expected.append((number, len(fds)))
        for fd in fds:
            os.close(fd)
        if rng.random() < 0.5 or number == 299:
            theirs.settimeout(0.01)
            while len(got) <= number:
                assert reader.receive(theirs)
                got += [(message["n"], claimed) for message, claimed in reader.frames()]
    assert [(number, len(fds)) for number, fds in got] == expected
    for number, fds in got:
        for fd in fds:
            assert os.pread(fd, 16, 0) == str(number).encode()
            assert not os.get_inheritable(fd)
            os.close(fd)
    assert count_fds() <= before


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00\x00\x00",
        b"\xff\xff\xff\xff",
        (FRAME_BYTES_MAX + 1).to_bytes(4, "big"),
        b"\x00\x00\x00\x02[]",
        b"\x00\x00\x00\x02{]",
        b'\x00\x00\x00\x04"\xff\xff"',
        b'\x00\x00\x00\x09{"fds":1}',
        b'\x00\x00\x00\x0a{"fds":-1}',
        b'\x00\x00\x00\x0c{"fds":true}',
        (60_000).to_bytes(4, "big") + b"[" * 60_000,
        (60_000).to_bytes(4, "big") + b"9" * 60_000,
    ],
)
def test_garbage_is_refused(pair: Pair, data: bytes) -> None:
    ours, theirs = pair
    ours.sendall(data)
    reader = FrameReader(accepts_fds=True)
    with pytest.raises(WireError):
        read_all(reader, theirs)


def test_surplus_descriptors_are_closed(pair: Pair) -> None:
    ours, theirs = pair
    before = count_fds()
    body = encode_frame({"op": "x"})
    for accepts in (True, False):
        reader = FrameReader(accepts_fds=accepts)
        socket.send_fds(ours, [body], [0, 1, 2])
        assert reader.receive(theirs)
        ((message, claimed),) = reader.frames()
        assert (message, claimed) == ({"op": "x"}, [])
        reader.close()
        assert count_fds() <= before
    reader = FrameReader(accepts_fds=True)
    socket.send_fds(ours, [body], [0] * 20)
    with pytest.raises(WireError, match="descriptors"):
        reader.receive(theirs)
    reader.close()
    assert count_fds() <= before


def test_a_frame_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(FrameTooLong):
        encode_frame({"x": "y" * FRAME_BYTES_MAX})


def test_lone_surrogates_travel() -> None:
    message = from_worker.Failed(1, "bad name \udc80").message()
    assert json.loads(encode_frame(message)[4:]) == message


@pytest.mark.parametrize(
    "message",
    [
        {"op": "ready"},
        {"op": "ready", "handle": 0},
        {"op": "ready", "handle": True},
        {"op": "ready", "handle": 1 << 24},
        {"op": "failed", "handle": 1, "error": "x" * 2001},
        {"op": "late", "handle": 1},
        {"op": "late", "handle": 1, "error": "x" * 2001},
        {"op": "switched", "flip": -1, "handle": 1, "ns": 1},
        {"op": "switched", "flip": 1.0, "handle": 1, "ns": 1},
        {"op": "attach", "model": "../x", "stage": "s", "pid": 1, "client": "", "protocol": 1},
        {"op": "attach", "model": "x", "stage": "s", "pid": 1, "client": "", "protocol": 1}
        | {"held": [{"handle": 1}]},
        {"op": "attach", "model": "x", "stage": "s", "pid": 1, "client": "", "protocol": 1}
        | {"held": [{}] * 300},
    ],
)
def test_malformed_messages_are_refused(message: dict[str, object]) -> None:
    with pytest.raises(WireError):
        from_worker.parse(message)


def test_unknown_ops_are_ignored() -> None:
    assert from_worker.parse({"op": "sing"}) is None
    assert from_daemon.parse({"op": ["ready"]}) is None
