"""A cachd peer that says it has all of a version, and gives noise, as a program of the bench:
`python -m bench.swarm.corrupt_node CONFIG`."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
from typing import Any

from bench.swarm.parts import say
from cachd.fetch.documents import fetch_documents
from cachd.peer import protocol
from cachd.peer.protocol import Follow, GetChunk, Status
from registry_core.domain.identifiers import Digest
from registry_core.domain.manifest import Manifest
from registry_core.origin.store import Origin


def main(config: dict[str, Any]) -> None:
    origin = Origin.open(config["origin"], {"allow_http": "true"})
    digest = Digest.parse(config["digest"])
    documents = fetch_documents(digest, bytes.fromhex(config["bundle"]), [], origin)
    chunks = len(Manifest.parse(documents.manifest).unique_chunks)
    held = ((1 << chunks) - 1).to_bytes((chunks + 7) // 8, "little")
    listener = socket.create_server((config["host"], config["port"]), backlog=128)
    threading.Thread(target=_accept, args=(listener, held), daemon=True).start()
    say({"ready": True})
    sys.stdin.read()


def _accept(listener: socket.socket, held: bytes) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_serve, args=(connection, held), daemon=True).start()


def _serve(connection: socket.socket, held: bytes) -> None:
    with contextlib.suppress(OSError, protocol.Malformed), connection:
        connection.sendall(protocol.encode_hello(1))
        connection.recv(protocol.HELLO_BYTES, socket.MSG_WAITALL)
        while head := connection.recv(protocol.HEADER_BYTES, socket.MSG_WAITALL):
            kind, length = protocol.decode_request_header(head)
            payload = connection.recv(length, socket.MSG_WAITALL) if length else b""
            match protocol.decode_request(kind, payload):
                case Follow():
                    maps = held + bytes(len(held))
                    connection.sendall(
                        protocol.encode_response_header(Status.MAPS, len(maps)) + maps
                    )
                case GetChunk(length=wanted):
                    noise = os.urandom(wanted)
                    connection.sendall(
                        protocol.encode_response_header(Status.OK, len(noise)) + noise
                    )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
