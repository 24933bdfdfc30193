"""Slots by the speed of the link, and how that is found out."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from cachd.listen import Address
from cachd.node.bulk_options import bulk_path
from cachd.peer.link_speed import interface_of, link_speed
from cachd.peer.rate import Rate
from cachd.peer.upload_slots import slots_for


@pytest.mark.parametrize(
    ("speed", "slots"),
    [(None, 6), ("10mbit", 6), ("1gbit", 6), ("10gbit", 6), ("11gbit", 6), ("12gbit", 7),
     ("25gbit", 15), ("40gbit", 16), ("100gbit", 16), ("400gbit", 16)],
)  # fmt: skip
def test_slots_keep_their_share_of_the_link(speed: str | None, slots: int) -> None:
    assert slots_for(Rate.parse(speed) if speed else None) == slots


def test_the_interface_of_an_address_is_found() -> None:
    assert interface_of("127.0.0.1") == "lo"
    assert interface_of("192.0.2.1") is None  # TEST-NET-1, RFC 5737
    assert interface_of("2001:db8::1") is None  # RFC 3849
    names = {name for _, name in socket.if_nameindex()}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outward:
        try:
            outward.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this host has no route")
        own = outward.getsockname()[0]
    assert interface_of(own) in names


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="this kernel has no IPv6")
def test_ipv6_likewise() -> None:
    lines = Path("/proc/net/if_inet6").read_text().splitlines()
    if not any(line.split()[-1] == "lo" for line in lines):
        pytest.skip("loopback has no IPv6 here")
    assert interface_of("::1") == "lo"


@pytest.mark.parametrize(
    ("told", "speed"),
    [("25000\n", Rate.parse("25gbit")), ("-1\n", None), ("0\n", None), ("", None), (None, None)],
)
def test_speeds_are_as_the_kernel_writes_them(
    tmp_path: Path, told: str | None, speed: Rate | None
) -> None:
    (tmp_path / "lo").mkdir()
    if told is not None:
        (tmp_path / "lo" / "speed").write_text(told)
    assert link_speed("127.0.0.1", tmp_path) == speed


def test_loopback_has_no_speed() -> None:
    assert link_speed("127.0.0.1") is None


def slots(*, max_upload: str | None = None, upload_slots: int | None = None) -> int:
    return bulk_path(
        Address("127.0.0.1", 0), max_upload=max_upload, max_download=None,
        upload_slots=upload_slots, congestion_control="",
    ).upload_slots  # fmt: skip


def test_the_operator_has_the_last_word() -> None:
    assert slots() == 6
    assert slots(max_upload="25gbit") == 15
    assert slots(max_upload="800mbit") == 6
    assert slots(max_upload="25gbit", upload_slots=4) == 4
