"""A registry's directory, made anew of what backups and nodes hold of its log.

It appears whole or not at all, and only when everything in it was verified: every record is under a
checkpoint that the authority's key signed, and replay accepts no entry that the policy of its time
did not. Who restores must have that key; nothing else has to be trusted.
Point in time: the log is cut. Then, and where entries are known to be missing, the ledger is marked
(`ledger.loss`), and moves wait for an epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry_core.backup.gather import EVERYTHING, Gathered, Until, gather
from registry_core.backup.sources import Source
from registry_core.domain.policy import Root
from registry_core.errors import InvalidInput, NotFound
from registry_core.home import AUTHORITY, clock_ms, made_whole, write_documents
from registry_core.ledger import loss
from registry_core.ledger.ledger import Ledger
from registry_core.ledger.lmdb_store import LmdbStore
from registry_core.push.progress import Progress
from registry_core.trust.keys import Keyring


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to restore: until when, whether with entries missing (`partial`), and the origin that
    the restored registry keeps its files in."""

    origin_url: str
    origin_options: Mapping[str, Any]
    until: Until = EVERYTHING
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Restored:
    """`entries` are there, of `known`; `lost` says what is missing, empty if nothing is known to
    be. `problems` were met on the way and got round."""

    entries: int
    known: int
    lost: str
    problems: tuple[str, ...]


def restore_home(
    path: Path, root: Root, keys: Keyring, sources: Sequence[Source], wanted: Wanted,
    progress: Progress,
) -> Restored:  # fmt: skip
    """Make the registry of `root` in `path`, which must not exist or be empty."""
    authority = _authority_of(root, keys)
    with made_whole(path) as aside:
        write_documents(aside, root, wanted.origin_url, wanted.origin_options)
        _copy_keys(keys, aside / "keys")
        store = LmdbStore(aside / "ledger", holder="cachctl restore")
        try:
            gathered = gather(store, root, sources, wanted.until, progress)
            lost = _lost(gathered, wanted)
            with store.write() as txn:
                if lost:
                    loss.mark_lost(txn, lost)
            if gathered.cut:
                Ledger(store, root, authority, clock_ms).refresh_checkpoint()
        finally:
            store.close()
    return Restored(gathered.size, gathered.known, lost, tuple(gathered.problems))


def _lost(gathered: Gathered, wanted: Wanted) -> str:
    """What is missing, or an error if that must not be."""
    problems = "".join(f"\n  {problem}" for problem in gathered.problems)
    if not gathered.size:
        raise NotFound(f"no entry could be restored: {problems or 'the sources hold none'}")
    if gathered.cut:
        return (
            f"the log was restored up to entry {gathered.size}, of {gathered.known} that are known"
        )
    if gathered.size == gathered.known:
        return ""
    said = f"entries {gathered.size + 1} to {gathered.known} of the log could not be restored"
    if not wanted.partial:
        raise NotFound(
            f"{said}: name more sources, as nodes' data directories (--from-node), or accept the "
            f"loss with --partial{problems}"
        )
    return said


def _authority_of(root: Root, keys: Keyring) -> Any:
    if AUTHORITY not in keys.names():
        raise NotFound(
            f"there is no key {AUTHORITY}.pem in {keys.directory}: a registry cannot be restored "
            "without its authority's key, which is in no backup; name the directory of a copy "
            "with --keys"
        )
    authority = keys.get(AUTHORITY)
    if authority.public_pem != root.authority:
        raise InvalidInput(
            f"the key {AUTHORITY}.pem in {keys.directory} is not the one of registry "
            f"{root.registry}: name its own keys with --keys"
        )
    return authority


def _copy_keys(keys: Keyring, directory: Path) -> None:
    directory.mkdir(mode=0o700)
    copy = Keyring(directory)
    for name in sorted(keys.names()):
        copy.create(name, keys.get(name))
