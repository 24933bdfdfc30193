"""A throwaway Ceph cluster (monitor, one object store in memory, S3 gateway) on loopback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from contextlib import suppress
from pathlib import Path

PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph-authtool", "monmaptool")
_START_S = 60.0
_CONFIG = """
[global]
fsid = {fsid}
mon_host = {monitor}
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
keyring = {home}/keyring
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_crush_chooseleaf_type = 0
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
mon_data = {home}/mon
osd_data = {home}/osd
osd_objectstore = memstore
memstore_device_bytes = 1073741824
run_dir = {home}/run
admin_socket = {home}/run/$name.$pid.asok
pid_file = {home}/run/$name.pid
log_file = {home}/log/$name.log
crash_dir = {home}/run
mon_data_avail_crit = 1
[client.rgw.a]
rgw_frontends = beast endpoint=127.0.0.1:{port}
rgw_data = {home}/run
"""


def missing_programs() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name) is None]


class Ceph:
    """Started by construction; `endpoint` speaks S3."""

    access_key, secret_key = "testkey", "testsecret"
    buckets = ("models", "versioned")

    def __init__(self, home: Path) -> None:
        self._home = home
        self._port, monitor_port = _free_port(), _free_port()
        self.endpoint = f"http://127.0.0.1:{self._port}"
        for folder in ("mon", "osd", "run", "log"):
            (home / folder).mkdir(parents=True)
        self._fsid = str(uuid.uuid4())
        self._monitor = f"[v2:127.0.0.1:{_free_port()},v1:127.0.0.1:{monitor_port}]"
        self._config = home / "ceph.conf"
        self._config.write_text(
            _CONFIG.format(fsid=self._fsid, monitor=self._monitor, home=home, port=self._port)
        )
        try:
            self._start_monitor()
            self._start_storage()
            self._start_gateway()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        for file in (self._home / "run").glob("*.pid"):
            with suppress(ValueError, ProcessLookupError):
                os.kill(int(file.read_text()), signal.SIGKILL)

    def _start_monitor(self) -> None:
        keyring = str(self._home / "keyring")
        _run("ceph-authtool", keyring, "--create-keyring", "--gen-key", "-n", "mon.",
             "--cap", "mon", "allow *")  # fmt: skip
        for name in ("client.admin", "osd.0", "client.rgw.a"):
            _run("ceph-authtool", keyring, "--gen-key", "-n", name, "--cap", "mon", "allow *",
                 "--cap", "osd", "allow *", "--cap", "mgr", "allow *")  # fmt: skip
        monmap = str(self._home / "monmap")
        _run("monmaptool", "--create", "--addv", "a", self._monitor, "--fsid", self._fsid, monmap)
        self._ceph("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap, "--keyring", keyring)
        self._ceph("ceph-mon", "-i", "a")

    def _start_storage(self) -> None:
        disk = str(uuid.uuid4())
        self._ceph("ceph", "osd", "new", disk)
        self._ceph("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk)
        self._ceph("ceph-osd", "-i", "0")
        self._ceph("ceph", "auth", "import", "-i", str(self._home / "keyring"))

    def _start_gateway(self) -> None:
        self._ceph("radosgw", "-n", "client.rgw.a")
        self._ceph("radosgw-admin", "-n", "client.rgw.a", "user", "create", "--uid=test",
                   "--display-name=test", f"--access-key={self.access_key}",
                   f"--secret-key={self.secret_key}")  # fmt: skip
        deadline = time.monotonic() + _START_S
        while True:
            try:
                urllib.request.urlopen(self.endpoint, timeout=2).close()
                return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                if time.monotonic() > deadline:
                    raise TimeoutError("the S3 gateway did not answer") from None
                time.sleep(0.1)

    def _ceph(self, program: str, *words: str) -> None:
        _run(program, "-c", str(self._config), *words)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_START_S, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {done.stderr[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
