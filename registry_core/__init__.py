"""registry_core: a model registry as an embedded library. No server, no event loop.

    import registry_core
    registry = registry_core.init("/srv/registry")         # once; afterwards: open(path)
    registry.push("./model", "fraud-detector")
    registry.promote("fraud-detector@production", 1)
    registry.resolve("fraud-detector@production").version.digest

domain    what is true about models, as pure code
trust     who may say what
ledger    the log and its tables
origin    object storage
push      from files to a registered version; replicate: to other regions' origins
control   the operations that need the writable ledger; embedded: over a ledger in this process
registry  the front door; home: the directory that init makes; verify: from end to end
"""

from __future__ import annotations

from collections.abc import Mapping
from getpass import getuser
from pathlib import Path
from socket import gethostname
from typing import Any

from registry_core.domain.identifiers import RegionName
from registry_core.domain.region import HOME_REGION
from registry_core.embedded.control import EmbeddedControl
from registry_core.errors import RegistryError, Stale
from registry_core.home import RegistryHome, init_home
from registry_core.registry import Registry

__all__ = ["Registry", "RegistryError", "Stale", "init", "open"]


def init(
    path: str | Path,
    *,
    origin: str = "",
    origin_options: Mapping[str, Any] | None = None,
    region: str = HOME_REGION.text,
    ledger: str = "",
    actor: str | None = None,
) -> Registry:
    """Make a registry in `path` (new or empty), with all its keys, and open it.

    `origin` is a URL (`file:///…`, `s3://bucket/prefix`); without it chunks live in `path`/origin.
    `region` is what the region of that origin is called; others are added by `regions.add`.
    `ledger` is the URL of a PostgreSQL database (`postgresql://…`), for when several authorities
    are to serve one registry; without it the ledger is LMDB in `path`/ledger.
    """
    init_home(
        Path(path),
        origin_url=origin,
        origin_options=origin_options or {},
        actor=actor or default_actor(),
        ledger_url=ledger,
        region=RegionName.parse(region),
    )
    return open(path, actor=actor)


def open(  # noqa: A001  # read as registry_core.open
    path: str | Path,
    *,
    readonly: bool = False,
    actor: str | None = None,
    holder: str = "a script",
) -> Registry:
    """Open the registry in `path`.

    Writing takes an exclusive lock (LedgerLocked names the holder); any number may read beside it.
    `actor` is who changes are logged under; by default user@host.
    """
    home = RegistryHome.load(Path(path))
    ledger = home.open_ledger(readonly=readonly, holder=holder)
    keys, origin = home.keyring(), home.open_origin()
    stager = keys.get("stager") if "stager" in keys.names() and not readonly else None
    control = EmbeddedControl(ledger, home.root(), origin, stager)
    return Registry(control, origin, keys, actor or default_actor())


def default_actor() -> str:
    """user@host, as the log shows it."""
    try:
        user = getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{gethostname()}"
