"""PostgreSQL, for when one machine is not enough: several authorities write one ledger.

Every write transaction first locks the one row of `head`, at READ COMMITTED: writers take turns,
never conflict, and never retry (measured against SERIALIZABLE: shared DESIGN). Its changes are kept
here and sent in one go before COMMIT. A read transaction is one snapshot (REPEATABLE READ). Each
table of the ledger is a table (key bytea, value bytea) of one schema; nothing is used that
CockroachDB and YugabyteDB lack: no advisory locks, no LISTEN, no triggers, no procedures.

Threads: any. A crash of the client rolls back. What `write` returned from is durable as far as the
server is (synchronous_commit is left as it is set: on, and with replicas remote_apply or on).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from registry_core.errors import InvalidInput, LedgerUnavailable
from registry_core.ledger.checksum import seal, unseal
from registry_core.ledger.key_range import bounds
from registry_core.ledger.memory_store import Overlay
from registry_core.ledger.postgres_pool import Pool
from registry_core.ledger.store import Reader, Table, Writer

FORMAT = 1
_PAGE = 500
_CREATED_AGAIN = 5
_NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"


class PostgresStore:
    """`url` is a libpq URL (`postgresql://…`); everything lies in `schema`, made if it is new."""

    shared = True

    def __init__(self, url: str, *, readonly: bool = False, schema: str = "cachd") -> None:
        if not schema.isidentifier():
            raise InvalidInput(f"schema {schema!r:.80} is not a plain name")
        self._pool = Pool(url)
        self._readonly = readonly
        self._statements = {table: _Statements(schema, table) for table in Table}
        # Not as a pipeline: after one, the server's idle_in_transaction_session_timeout sleeps.
        self._begin = _in(
            schema,
            "BEGIN ISOLATION LEVEL READ COMMITTED; "
            "SELECT format FROM {}.head WHERE id = 1 FOR UPDATE",
        )
        try:
            if not readonly and not self._exists(schema):
                self._create(schema)
            self._require_format(schema)
        except BaseException:
            self._pool.close()
            raise

    @contextmanager
    def read(self) -> Iterator[Reader]:
        with self._pool.connection() as connection, _translated(self._pool.shown):
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield _Snapshot(connection, self._statements)
            connection.execute("COMMIT")

    @contextmanager
    def write(self) -> Iterator[Writer]:
        if self._readonly:
            raise LedgerUnavailable("the ledger was opened read-only: open it for writing")
        with self._pool.connection() as connection:
            with _translated(self._pool.shown):
                connection.execute(self._begin)
                layer = Overlay(_Snapshot(connection, self._statements))
                yield layer
            self._commit(connection, layer)

    def close(self) -> None:
        self._pool.close()

    def _commit(self, connection: psycopg.Connection[Any], layer: Overlay) -> None:
        """All changes and the COMMIT, in one round trip."""
        try:
            with connection.pipeline():
                for table, changes in layer.changes():
                    self._send(connection, table, changes)
                connection.execute("COMMIT")
        except psycopg.Error as error:
            if connection.closed or connection.broken:
                raise LedgerUnavailable(
                    f"{self._pool.shown} was lost while it committed: the change may or may not "
                    "have been made. Repeat it with the same Idempotency-Key"
                ) from error
            raise _unavailable(self._pool.shown, error) from error

    def _send(
        self,
        connection: psycopg.Connection[Any],
        table: Table,
        changes: list[tuple[bytes, bytes | None]],
    ) -> None:
        puts = [(key, seal(table, key, value)) for key, value in changes if value is not None]
        gone = [key for key, value in changes if value is None]
        if puts:
            keys, values = [key for key, _ in puts], [value for _, value in puts]
            connection.execute(self._statements[table].put, (keys, values))
        if gone:
            connection.execute(self._statements[table].delete, (gone,))

    def _exists(self, schema: str) -> bool:
        """Whether all tables are there, those of later programs that are unknown here included."""
        wanted = {table.value for table in Table} | {"head"}
        with self._pool.connection() as connection, _translated(self._pool.shown):
            rows = connection.execute(
                "SELECT table_name FROM information_schema.tables WHERE table_schema = %s",
                (schema,),
            )
            return wanted <= {row[0] for row in rows}

    def _create(self, schema: str) -> None:
        """Idempotent; several processes may do it at once, and then some have to try again."""
        for attempt in range(_CREATED_AGAIN):
            try:
                with self._pool.connection() as connection, connection.transaction():
                    for statement in _schema_of(schema):
                        connection.execute(statement)
                return
            except psycopg.Error as error:
                if attempt + 1 == _CREATED_AGAIN:
                    raise _unavailable(self._pool.shown, error) from error

    def _require_format(self, schema: str) -> None:
        with self._pool.connection() as connection:
            try:
                row = connection.execute(_in(schema, "SELECT format FROM {}.head")).fetchone()
            except psycopg.Error as error:
                raise LedgerUnavailable(
                    f"there is no ledger in {self._pool.shown}, schema {schema}: "
                    "`cachctl init --ledger` makes one"
                ) from error
        if row is None or row[0] != FORMAT:
            raise LedgerUnavailable(
                f"the ledger in {self._pool.shown} has format {row and row[0]} and this program "
                f"knows {FORMAT}: use the program that made it, or upgrade"
            )


class _Statements:
    def __init__(self, schema: str, table: Table) -> None:
        name = sql.Identifier(schema, table.value)
        self.get = sql.SQL("SELECT value FROM {} WHERE key = %s").format(name)
        self.put = sql.SQL(
            "INSERT INTO {} (key, value) SELECT * FROM unnest(%s::bytea[], %s::bytea[]) "
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        ).format(name)
        self.delete = sql.SQL("DELETE FROM {} WHERE key = ANY(%s::bytea[])").format(name)
        up, down = sql.SQL("ASC"), sql.SQL("DESC")
        below, anywhere = sql.SQL("AND key < %s"), sql.SQL("")
        self.scans = {
            (reverse, bounded): sql.SQL(
                "SELECT key, value FROM {} WHERE key >= %s {} ORDER BY key {} LIMIT {}"
            ).format(name, below if bounded else anywhere, down if reverse else up, _PAGE)
            for reverse in (False, True)
            for bounded in (False, True)
        }


class _Snapshot:
    """What one transaction sees."""

    def __init__(
        self, connection: psycopg.Connection[Any], statements: dict[Table, _Statements]
    ) -> None:
        self._connection = connection
        self._statements = statements

    def get(self, table: Table, key: bytes) -> bytes | None:
        statement = self._statements[table].get
        row = self._connection.execute(statement, (key,), prepare=True, binary=True).fetchone()
        return None if row is None else unseal(table, key, row[0])

    def scan(
        self,
        table: Table,
        prefix: bytes = b"",
        *,
        after: bytes | None = None,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        """In pages, so that one that is left early is cheap and a long one is not held at once."""
        while True:
            low, high = bounds(prefix, after, reverse=reverse)
            statement = self._statements[table].scans[reverse, high is not None]
            ends = (low,) if high is None else (low, high)
            rows = self._connection.execute(statement, ends, prepare=True, binary=True).fetchall()
            for key, stored in rows:
                yield key, unseal(table, key, stored)
            if len(rows) < _PAGE:
                return
            after = rows[-1][0]

    def time_ms(self) -> int:
        row = self._connection.execute(_NOW).fetchone()
        return int(row[0]) if row is not None else 0


def _schema_of(schema: str) -> Iterator[sql.Composed]:
    yield sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema))
    for table in Table:
        yield sql.SQL(
            "CREATE TABLE IF NOT EXISTS {} (key bytea PRIMARY KEY, value bytea NOT NULL)"
        ).format(sql.Identifier(schema, table.value))
    yield _in(
        schema, "CREATE TABLE IF NOT EXISTS {}.head (id int PRIMARY KEY, format int NOT NULL)"
    )
    first = "INSERT INTO {}.head (id, format) VALUES (1, 1) ON CONFLICT DO NOTHING"
    yield _in(schema, first)


def _in(schema: str, statement: str) -> sql.Composed:
    return sql.SQL(statement).format(sql.Identifier(schema))


@contextmanager
def _translated(shown: str) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise _unavailable(shown, error) from error


def _unavailable(shown: str, error: psycopg.Error) -> LedgerUnavailable:
    said = str(error).strip().partition("\n")[0]
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        said += "; this server is a replica: connect to the primary (target_session_attrs)"
    if isinstance(error, psycopg.errors.DiskFull):
        said += "; free disk space on the server"
    return LedgerUnavailable(
        f"{shown} refused ({said}): nothing was changed; trying again helps once that is mended"
    )
