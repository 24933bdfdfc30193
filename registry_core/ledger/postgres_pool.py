"""Connections to PostgreSQL, set up alike, kept for the next transaction, bounded in number."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from registry_core.errors import InvalidInput, LedgerUnavailable

CONNECTIONS_MAX = 16
_WAIT_S = 30.0
_DEFAULTS: dict[str, Any] = {
    "connect_timeout": 5, "keepalives": 1, "keepalives_idle": 5, "keepalives_interval": 2,
    "keepalives_count": 3, "tcp_user_timeout": 10_000, "application_name": "cachd",
}  # fmt: skip
_SETTINGS = (
    "SET statement_timeout = '30s'",
    "SET lock_timeout = '20s'",
    # Whoever dies with the head row locked holds up all writers for no longer than this.
    "SET idle_in_transaction_session_timeout = '5s'",
)


class Pool:
    """Thread-safe. A connection that broke is dropped, and the next one is made anew. Not to be
    used across a fork."""

    def __init__(self, url: str) -> None:
        try:
            said = conninfo_to_dict(url)
        except psycopg.Error as error:
            raise InvalidInput("the ledger's URL is not postgresql://USER@HOST/DATABASE") from error
        self.shown = f"postgresql://{said.get('host', '')}/{said.get('dbname', '')}"
        self._said = _DEFAULTS | {key: value for key, value in said.items() if value is not None}
        self._idle: list[psycopg.Connection[Any]] = []
        self._lock = threading.Lock()  # guards _idle
        self._free = threading.BoundedSemaphore(CONNECTIONS_MAX)
        self._pid = os.getpid()

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection outside of any transaction; it is given back in the same state or closed."""
        if os.getpid() != self._pid:
            raise LedgerUnavailable(
                "the ledger was opened before this process was forked: open it in the child"
            )
        if not self._free.acquire(timeout=_WAIT_S):
            raise LedgerUnavailable(f"{self.shown}: all {CONNECTIONS_MAX} connections are in use")
        try:
            connection = self._take()
            try:
                yield connection
            finally:
                self._give_back(connection)
        finally:
            self._free.release()

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> psycopg.Connection[Any]:
        with self._lock:
            while self._idle:
                connection = self._idle.pop()
                if not connection.closed:
                    return connection
        return self._connect()

    def _connect(self) -> psycopg.Connection[Any]:
        try:
            connection = psycopg.connect(**self._said, autocommit=True)
            for setting in _SETTINGS:
                connection.execute(setting)
        except psycopg.Error as error:
            raise LedgerUnavailable(
                f"{self.shown} cannot be reached: {_first_line(error)}. Is the server running, and "
                "may this user connect? (A password belongs into ~/.pgpass or PGPASSWORD)"
            ) from error
        return connection

    def _give_back(self, connection: psycopg.Connection[Any]) -> None:
        idle = psycopg.pq.TransactionStatus.IDLE
        if connection.closed or connection.info.transaction_status != idle:
            connection.close()  # the server rolls back what was under way
            return
        with self._lock:
            self._idle.append(connection)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
