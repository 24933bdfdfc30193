"""Choices that this host made itself, while nobody else could be asked.

A local choice puts `previous` of the current move in force here, and nothing else: it is kept as
the place in the log at which it was made, never as a version. It holds until the log shows a newer
generation or choice of the stage, or until it is taken back. On disk before anything flips, so a
restart knows of it; its end is written after the flip, because an entry that the log has overtaken
means nothing. Event loop only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import structlog

from cachd.control.reports import LocalBody
from cachd.node.desired import DesiredStage
from cachd.node.durable import replace_durably
from registry_core.domain.identifiers import StageRef

FORMAT = 1
_log = structlog.get_logger("cachd.node")


class LocalChoice(msgspec.Struct, frozen=True):
    """`previous`, instead of what `generation.choice` of this epoch says. `uid`: who chose."""

    model: str
    stage: str
    epoch: int
    generation: int
    choice: int
    reason: str
    uid: int
    since_ms: int

    @property
    def position(self) -> tuple[int, int, int]:
        return self.epoch, self.generation, self.choice

    def body(self, *, ended: str = "") -> LocalBody:
        at = f"{self.generation}.{self.choice}"
        return LocalBody(at, self.reason, self.uid, self.since_ms, ended)


class _Document(msgspec.Struct):
    format: int
    choices: list[LocalChoice]


class LocalChoices:
    """`over` says what a stage is to serve, all considered."""

    def __init__(self, file: Path, clock_ms: Callable[[], int]) -> None:
        self._file = file
        self._clock_ms = clock_ms
        self._choices = _load(file)
        self._ended: dict[StageRef, LocalBody] = {}

    def over(self, desired: DesiredStage) -> DesiredStage:
        """What the log desires, or the other version of the same move if the host chose that: of a
        split, the previous version for all requests."""
        if self._holds(desired) and desired.split:
            return replace(desired, choice=desired.choice + 2, split=0)
        if self._holds(desired) and desired.choice % 2 == 0 and desired.keep is not None:
            return replace(
                desired, choice=desired.choice + 1, serve=desired.keep, keep=desired.serve
            )
        return desired

    def body(self, ref: StageRef) -> LocalBody | None:
        """The choice in force, or the last that ended in this daemon's life."""
        choice = self._choices.get(ref)
        return choice.body() if choice is not None else self._ended.get(ref)

    def holds(self, ref: StageRef) -> bool:
        return ref in self._choices

    def choose(self, desired: DesiredStage, reason: str, uid: int) -> None:
        """On disk when this returns. OSError: nothing has changed."""
        choice = LocalChoice(
            desired.ref.model.text, desired.ref.stage.text, *desired.position,
            reason, uid, self._clock_ms(),
        )  # fmt: skip
        self._keep({**self._choices, desired.ref: choice})

    def clear(self, ref: StageRef) -> None:
        """Back to what the log says. OSError: nothing has changed."""
        self._keep({other: one for other, one in self._choices.items() if other != ref})

    def end_before(self, desired: DesiredStage) -> None:
        """Drop a choice that the log has overtaken. If the disk refuses, the next start does it."""
        choice = self._choices.get(desired.ref)
        if choice is None or desired.position <= choice.position:
            return
        now = f"{desired.generation}.{desired.choice}"
        self._ended[desired.ref] = choice.body(ended=now)
        _log.warning(
            "local rollback ended: the log has moved on", stage=str(desired.ref), now=now,
            made_at=self._ended[desired.ref].at,
        )  # fmt: skip
        try:
            self.clear(desired.ref)
        except OSError as error:
            del self._choices[desired.ref]
            _log.error("the end of a local rollback is not on disk", error=str(error))

    def _holds(self, desired: DesiredStage) -> bool:
        """Of the same move, and made when the log was there or further: a daemon that was killed
        may know of fewer choices than it had followed (ADR 4)."""
        choice = self._choices.get(desired.ref)
        same = choice is not None and choice.position[:2] == desired.position[:2]
        return choice is not None and same and desired.choice <= choice.choice

    def _keep(self, choices: dict[StageRef, LocalChoice]) -> None:
        rows = [one for _, one in sorted(choices.items(), key=lambda item: str(item[0]))]
        replace_durably(self._file, msgspec.json.encode(_Document(FORMAT, rows)))
        self._choices = choices


def _load(file: Path) -> dict[StageRef, LocalChoice]:
    try:
        document = msgspec.json.decode(file.read_bytes(), type=_Document)
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        _log.error("local choices are lost: what the log says is served", error=str(error))
        return {}
    if document.format != FORMAT:
        _log.error("local choices of another release are not followed", format=document.format)
        return {}
    return {StageRef.parse(f"{one.model}@{one.stage}"): one for one in document.choices}
