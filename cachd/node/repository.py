"""Model repositories for servers that know directories: Triton, TF Serving, and the like.

    DIR/<model>/<number>       symlink to a version's immutable directory, for each model of a stage
    DIR/<model>/config.pbtxt   symlink to that of the version in force, if it has one

There stand the version in force and those kept beside it whose number is lower. So the highest
number is always the one in force, which is what both servers take by default, after a rollback too.
A number appears in one step, and only when all of its version is there, verified and in force; the
new one comes before the old one goes. Links are only ever made to, and taken from, this node's own
cache; whatever else lies in DIR is left alone.
The plan is pure; links are made in a thread, one plan after the other. A kill leaves links of the
last plan or the next, which the next start brings up to date.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import structlog

from cachd.serve.resident import Standing
from registry_core.domain.identifiers import StageName
from registry_core.errors import InvalidInput

_log = structlog.get_logger("cachd.node")
_LOOK_S = 1.0  # how often at least; TF Serving looks as often
_CONFIG = "config.pbtxt"
_NEW = ".new"  # no number, so no server takes it for a version

Plan = dict[str, dict[str, str]]
"""Model -> name in its folder -> what the link points to."""


@dataclass(frozen=True, slots=True)
class RepositoryPlace:
    """Where the versions of one stage are to stand."""

    stage: StageName
    folder: Path

    @classmethod
    def parse(cls, text: str) -> RepositoryPlace:
        stage, equals, folder = text.partition("=")
        if not equals or not folder:
            raise InvalidInput(
                f"{text!r:.150} is not STAGE=DIR, for example 'production=/srv/models'"
            )
        return cls(StageName.parse(stage), Path(folder).absolute())


def plan(standing: Iterable[Standing], stage: str) -> Plan:
    """What is to stand in the folder of a stage."""
    made: Plan = {}
    for one in standing:
        if one.stage != stage:
            continue
        lower = [kept for kept in one.kept if kept.number < one.in_force.number]
        made[one.model] = {
            **{str(version.number): version.path for version in (*lower, one.in_force)},
            _CONFIG: os.path.join(one.in_force.path, _CONFIG),
        }
    return made


class Repositories:
    """`run` until cancelled; `changed` whenever `standing` may say something else."""

    def __init__(
        self,
        places: Iterable[RepositoryPlace],
        versions: Path,
        standing: Callable[[], list[Standing]],
    ) -> None:
        self._places = tuple(places)
        self._versions = f"{versions.absolute()}{os.sep}"
        self._standing = standing
        self._changed = asyncio.Event()
        self._trouble = ""

    def changed(self) -> None:
        self._changed.set()

    async def run(self) -> None:
        while self._places:
            self._changed.clear()
            standing = self._standing()
            plans = [(place.folder, plan(standing, place.stage.text)) for place in self._places]
            await asyncio.to_thread(self._apply, plans)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._changed.wait()

    def _apply(self, plans: list[tuple[Path, Plan]]) -> None:
        """In a thread. What cannot be done now is tried again at the next look."""
        trouble = ""
        for folder, wanted in plans:
            try:
                apply(folder, wanted, self._versions)
            except OSError as error:
                trouble = f"{error.filename}: {error.strerror}"
        if trouble and trouble != self._trouble:
            _log.warning("repository is not up to date: may the node write there?", why=trouble)
        self._trouble = trouble


def apply(folder: Path, wanted: Plan, versions: str) -> None:
    """Bring a folder up to date: first what is new, then away with what is old. OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    there = {
        model: {name: target for name, target in links.items() if Path(target).exists()}
        for model, links in wanted.items()
    }
    for model, links in there.items():
        (folder / model).mkdir(exist_ok=True)
        for name, target in links.items():
            _link(folder / model / name, target, versions)
    for model_folder in list(folder.iterdir()):
        if not model_folder.is_symlink() and model_folder.is_dir():
            _take_away(model_folder, there.get(model_folder.name, {}), versions)


def _link(link: Path, target: str, versions: str) -> None:
    """In one step, also in the place of another link of ours."""
    if link.is_symlink() and str(link.readlink()) == target:
        return
    if os.path.lexists(link) and not _is_ours(link, versions):
        raise FileExistsError(
            errno.EEXIST, "what stands here is not the node's: move it away", str(link)
        )
    new = link.with_name(_NEW)
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(link)


def _take_away(folder: Path, keep: dict[str, str], versions: str) -> None:
    """Our links that are not to stand, and the folder with the last of them."""
    gone = [
        one
        for one in folder.iterdir()
        if one.name not in keep
        and (one.name.isdigit() or one.name in (_CONFIG, _NEW))
        and _is_ours(one, versions)
    ]
    for link in gone:
        link.unlink()
    if gone and not keep and not any(folder.iterdir()):
        folder.rmdir()


def _is_ours(link: Path, versions: str) -> bool:
    return link.is_symlink() and str(link.readlink()).startswith(versions)
