"""Requests recorded in a version, replayed before it counts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cachd.serve.client import InvalidArgument, LoadFailed, Version
from cachd.serve.errors import WarmupFailed
from cachd.serve.resident import ResidentVersion
from cachd.serve.warmup import RecordedRequest, replay
from tests.serve.rig import HostThread, target, until

Attach = Callable[..., Any]
Versions = list[ResidentVersion]

FILES = {
    "warmup/b.bin": b"\x00\xff raw",
    "warmup/a.jsonl": b'{"x": 1}\n\n{"x": 2}\r\n\r\n{"x": 3}',  # no line end at the end
    "warmup/a/deep.json": b'{"x": 4}',
    "warmup/none.jsonl": b"",
    "warmup/zero.bin": b"",
    "warmup.txt": b"not below the folder",
    "other/warmup/c.json": b"neither",
}
RECORDED = [
    ("warmup/a.jsonl:1", b'{"x": 1}'),
    ("warmup/a.jsonl:3", b'{"x": 2}'),
    ("warmup/a.jsonl:5", b'{"x": 3}'),
    ("warmup/a/deep.json", b'{"x": 4}'),
    ("warmup/b.bin", b"\x00\xff raw"),
    ("warmup/zero.bin", b""),
]


def with_files(version: ResidentVersion, files: dict[str, bytes]) -> ResidentVersion:
    for name, data in files.items():
        path = Path(version.path) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    listed = version.files | {name: len(data) for name, data in files.items()}
    return ResidentVersion(version.number, version.digest, version.path, listed)


@pytest.mark.parametrize("listed", [True, False])
def test_they_come_in_order_and_are_not_copied(
    host: HostThread, versions: Versions, attached: Attach, listed: bool
) -> None:
    version = with_files(versions[1], FILES)
    if not listed:  # as when the list does not fit the message
        version = ResidentVersion(1, version.digest, version.path)
    found: list[RecordedRequest] = []
    maps: list[object] = []

    def warm(version: Version, value: int) -> None:
        found.extend(version.warmup())
        maps.append(version.buffer("warmup/a.jsonl").obj)

    host.set_target(target(1, 0, version))
    attached(warm=warm)
    assert [(one.name, bytes(one.data)) for one in found] == RECORDED
    assert all(one.data.readonly for one in found)
    assert [one.data.obj for one in found[:3]] == maps * 3
    assert found[0].json() == {"x": 1}
    assert repr(found[0]) == "request warmup/a.jsonl:1 (8 bytes)"


def test_replay_warms_what_load_made(
    host: HostThread, versions: Versions, attached: Attach
) -> None:
    requests = "".join(json.dumps({"amount": amount}) + "\n" for amount in range(200))
    calls: list[tuple[int, int]] = []
    warm = replay(lambda value, request: calls.append((value, request.json()["amount"])))
    host.set_target(target(1, 0, versions[1]))
    model = attached(warm=warm)
    assert calls == []  # this version has none
    new = with_files(versions[2], {"warmup/peak.jsonl": requests.encode()})
    host.set_target(target(2, 0, new, versions[1]))
    until(lambda: model.acquire().number == 2, "the flip")
    assert calls == [(2, amount) for amount in range(200)]


def test_a_request_that_fails_keeps_the_version_out_and_is_named(
    host: HostThread, versions: Versions, attached: Attach
) -> None:
    warm = replay(lambda _value, request: request.json()["amount"])
    host.set_target(target(1, 0, versions[1]))
    model = attached(warm=warm)
    new = with_files(versions[2], {"warmup/peak.jsonl": b'{"amount": 1}\n{"sum": 2}\n'})
    host.set_target(target(2, 0, new, versions[1]))
    seen = until(lambda: (o := host.observed()).state == "load-failed" and o, "the failure")
    assert "warmup/peak.jsonl:2: KeyError: 'amount'" in seen.error
    assert model.acquire().number == 1
    host.set_target(target(3, 0, with_files(versions[3], {"warmup/x": b"no JSON"}), versions[1]))
    until(lambda: "warmup/x: JSONDecodeError" in (host.observed().error or ""), "this one, too")


def test_of_a_first_version_attach_raises_it(
    host: HostThread, versions: Versions, attached: Attach
) -> None:
    host.set_target(target(1, 0, with_files(versions[1], {"warmup/x": b"1"})))
    with pytest.raises(LoadFailed, match="warmup/x: ZeroDivisionError") as caught:
        attached(warm=replay(lambda _value, _request: 1 / 0))
    assert isinstance(caught.value.__cause__, WarmupFailed)
    assert isinstance(caught.value.__cause__.__cause__, ZeroDivisionError)


def test_what_time_does_not_suffice_for_is_left_out(
    host: HostThread, versions: Versions, attached: Attach
) -> None:
    calls: list[str] = []
    end = replay(lambda _value, request: calls.append(request.name), within_s=1e-9)
    host.set_target(target(1, 0, with_files(versions[1], FILES)))
    assert attached(warm=end).acquire().number == 1
    assert calls == []
    for wrong in (0, -1, float("nan")):
        with pytest.raises(InvalidArgument, match="within_s"):
            replay(lambda _value, _request: None, within_s=wrong)
