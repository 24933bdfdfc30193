"""JSON bodies about pushes under way and about gc."""

from __future__ import annotations

import msgspec

from cachd.control.documents import ChangeBody
from registry_core.control.garbage import GcReport


class BeginPushBody(msgspec.Struct, forbid_unknown_fields=True):
    """`manifest`: the digest of the files that are about to be pushed, `sha256:…`."""

    manifest: str
    change: ChangeBody


class PushBody(msgspec.Struct):
    """`push` names it; the packs in `condemned` must not be used."""

    push: str
    condemned: list[str]


class GcBody(msgspec.Struct, forbid_unknown_fields=True):
    change: ChangeBody
    dry_run: bool = False


class GcRunBody(msgspec.Struct):
    """The run of gc that is under way, or was the last. `state` is running, done or failed; `code`
    and `detail` say why it failed. `done` of `total` in `phase` is how far it is."""

    run: str
    state: str
    dry_run: bool
    phase: str = ""
    done: int = 0
    total: int = 0
    code: str = ""
    detail: str = ""
    report: GcReport | None = None
