"""Which registry a command works on, with whose keys, as whom, and how it answers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:  # the library is imported when a command opens a registry, not for --help
    from registry_core.registry import Registry

DEFAULT_HOME = Path("~/.cachd/registry")
_OPTIONS = ("registry", "keys", "actor", "as_json")


@dataclass(frozen=True, slots=True)
class Settings:
    """What was given before or after the command's name, or by the environment."""

    registry: str | None = None
    keys: str | None = None
    actor: str | None = None
    as_json: bool | None = None

    @property
    def is_remote(self) -> bool:
        return (self.registry or "").startswith(("http://", "https://"))

    @property
    def home(self) -> Path:
        """The directory of an embedded registry."""
        return Path(self.registry or DEFAULT_HOME).expanduser()

    def open(self, *, readonly: bool) -> Registry:
        """The registry. Reading an embedded one works beside whoever writes to it."""
        import registry_core

        if not self.is_remote:
            registry = registry_core.open(
                self.home, readonly=readonly, actor=self.actor, holder="cachctl"
            )
            return registry if self.keys is None else registry.with_keys(self._keyring())
        from cachd.control.remote import connect

        return connect(str(self.registry), self._keyring(), self.actor or self._whoami())

    def _keyring(self) -> Any:
        from registry_core.trust.keys import Keyring

        given = Path(self.keys).expanduser() if self.keys else DEFAULT_HOME.expanduser() / "keys"
        return Keyring(given)

    def _whoami(self) -> str:
        import registry_core

        return registry_core.default_actor()


def merge(settings: Settings, given: dict[str, Any]) -> Settings:
    """`settings` with what was `given` on top."""
    said = {name: given[name] for name in _OPTIONS if given.get(name) is not None}
    return replace(settings, **said)


def target_options(command: Callable[..., Any], *, own: str = "") -> Callable[..., Any]:
    """--registry, --keys, --actor and --json, as they stand at the group and at each command. The
    one that a command has as its `own`, with another meaning, is left out."""
    options = {
        "as_json": click.option("--json", "as_json", is_flag=True, default=None,
                                help="One JSON object on standard output."),
        "actor": click.option("--actor", envvar="CACHD_ACTOR",
                              help="Who changes are logged under.  [default: user@host]"),
        "keys": click.option("--keys", envvar="CACHD_KEYS", metavar="DIR",
                             help="Your signing keys.  [default: REGISTRY/keys]"),
        "registry": click.option("--registry", envvar="CACHD_REGISTRY", metavar="TARGET",
                                 help="A registry's directory, or http://HOST:PORT of an "
                                      f"authority.  [default: {DEFAULT_HOME}]"),
    }  # fmt: skip
    for name, option in options.items():
        if name != own:
            command = option(command)
    return command


def with_settings(run: Callable[..., Any], *, own: str = "") -> Callable[..., Any]:
    """A command that takes the target options and gets `settings`, both levels merged."""

    @functools.partial(target_options, own=own)
    @click.pass_context
    @functools.wraps(run)
    def wrapped(ctx: click.Context, /, **given: Any) -> Any:
        outer = ctx.obj if isinstance(ctx.obj, Settings) else Settings()
        rest = {name: value for name, value in given.items() if name not in _OPTIONS or name == own}
        given.pop(own, None)
        return run(settings=merge(outer, given), **rest)

    return wrapped
