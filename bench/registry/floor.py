"""What any registry made of these parts pays for a write: aiohttp, a thread, one record in LMDB.

A server whose one request verifies a P-256 signature, signs with Ed25519 and puts one record of
1.5 KB into an LMDB file, durably, and knows nothing else: no model, no log, no JSON. What cachd's
own writes cost beyond this is cachd's; what this costs beyond a bar, no code of ours can win back.
`python -m bench.registry.floor DIR` serves and prints its port.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import lmdb
import uvloop
from aiohttp import web

from bench.registry.systems import Client
from registry_core.trust.keys import SigningKey, verify_signature

_RECORD = os.urandom(1_500)
_SIGNED = os.urandom(600)
_HEADROOM_BYTES = 64 << 20  # as `registry_core.ledger.headroom`: no commit makes the file longer


class Floor:
    def __init__(self, client: Client) -> None:
        self._client = client

    def write(self) -> None:
        self._client.expect("POST", "/write", {"body": "x" * 900})


@contextmanager
def floor_system(folder: Path) -> Iterator[Floor]:
    folder.mkdir()
    with subprocess.Popen(  # our own interpreter, our own module
        [sys.executable, "-m", "bench.registry.floor", str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield Floor(Client("127.0.0.1", int(process.stdout.readline())))
        process.kill()


async def _serve(folder: Path) -> None:
    environment = lmdb.open(str(folder), map_size=1 << 30)
    with (folder / "data.mdb").open("ab") as file:
        file.write(bytes(_HEADROOM_BYTES))
        os.fsync(file.fileno())
    promoter, authority = SigningKey.generate_p256(), SigningKey.generate_ed25519()
    signature, sequence = promoter.sign(_SIGNED), count(1)

    def write() -> None:
        assert verify_signature(promoter.public_pem, _SIGNED, signature)
        authority.sign(_SIGNED)
        with environment.begin(write=True) as txn:
            txn.put(next(sequence).to_bytes(8, "big"), _RECORD)

    threads = ThreadPoolExecutor(1)

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.get_running_loop().run_in_executor(threads, write)
        return web.Response(body=b"{}", content_type="application/json")

    app = web.Application()
    app.router.add_post("/write", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(Path(sys.argv[1])))
