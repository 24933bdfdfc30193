"""A throwaway OpenStack Swift on loopback: a proxy with s3api, and three storage servers."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

STORAGE = ("account", "container", "object")
PROGRAMS = ("memcached", "swift-proxy-server", *(f"swift-{name}-server" for name in STORAGE))
_START_S = 60.0
_PYTHON = "/usr/bin/python3"  # Debian's, which has its swift
_RINGS = """
import json, sys
from swift.common.ring import RingBuilder
folder, ports = json.loads(sys.argv[1])
for name, port in ports.items():
    ring = RingBuilder(4, 1, 0)
    ring.add_dev(dict(region=1, zone=1, ip="127.0.0.1", port=port, device="d1", weight=1))
    ring.rebalance()
    ring.get_ring().save(f"{folder}/{name}.ring.gz")
"""
_SWIFT = """
[swift-hash]
swift_hash_path_prefix = a
swift_hash_path_suffix = b
[storage-policy:0]
name = p
default = yes
"""
_COMMON = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = root
swift_dir = {home}
devices = {home}/disk
mount_check = false
fallocate_reserve = 0
log_address = /dev/null
"""
_STORAGE = """
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
"""
_FILTERS = ("catch_errors", "proxy_logging", "copy", "slo", "dlo", "versioned_writes", "symlink")
_PROXY = """
[pipeline:main]
pipeline = catch_errors proxy_logging memcache s3api tempauth copy slo dlo versioned_writes symlink proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:memcache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{memcache_port}
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
location = us-east-1
"""  # noqa: E501  # a pipeline is one line


def missing_programs() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name) is None]


class Swift:
    """Started by construction, as root; `endpoint` speaks S3."""

    access_key, secret_key = "test:tester", "testing"
    buckets = ("models",)

    def __init__(self, home: Path) -> None:
        self._home = home
        self._running: list[subprocess.Popen[bytes]] = []
        ports = {name: _free_port() for name in STORAGE}
        memcache_port, proxy_port = _free_port(), _free_port()
        self.endpoint = f"http://127.0.0.1:{proxy_port}"
        (home / "disk" / "d1").mkdir(parents=True)
        (home / "swift.conf").write_text(_SWIFT)
        for name, port in ports.items():
            text = _COMMON.format(port=port, home=home) + _STORAGE.format(name=name)
            (home / f"{name}.conf").write_text(text)
        text = _COMMON.format(port=proxy_port, home=home)
        text += _PROXY.format(memcache_port=memcache_port)
        text += "".join(f"[filter:{one}]\nuse = egg:swift#{one}\n" for one in _FILTERS)
        (home / "proxy.conf").write_text(text)
        subprocess.run(
            [_PYTHON, "-c", _RINGS, json.dumps([str(home), ports])], check=True, timeout=_START_S
        )
        try:
            self._start("memcached", "-u", "root", "-l", "127.0.0.1", "-p", str(memcache_port))
            for name in (*STORAGE, "proxy"):
                self._start(f"swift-{name}-server", str(home / f"{name}.conf"))
            self._wait_for(memcache_port, *ports.values(), proxy_port)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()

    def _start(self, *command: str) -> None:
        log = (self._home / f"{command[0]}.log").open("wb")
        with log:
            self._running.append(
                subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            )

    def _wait_for(self, *ports: int) -> None:
        deadline = time.monotonic() + _START_S
        for port in ports:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=2).close()
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise TimeoutError("Swift did not start: see its logs") from None
                    time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
