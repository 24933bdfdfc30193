"""nginx on loopback: the file, and as much of the Hugging Face Hub's API as downloading one model
takes (what a revision is, what lies in it, and the files with their ETag and commit).

All of it is static, so that the bytes leave by nginx's sendfile for both who ask here.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.fetch.source import Source

REPO = "bench/model"
_START_S_MAX = 10.0


@contextmanager
def web_server(folder: Path, source: Source) -> Iterator[str]:
    """nginx, which serves `/FILE` and the model REPO; its address, `http://127.0.0.1:PORT`."""
    folder.mkdir()
    port = _free_port()
    (folder / "nginx.conf").write_text(_config(folder, source, port))
    command = ["nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", "stderr"]
    try:
        with subprocess.Popen(command) as server:
            try:
                _wait(port, server)
                yield f"http://127.0.0.1:{port}"
            finally:
                server.terminate()
    finally:
        shutil.rmtree(folder)


def _config(folder: Path, source: Source, port: int) -> str:
    commit = source.sha256[:40]
    listed = {"path": source.file.name, "size": source.size, "type": "file", "oid": commit}
    _write(folder / "tree.json", [listed])
    siblings = [{"rfilename": source.file.name}]
    _write(folder / "revision.json", {"id": REPO, "modelId": REPO, "sha": commit,
                                      "siblings": siblings, "tags": []})  # fmt: skip
    user = "user root;" if os.geteuid() == 0 else ""
    scratch = "".join(
        f"{kind}_temp_path {folder}/{kind}; "
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
daemon off; pid {folder}/nginx.pid; error_log stderr crit; worker_processes auto; {user}
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; default_type application/octet-stream;
  {scratch}
  server {{
    listen 127.0.0.1:{port};
    location = /{source.file.name} {{ root {source.file.parent}; }}
    location = /api/models/{REPO}/revision/main {{
      default_type application/json; alias {folder}/revision.json;
    }}
    location = /api/models/{REPO}/tree/{commit} {{
      default_type application/json; alias {folder}/tree.json;
    }}
    location /{REPO}/resolve/{commit}/ {{
      alias {source.file.parent}/;
      etag off; add_header ETag '"{source.sha256}"'; add_header X-Repo-Commit {commit};
    }}
  }}
}}
"""


def _write(path: Path, document: object) -> None:
    path.write_text(json.dumps(document), encoding="utf-8")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + _START_S_MAX
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            if server.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError("nginx did not start: see what it says above") from None
            time.sleep(0.02)
