"""An MLflow server on sqlite, as `mlflow server` starts it, asked over its REST API 2.0.

MLflow lives in an environment of its own (`make bench-setup`), since its needs and ours disagree.
Its tables are filled with SQL, as its API would fill them at 10 ms a version; what is measured goes
through the API alone. A stage is an alias there, as MLflow advises since 2.9.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from bench.registry.systems import Client, Size

MLFLOW = Path(__file__).parents[2] / ".venv-mlflow" / "bin" / "mlflow"
_API = "/api/2.0/mlflow"
_START_S = 120.0
_VERSIONS = (
    "model_versions (name, version, creation_time, last_updated_time, current_stage, source, "
    "status) VALUES (?,?,?,?,?,?,?)"
)


def available() -> bool:
    return MLFLOW.exists()


class MlflowSystem:
    name = "mlflow"

    def __init__(self, client: Client, pid: int) -> None:
        self._client = client
        self.pid = pid

    def read(self, model: str) -> int:
        query = urlencode({"name": model, "alias": "production"})
        answer = self._client.expect("GET", f"{_API}/registered-models/alias?{query}")
        return int(answer["model_version"]["version"])

    def create_version(self, model: str) -> int:
        body = {
            "name": model,
            "source": f"s3://bucket/{model}",
            "tags": [{"key": "team", "value": "created"}],
        }
        answer = self._client.expect("POST", f"{_API}/model-versions/create", body)
        return int(answer["model_version"]["version"])

    def set_stage(self, model: str, version: int) -> bool:
        body = {"name": model, "alias": "production", "version": str(version)}
        self._client.expect("POST", f"{_API}/registered-models/alias", body)
        return True  # there is no way to say what was read before: the last writer wins

    def search(self, team: str) -> int:
        query = urlencode({"filter": f"tags.team = '{team}'", "max_results": 100})
        answer = self._client.expect("GET", f"{_API}/model-versions/search?{query}")
        return len(answer.get("model_versions", []))


@contextmanager
def mlflow_system(folder: Path, size: Size) -> Iterator[MlflowSystem]:
    folder.mkdir()
    database = folder / "mlflow.db"
    with _server(folder, database):
        pass  # makes the tables
    _fill(database, size)
    with _server(folder, database) as (client, pid):
        yield MlflowSystem(client, pid)


@contextmanager
def _server(folder: Path, database: Path) -> Iterator[tuple[Client, int]]:
    port = _free_port()
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [str(MLFLOW), "server", "--backend-store-uri", f"sqlite:///{database}",
             "--default-artifact-root", str(folder / "artifacts"), "--host", "127.0.0.1",
             "--port", str(port), "--workers", "1"],
            stdout=log, stderr=log, cwd=folder, start_new_session=True,
            env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"},
        )  # fmt: skip
    try:
        client = Client("127.0.0.1", port)
        client.wait_for("/health", _START_S)
        yield client, process.pid
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


def _fill(database: Path, size: Size) -> None:
    now = int(time.time() * 1000)
    models = [(size.name(model), now, now) for model in range(size.models)]
    versions = [
        (size.name(model), version, now, now, "None", f"s3://bucket/{model}/{version}", "READY")
        for model in range(size.models)
        for version in range(1, size.versions + 1)
    ]
    tags = [
        ("team", size.team(model, version), size.name(model), version)
        for model in range(size.models)
        for version in range(1, size.versions + 1)
    ]
    aliases = [("production", size.versions, name) for name, _, _ in models]
    with sqlite3.connect(database) as connection:
        for statement, rows in (
            ("registered_models (name, creation_time, last_updated_time) VALUES (?,?,?)", models),
            (_VERSIONS, versions),
            ("model_version_tags (key, value, name, version) VALUES (?,?,?,?)", tags),
            ("registered_model_aliases (alias, version, name) VALUES (?,?,?)", aliases),
        ):  # fmt: skip
            connection.executemany(f"INSERT INTO {statement}", rows)
    connection.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
