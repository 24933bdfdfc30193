"""Control over HTTP: the same Registry calls, on a ledger that an authority owns.

Bulk bytes do not pass through the authority: the client learns the origin's URL and reads and
writes chunks there with its own credentials.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec

from cachd.control import documents
from cachd.control.calls import Calls
from cachd.control.documents import ChangeBody
from cachd.control.http import HttpClient
from cachd.control.log_download import LogDownload
from cachd.control.remote_approvals import RemoteApprovals
from cachd.control.remote_audit import RemoteAudit
from cachd.control.remote_events import RemoteEvents
from cachd.control.remote_garbage import RemoteGarbage
from cachd.control.remote_metadata import RemoteMetadata
from cachd.control.remote_recovery import RemoteRecovery
from cachd.control.remote_regions import RemoteRegions
from cachd.control.reports import NodesBody, SeenReport
from registry_core.changes.versions import VersionDraft
from registry_core.domain.entry import Entry, LogRecord
from registry_core.domain.identifiers import Digest, Guard, ModelName, StageName, VersionRef
from registry_core.domain.move import Move
from registry_core.domain.policy import Policy, Root
from registry_core.ledger.change import Change
from registry_core.ledger.queries import Resolved
from registry_core.ledger.records import ModelRecord, StageRecord, VersionRecord
from registry_core.origin.store import Origin
from registry_core.registry import Registry
from registry_core.trust.dsse import Envelope
from registry_core.trust.keys import Keyring
from registry_core.trust.move import PAYLOAD_TYPE


def connect(url: str, keys: Keyring, actor: str) -> Registry:
    """A Registry over the authority at `url`; `keys` sign what this caller pushes and promotes."""
    control = RemoteControl(HttpClient(url))
    about = control.about()
    return Registry(control, Origin.open(about.origin_url, about.origin_options), keys, actor)


class RemoteControl:
    """Thread-safe. Errors are those of registry_core, and AuthorityUnavailable."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self._calls = Calls(client)
        self.metadata = RemoteMetadata(self._calls)
        self.approvals = RemoteApprovals(self._calls)
        self.events = RemoteEvents(self._calls)
        self.garbage = RemoteGarbage(self._calls)
        self.audit = RemoteAudit(self._calls)
        self.recovery = RemoteRecovery(self._calls, self.root)
        self.regions = RemoteRegions(self._calls)
        self._about: documents.RegistryBody | None = None

    def about(self) -> documents.RegistryBody:
        if self._about is None:
            self._about = self._calls.get(documents.RegistryBody, "/v1/registry")
        return self._about

    def root(self) -> Root:
        return Root.parse(self.about().root.encode())

    def policy(self) -> Policy:
        fresh = self._calls.get(documents.RegistryBody, "/v1/registry")
        return Policy.parse(fresh.policy.encode())

    def origin_url(self) -> str:
        return self.about().origin_url

    def find_model(self, model: ModelName) -> ModelRecord | None:
        return self._calls.find(ModelRecord, f"/v1/models/{model}")

    def models(self) -> Sequence[ModelRecord]:
        return self._calls.get(documents.ModelsBody, "/v1/models").models

    def find_version(self, model: ModelName, digest: Digest) -> VersionRecord | None:
        return self._calls.find(VersionRecord, f"/v1/models/{model}/versions/{digest}")

    def versions(self, model: ModelName, *, newest: int) -> Sequence[VersionRecord]:
        path = f"/v1/models/{model}/versions?newest={newest}"
        return self._calls.get(documents.VersionsBody, path).versions

    def find_stage(self, model: ModelName, stage: StageName) -> StageRecord | None:
        return self._calls.find(StageRecord, f"/v1/models/{model}/stages/{stage}")

    def stages(self, model: ModelName) -> Sequence[StageRecord]:
        return self._calls.get(documents.StagesBody, f"/v1/models/{model}/stages").stages

    def resolve(self, ref: VersionRef) -> Resolved:
        pointer = f"@{ref.stage}" if ref.stage else f"@{ref.digest}" if ref.digest else None
        text = f"{ref.model}{pointer or f'/{ref.number}'}"
        body = self._calls.get(documents.ResolvedBody, "/v1/resolve?" + urlencode({"ref": text}))
        return Resolved(body.version, body.stage)

    def history(self, model: ModelName, *, newest: int) -> Sequence[Entry]:
        path = f"/v1/models/{model}/history?newest={newest}"
        return [body.entry() for body in self._calls.get(documents.HistoryBody, path).entries]

    def register(self, draft: VersionDraft, change: Change) -> tuple[VersionRecord, bool]:
        body = documents.RegisterBody(
            manifest=str(draft.manifest),
            bundle=draft.bundle.hex,
            chunk_bytes=draft.chunk_bytes,
            change=ChangeBody.of(change),
            tags=draft.tags,
            notes=draft.notes,
            fields=dict(draft.fields),
            push=draft.push.hex(),
        )
        path = f"/v1/models/{draft.model}/versions"
        answer = self._calls.change("POST", documents.RegisteredBody, path, body, change)
        return answer.version, answer.created

    def move(
        self,
        move: Move,
        envelope: Envelope | None,
        guard: Guard | None,
        change: Change,
        *,
        split: int = 0,
    ) -> StageRecord:
        signed = envelope or Envelope(PAYLOAD_TYPE, move.statement(), ())
        body = documents.MoveBody(signed.to_json(), ChangeBody.of(change), split)
        path = f"/v1/models/{move.model}/stages/{move.stage}/move"
        return self._calls.change("POST", StageRecord, path, body, change, guard)

    def choose(
        self, model: ModelName, stage: StageName, guard: Guard | None, change: Change
    ) -> StageRecord:
        body = documents.ChoiceBody(ChangeBody.of(change))
        path = f"/v1/models/{model}/stages/{stage}/choice"
        return self._calls.change("POST", StageRecord, path, body, change, guard)

    def split(
        self, model: ModelName, stage: StageName, split: int, guard: Guard | None, change: Change
    ) -> StageRecord:
        body = documents.SplitBody(split, ChangeBody.of(change))
        path = f"/v1/models/{model}/stages/{stage}/split"
        return self._calls.change("POST", StageRecord, path, body, change, guard)

    def status(self, model: ModelName) -> dict[str, Any]:
        """Desired and observed version of each stage of `model` on each node."""
        shown: dict[str, Any] = msgspec.json.decode(
            self._client.request("GET", f"/v1/models/{model}/status")
        )
        return shown

    def nodes(self) -> list[SeenReport]:
        return self._calls.get(NodesBody, "/v1/nodes").nodes

    def log(self) -> tuple[list[LogRecord], bytes]:
        """The whole log as of now and the checkpoint that covers it."""
        download = LogDownload(self._client)
        return list(download), download.note()

    def backup(self) -> documents.BackupBody:
        """How far the authority's backup of the log is."""
        return self._calls.get(documents.BackupBody, "/v1/backup")

    def close(self) -> None:
        self._client.close()
