"""The command group. Only `main` prints errors and sets exit codes.

Commands are imported when they are called, so that `cachctl --help` costs no library.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from typing import Any

import click

from cachctl import exits
from cachctl.target import Settings, merge, target_options

_COMMANDS = {
    "init": "Make a registry with its ledger and keys.",
    "push": "Upload a directory of files as the next version of a model.",
    "promote": "Point a stage at a version, signed, by compare-and-swap.",
    "rollback": "Go back to the previous version of a stage, at once.",
    "split": "Give a percentage of a stage's requests to its new version.",
    "propose": "Propose a move that others must approve.",
    "approve": "Sign a proposed move; the last signature needed moves the stage.",
    "reject": "Close a proposed move.",
    "proposals": "What waits for signatures.",
    "policy": "Show who must sign what, or replace it.",
    "key": "Make a key of your own.",
    "resolve": "Say which version a reference means now.",
    "list": "List models.",
    "show": "Show a model, or one version of it.",
    "search": "Find versions by tags, metrics, lineage and more.",
    "annotate": "Say something about a version or a model.",
    "delete": "Delete a version that no stage names.",
    "region": "Where versions are kept besides the home region.",
    "replicate": "Copy versions to the origin of another region.",
    "prefetch": "Bring a version to the nodes of a region before it is needed.",
    "pin": "Keep a version in memory on the nodes of a region.",
    "unpin": "End that.",
    "pins": "Which versions are pinned, where, until when and why.",
    "retention": "Say how many versions of a model gc leaves.",
    "gc": "Delete from the origin what no version needs.",
    "events": "What happens, as it happens.",
    "webhook": "Send events to a URL, signed.",
    "history": "Who changed what of a model, when and why.",
    "audit": "What happened, and what served at a moment in the past.",
    "status": "Desired and observed version of a model on every node.",
    "origin": "Look after the object storage: verify it, repair it.",
    "verify": "Check the ledger, the origin or a node's cache from end to end.",
    "backup": "How far the backup of the log is; bring it up to date.",
    "restore": "Make a registry anew of its backup, and of what nodes hold.",
    "epoch": "Go on after entries of the log were lost.",
    "migrate": "Move the ledger to PostgreSQL, or back.",
    "demo": "Run the main job on this machine: real processes, a flip under load, kills.",
}
_MODULES = {"list": "cachctl.commands.list_models", "demo": "cachctl.demo.command"}


class _Commands(click.Group):
    """Imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(_MODULES.get(cmd_name, f"cachctl.commands.{cmd_name}"))
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), said) for code, said in exits.MEANINGS.items()])


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@target_options
@click.version_option(package_name="cachd")
@click.pass_context
def cli(ctx: click.Context, /, **given: Any) -> None:
    """Models, versions and stages of a cachd registry.

    A registry is a directory (embedded; no daemon needed) or the URL of an authority. Options may
    stand before or after the command's name.
    """
    ctx.obj = merge(Settings(), given)


def main() -> None:
    """Run, and turn whatever goes wrong into a message and an exit code."""
    wants_json = "--json" in sys.argv[1:]
    try:
        code = cli(prog_name="cachctl", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else exits.OK)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        _say_json(wants_json, "usage", error.format_message())
        sys.exit(exits.INVALID)
    except (click.Abort, KeyboardInterrupt):
        click.echo("cachctl: interrupted", err=True)
        _say_json(wants_json, "interrupted", "interrupted")
        sys.exit(exits.INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output went away; a second one while the interpreter ends says nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(exits.OK)
    except Exception as error:
        sys.exit(_report(error, wants_json=wants_json))


def _report(error: Exception, *, wants_json: bool) -> int:
    """Say what went wrong; the exit code for it."""
    from cachctl.errors import details
    from cachctl.output import printable
    from registry_core.errors import RegistryError

    if not isinstance(error, RegistryError):
        import traceback

        traceback.print_exception(error)
        click.echo("cachctl failed by a fault of its own: please report the lines above", err=True)
        _say_json(wants_json, "internal", str(error))
        return exits.INTERNAL
    click.echo(f"cachctl: {printable(str(error))}", err=True)
    _say_json(wants_json, error.code, str(error), details(error))
    return exits.exit_code(error.code)


def _say_json(wanted: bool, code: str, message: str, more: dict[str, Any] | None = None) -> None:
    if wanted:
        with contextlib.suppress(OSError):  # nobody is there to read it
            click.echo(json.dumps({"error": {"code": code, "message": message} | (more or {})}))
