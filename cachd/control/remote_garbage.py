"""Pushes and gc over HTTP: see `registry_core.control.garbage`."""

from __future__ import annotations

import time

from cachd.control.calls import Calls
from cachd.control.documents import ChangeBody, ChoiceBody, DoneBody
from cachd.control.documents_garbage import BeginPushBody, GcBody, GcRunBody, PushBody
from cachd.control.limits import GC_POLL_S
from cachd.control.problems import AuthorityUnavailable, from_problem
from registry_core.changes.garbage import Push
from registry_core.control.garbage import GcReport
from registry_core.domain.identifiers import Digest, ModelName
from registry_core.domain.packs import PackName
from registry_core.ledger.change import Change
from registry_core.push.progress import Progress


class RemoteGarbage:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def begin_push(self, model: ModelName, manifest: Digest, change: Change) -> Push:
        body = BeginPushBody(str(manifest), ChangeBody.of(change))
        made = self._calls.change("POST", PushBody, f"/v1/models/{model}/pushes", body, change)
        packs = frozenset(PackName.parse_hex(name) for name in made.condemned)
        return Push(bytes.fromhex(made.push), packs)

    def end_push(self, model: ModelName, push: bytes, change: Change) -> None:
        path = f"/v1/models/{model}/pushes/{push.hex()}"
        self._calls.change("DELETE", DoneBody, path, ChoiceBody(ChangeBody.of(change)), change)

    def collect(self, change: Change, *, dry_run: bool, progress: Progress) -> GcReport:
        """Start a run at the authority and watch it to its end."""
        body = GcBody(ChangeBody.of(change), dry_run)
        run = self._calls.change("POST", GcRunBody, "/v1/gc", body, change)
        known = run.run
        while run.state == "running":
            if run.phase:
                progress(run.phase, run.done, run.total)
            time.sleep(GC_POLL_S)
            run = self._calls.get(GcRunBody, "/v1/gc")
            if run.run != known:
                raise AuthorityUnavailable(
                    "the authority that ran gc is gone: what it had done is done; run it again"
                )
        if run.report is None:
            raise from_problem({"code": run.code, "detail": run.detail})
        return run.report
