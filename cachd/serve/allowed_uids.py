"""Which users' processes may attach to which models. PURE.

The kernel says who connected (SO_PEERCRED); a process cannot claim to be another's. Whoever may
attach gets read-only descriptors of the version and of the flip page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class AllowedUids:
    """uid -> (model, stage) patterns. None: the permissions of the socket alone decide."""

    patterns: Mapping[int, tuple[tuple[str, str], ...]] | None = None

    def refusal(self, uid: int, model: str, stage: str) -> str:
        """Why this user's process may not attach to model@stage; empty: it may."""
        if self.patterns is None:
            return ""
        for model_pattern, stage_pattern in self.patterns.get(uid, ()):
            if fnmatchcase(model, model_pattern) and fnmatchcase(stage, stage_pattern):
                return ""
        return (
            f"uid {uid} may not attach to {model}@{stage} on this host: start the node with "
            f"--allow-uid {uid}={model}@{stage}, or run this process as a user that it allows"
        )


WHOEVER_CONNECTS = AllowedUids()
