"""Commands as the documents show them: they and their options exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from cachctl.main import cli
from cachd.main import cli as cachd_cli

ROOT = Path(__file__).parents[2]
DOCUMENTS = ["README.md", "docs/OPERATIONS.md", "docs/CLI.md", "docs/BENCHMARKS.md"]
_SHOWN = re.compile(
    r"^(?: {4}|```\n|\$ )?(?:[A-Z_]+=\S+ )*((?:cachctl|cachd) [^\n`]*)$", re.MULTILINE
)


def shown(document: str) -> list[str]:
    """Lines of the document that are commands, continued lines joined, without comments."""
    text = (ROOT / document).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.startswith("    ")]
    return [found[1] for line in lines if (found := _SHOWN.match(line))]


COMMANDS = [(document, line) for document in DOCUMENTS for line in shown(document)]


@pytest.mark.parametrize(("document", "line"), COMMANDS)
def test_it_exists(document: str, line: str) -> None:
    program, *words = shlex.split(line, comments=True)
    command: click.Command = cli if program == "cachctl" else cachd_cli
    known = options_of(command)
    while isinstance(command, click.Group):
        name = next(word for word in words if not word.startswith("-"))
        found = command.get_command(click.Context(command), name)
        assert found is not None, f"{document}: there is no {name} in {line!r}"
        words.remove(name)
        command = found
        known |= options_of(command)
    asked = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert asked <= known, f"{document}: {line!r}"


def options_of(command: click.Command) -> set[str]:
    return {name for option in command.params for name in (*option.opts, *option.secondary_opts)}


def test_commands_are_found() -> None:
    assert len(COMMANDS) > 40
