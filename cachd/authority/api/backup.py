"""How far the backup is."""

from __future__ import annotations

from aiohttp import web

from cachd.api.answers import answer
from cachd.api.operations import Operation
from cachd.authority.backup import ContinuousBackup
from cachd.control.documents import BackupBody


class BackupApi:
    def __init__(self, backup: ContinuousBackup) -> None:
        self._backup = backup

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/v1/backup", self.backup, "How far the backup of the log is",
                      BackupBody),
        ]  # fmt: skip

    async def backup(self, request: web.Request) -> web.StreamResponse:
        return answer(self._backup.state())
