"""Which stages a node serves: those its configuration names, and those that workers asked for.

What workers asked for is remembered across restarts, in `subscriptions.json`. Event loop only.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path

from cachd.control.limits import STAGES_PER_NODE_MAX
from cachd.node.durable import replace_durably
from cachd.node.stage_pattern import StagePattern
from registry_core.domain.identifiers import ModelName, StageRef
from registry_core.errors import InvalidIdentifier


class Subscriptions:
    """`wants` is asked for every stage there is."""

    def __init__(self, file: Path, patterns: tuple[StagePattern, ...]) -> None:
        self._file = file
        self._patterns = patterns
        self._asked = _load(file)

    def wants(self, ref: StageRef) -> bool:
        return ref in self._asked or any(pattern.matches(ref) for pattern in self._patterns)

    def serves(self, model: ModelName) -> bool:
        """Whether it serves some stage of `model`, or would, if there were one."""
        return any(ref.model == model for ref in self._asked) or any(
            fnmatchcase(model.text, pattern.model) for pattern in self._patterns
        )

    def ask(self, ref: StageRef) -> bool:
        """A worker asked for `ref`; True if that is new."""
        if self.wants(ref) or len(self._asked) >= STAGES_PER_NODE_MAX:
            return False
        self._asked.add(ref)
        asked = sorted(str(asked) for asked in self._asked)
        replace_durably(self._file, json.dumps(asked).encode())
        return True


def _load(file: Path) -> set[StageRef]:
    try:
        return {StageRef.parse(text) for text in json.loads(file.read_text(encoding="utf-8"))}
    except FileNotFoundError:
        return set()
    except (ValueError, TypeError, AttributeError, InvalidIdentifier):
        return set()  # half-written by another program: workers ask again when they attach
