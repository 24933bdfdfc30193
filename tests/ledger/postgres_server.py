"""A throwaway PostgreSQL on loopback, from Debian's package, with a fresh schema per test."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

_START_S = 60.0
_PROGRAMS = ("initdb", "postgres", "pg_ctl")


def programs_folder() -> Path | None:
    """Where the server's programs are; they are in no PATH on Debian."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which("postgres")
    folders = [*found, *([Path(on_path).parent] if on_path else [])]
    return next((f for f in folders if all((f / name).exists() for name in _PROGRAMS)), None)


class PostgresServer:
    """Started by construction. fsync stays on: what it acknowledges is on disk."""

    def __init__(self, home: Path) -> None:
        programs = programs_folder()
        assert programs is not None
        self._programs = programs
        self._home = home
        self._data = home / "data"
        home.chmod(0o755)
        self._data.mkdir()
        self._as_server = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        if os.getuid() == 0:
            shutil.chown(self._data, "postgres", "postgres")
        else:
            self._as_server = []
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self._run("initdb", "-D", str(self._data), "-U", "cachd", "--auth=trust", "-E", "UTF8")
        with (self._data / "postgresql.conf").open("a") as config:
            config.write(
                f"listen_addresses='127.0.0.1'\nport={self.port}\n"
                "unix_socket_directories=''\nmax_connections=100\nshared_buffers=64MB\n"
            )
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @classmethod
    @contextmanager
    def in_new_folder(cls) -> Iterator[PostgresServer]:
        """A server for as long as the context lasts; the test skips, or in CI fails, without."""
        if programs_folder() is None:
            missing = "PostgreSQL's server programs are not installed (Debian: postgresql)"
            if os.environ.get("REQUIRE_ALL_TESTS"):
                pytest.fail(missing)
            pytest.skip(missing)
        home = Path(tempfile.mkdtemp(prefix="cachd-postgres-"))  # its own user reads below it
        server = cls(home)
        try:
            yield server
        finally:
            server.stop()
            shutil.rmtree(home)

    def url(self) -> str:
        return f"postgresql://cachd@127.0.0.1:{self.port}/postgres"

    def new_database(self) -> str:
        """The URL of an empty database of its own."""
        name = f"t{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql://cachd@127.0.0.1:{self.port}/{name}"

    def start(self) -> None:
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._as_server, str(self._programs / "postgres"), "-D", str(self._data)],
                stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + _START_S
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.05)

    def stop(self, *, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends sessions and shuts down; SIGQUIT is as good as a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(_START_S)
            self._process = None

    def restart(self, *, how: signal.Signals = signal.SIGINT) -> None:
        self.stop(how=how)
        self.start()

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [*self._as_server, str(self._programs / program), *words], cwd=self._home,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
