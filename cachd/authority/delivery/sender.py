"""One HTTP exchange with a receiver. Event loop only.

Whatever a receiver does, an exchange ends within `timeout_s` with an Answer. Redirects are not
followed, cookies not kept, bodies hardly read and never shown: a webhook is not a way to look at
what the authority can reach. Names are looked up in threads of our own, one for each webhook, so
that a name server that does not answer holds up nobody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from cachd.authority.delivery.addresses import guarded_socket
from cachd.authority.delivery.outcome import Answer
from cachd.authority.delivery.settings import ANSWER_BYTES_READ, BY_HAND_MAX
from cachd.authority.delivery.threads import Threads
from registry_core.domain import limits

_AT_ONCE = limits.WEBHOOKS_MAX + BY_HAND_MAX


class Sender:
    """Close it at the end."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._resolver = _Resolver()
        self._session: aiohttp.ClientSession | None = None

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        began_s = time.monotonic()
        try:
            async with self._open().post(
                url, data=body, headers=headers, allow_redirects=False
            ) as response:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    await response.content.read(ANSWER_BYTES_READ)
                status, asked = response.status, response.headers.get("Retry-After", "")
        except TimeoutError:
            return Answer(0, f"no answer within {self._timeout_s:g} s", _since_ms(began_s))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(0, _said(error), _since_ms(began_s))
        said = "" if 200 <= status < 300 else _refusal(status)
        return Answer(status, said, _since_ms(began_s), retry_after_s(asked, time.time()))

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
        await self._resolver.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=_AT_ONCE, resolver=self._resolver, socket_factory=guarded_socket
                ),
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session


def retry_after_s(text: str, now_s: float) -> float:
    """Seconds that a Retry-After asks for, as a number or as a date; 0 if it makes no sense."""
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now_s)
    except (ValueError, OverflowError):
        return 0.0


class _Resolver(AbstractResolver):
    def __init__(self) -> None:
        self._threads = Threads(_AT_ONCE, "webhook-names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        def look_up() -> list[ResolveResult]:
            return [
                ResolveResult(
                    hostname=host, host=str(address[0]), port=port, family=found, proto=protocol,
                    flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                )
                for found, _, protocol, _, address in socket.getaddrinfo(
                    host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
                )
            ]  # fmt: skip

        # Not Threads.run: a lookup that takes long is left to itself.
        return await asyncio.get_running_loop().run_in_executor(self._threads.pool, look_up)

    async def close(self) -> None:
        self._threads.close()


def _refusal(status: int) -> str:
    if 300 <= status < 400:
        return f"HTTP {status}: redirects are not followed: give the URL that it leads to"
    return f"HTTP {status}"


def _said(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return "".join(c if c.isprintable() else " " for c in text)[: limits.WEBHOOK_ERROR_CHARS_MAX]


def _since_ms(began_s: float) -> int:
    return round((time.monotonic() - began_s) * 1000)
