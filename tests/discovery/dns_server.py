"""A small DNS server on loopback, UDP and TCP: it answers from the records that it was given."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from cachd.listen import Address

Spoil = Callable[[bytes], bytes | None]
_RECEIVE_S = 0.1


class DnsServer:
    """`records` is (name, type) -> (TTL in seconds, values); it may be changed at any time, as may
    `spoil`, which makes of an answer what is sent instead (None: nothing). `failing` names are
    answered with SERVFAIL. `asked` is what was asked for, in order."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], tuple[int, list[str]]] = {}
        self.additional: list[tuple[str, str]] = []
        self.spoil: Spoil = lambda answer: answer
        self.failing: set[str] = set()
        self.asked: list[tuple[str, str, str]] = []
        self._port = 0
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self.start()

    def __enter__(self) -> DnsServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self._port)

    def start(self) -> None:
        """On the same port again after the first time."""
        self._stopping.clear()
        udp, tcp = _same_port(self._port)
        self._port = udp.getsockname()[1]
        for one in (udp, tcp):
            one.settimeout(_RECEIVE_S)
        self._threads = [
            threading.Thread(target=self._serve_udp, args=(udp,)),
            threading.Thread(target=self._serve_tcp, args=(tcp,)),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def peers(self, name: str, targets: dict[str, tuple[str, int]], ttl: int = 60) -> None:
        """An SRV record for each target, and its address."""
        values = [f"0 0 {port} {target}" for target, (_, port) in targets.items()]
        self.records[name, "SRV"] = ttl, values
        for target, (host, _) in targets.items():
            self.records[target, "AAAA" if ":" in host else "A"] = ttl, [host]

    def _serve_udp(self, udp: socket.socket) -> None:
        with udp:
            while not self._stopping.is_set():
                with contextlib.suppress(TimeoutError):
                    data, client = udp.recvfrom(65_535)
                    answer = self._answer(data, "udp")
                    if answer is not None:
                        udp.sendto(answer, client)

    def _serve_tcp(self, tcp: socket.socket) -> None:
        with tcp:
            while not self._stopping.is_set():
                with contextlib.suppress(TimeoutError, OSError):
                    accepted, _ = tcp.accept()
                    with accepted, accepted.makefile("rb") as stream:
                        accepted.settimeout(2)
                        (length,) = struct.unpack(">H", stream.read(2))
                        answer = self._answer(stream.read(length), "tcp")
                        if answer is not None:
                            accepted.sendall(struct.pack(">H", len(answer)) + answer)

    def _answer(self, data: bytes, transport: str) -> bytes | None:
        query = dns.message.from_wire(data)
        (question,) = query.question
        name, kind = str(question.name).lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind, transport))
        response = dns.message.make_response(query)
        if name in self.failing:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif (name, kind) in self.records:
            response.answer.append(self._rrset(name, kind))
            response.additional.extend(self._rrset(*key) for key in self.additional)
        elif not any(known == name for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return self.spoil(_fitting(response, transport, query.payload))

    def _rrset(self, name: str, kind: str) -> dns.rrset.RRset:
        ttl, values = self.records[name, kind]
        return dns.rrset.from_text_list(name, ttl, "IN", kind, values)


def _same_port(port: int) -> tuple[socket.socket, socket.socket]:
    """For UDP and for TCP; 0: any that is free for both."""
    while True:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            udp.bind(("127.0.0.1", port))
            tcp.bind(udp.getsockname())
        except OSError:
            udp.close()
            tcp.close()
            if port:
                raise
        else:
            tcp.listen()
            return udp, tcp


def _fitting(response: dns.message.Message, transport: str, payload: int) -> bytes:
    wire = response.to_wire(max_size=65_535)
    if transport == "tcp" or len(wire) <= max(payload, 512):
        return wire
    response.flags |= dns.flags.TC
    response.answer.clear()
    response.additional.clear()
    return response.to_wire()
