"""Help: complete, true, and quick to come."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import cachd.cache.errors
import cachd.control.problems
import cachd.main
import registry_core.errors
import registry_core.ledger.replica
from cachctl import exits
from cachctl.main import cli
from tests.cli.cachctl import cachctl
from tests.models import make_model

COMMANDS = cli.list_commands(click.Context(cli))


def command(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    return found


def examples(name: str) -> list[list[str]]:
    """The words of each example in a command's help, without `cachctl`."""
    _, _, text = (command(name).help or "").partition("Examples:")
    lines = text.replace("\\\n", " ").splitlines()
    found = [shlex.split(line) for line in lines if line.strip()]
    assert all(words[0] == "cachctl" for words in found), found
    return [words[1:] for words in found]


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_real_commands(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the examples' files are
    for folder in ("model", "v1", "v2"):
        make_model(tmp_path / folder, tensors=1)
    assert examples(name)
    for words in examples(name):
        outer = cli.make_context("cachctl", list(words))
        given, _, rest = cli.resolve_command(outer, [*outer._protected_args, *outer.args])
        assert given == name, words
        command(name).make_context(name, rest, parent=outer)


def test_every_command_shows_its_examples_and_options() -> None:
    for name in COMMANDS:
        said = click.Context(command(name)).get_help()
        assert "Examples:" in said, name
        for option in ("--json", "--registry", "--keys", "--actor"):
            assert option in said, name


def test_both_ways_to_start_it() -> None:
    installed = Path(sys.executable).with_name("cachctl")
    said = subprocess.run([installed, "push", "--help"], capture_output=True, text=True, check=True)
    assert said.stdout.startswith("Usage: cachctl push")
    assert cachctl("push", "--help").out == said.stdout


def test_every_exit_code_is_told() -> None:
    said = " ".join(cachctl("--help").out.split())
    table = (Path(__file__).parents[2] / "docs" / "CLI.md").read_text(encoding="utf-8")
    for code, meaning in exits.MEANINGS.items():
        assert f"{code} {meaning}" in said
        assert f"| {code} | {meaning} |" in table


def test_every_command_is_documented() -> None:
    table = (Path(__file__).parents[2] / "docs" / "CLI.md").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f"`{name}" in table, name


@pytest.mark.parametrize("name", ["authority", "node", "dev"])
def test_every_option_of_the_daemons_is_documented(name: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / "CLI.md").read_text(encoding="utf-8")
    daemon = cachd.main.cli.get_command(click.Context(cachd.main.cli), name)
    assert daemon is not None
    for option in daemon.params:
        if isinstance(option, click.Option) and not option.hidden:
            assert f"`{option.opts[0]}`" in text or f"`{option.opts[0]} " in text, option.opts[0]


def kinds(module: object) -> Iterator[type[registry_core.errors.RegistryError]]:
    for kind in vars(module).values():
        if isinstance(kind, type) and issubclass(kind, registry_core.errors.RegistryError):
            yield kind


def test_no_error_of_the_library_passes_for_a_fault_of_ours() -> None:
    roots = {"registry_error", "cache", "version_incomplete"}  # never raised at the command line
    for module in (registry_core.errors, registry_core.ledger.replica, cachd.cache.errors,
                   cachd.control.problems):  # fmt: skip
        for kind in kinds(module):
            if kind.code not in roots:
                assert exits.exit_code(kind.code) != exits.INTERNAL, kind


def test_help_loads_no_library() -> None:
    """What makes `cachctl --help` quick, without a clock."""
    program = (
        "import sys; sys.argv[1:] = ['--help']\n"
        "from cachctl.main import main\n"
        "try: main()\n"
        "finally: print(sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          check=True, timeout=60).stderr  # fmt: skip
    for heavy in ("registry_core", "cachd", "rich", "lmdb", "cryptography", "obstore", "numpy"):
        assert f"'{heavy}'" not in said
