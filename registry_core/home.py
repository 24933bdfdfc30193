"""The directory of an embedded registry: what `init` makes and `open` finds.

    config.json   registry id, origin URL and its options, name of its region, ledger URL
    root.json     what nodes trust this registry by: hand a copy to each node
    keys/         owner, authority, publisher, promoter, stager (PEM, 0600)
    ledger/       LMDB, unless config.json names a PostgreSQL database
    origin/       the default origin, when no other is named

`init` builds everything in a directory beside and renames it into place: it is there whole or not.
A ledger in PostgreSQL is begun after that, by whoever opens it first.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry_core.domain import canonical, limits
from registry_core.domain.entry import REGISTRY_TAG, EntryType
from registry_core.domain.identifiers import RegionName
from registry_core.domain.policy import Policy, Root
from registry_core.domain.region import HOME_REGION
from registry_core.errors import Conflict, InvalidInput, LedgerUnavailable, NotFound
from registry_core.ledger import log, subjects
from registry_core.ledger.change import Change
from registry_core.ledger.draft import Draft
from registry_core.ledger.ledger import Ledger
from registry_core.ledger.lmdb_store import LmdbStore
from registry_core.ledger.store import Store
from registry_core.origin.store import Origin
from registry_core.trust.keys import Keyring, SigningKey
from registry_core.trust.policy import default_policy, make_root, sign_policy

CONFIG_FORMAT = "cachd.config/1"
OWNER, AUTHORITY = "owner", "authority"


@dataclass(frozen=True, slots=True)
class RegistryHome:
    """A directory that `init` made."""

    path: Path
    registry: str
    origin_url: str
    origin_options: Mapping[str, Any]
    ledger_url: str = ""
    region: RegionName = HOME_REGION
    """What the home region is called, for who begins the ledger: from then on the ledger says."""

    @classmethod
    def load(cls, path: Path) -> RegistryHome:
        config = path / "config.json"
        data = _read(config, f"there is no registry in {path}: run `cachctl init {path}`")
        doc = canonical.decode_any_json(data, bytes_max=limits.KEY_FILE_MAX, what=str(config))
        if not isinstance(doc, dict) or doc.get("format") != CONFIG_FORMAT:
            raise InvalidInput(f"{config} is not of format {CONFIG_FORMAT}")
        try:
            registry, url = str(doc["registry"]), str(doc["origin"]["url"])
            options = dict(doc["origin"]["options"].items())
            ledger_url = str(doc.get("ledger", {}).get("url", ""))
            region = RegionName.parse(doc["origin"].get("region", HOME_REGION.text))
        except (KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(f"{config} does not say registry and origin: mend it") from error
        url = url or (path / "origin").absolute().as_uri()
        return cls(path, registry, url, options, ledger_url, region)

    def root(self) -> Root:
        path = self.path / "root.json"
        return Root.parse(_read(path, f"{path} is missing: copy it from a node or a backup"))

    def keyring(self) -> Keyring:
        return Keyring(self.path / "keys")

    def open_origin(self) -> Origin:
        return Origin.open(self.origin_url, self.origin_options)

    def open_ledger(self, *, readonly: bool, holder: str) -> Ledger:
        root = self.root()
        authority = None if readonly else self.keyring().get(AUTHORITY)
        if authority is not None and authority.public_pem != root.authority:
            raise InvalidInput(
                f"the key {AUTHORITY!r} in {self.keyring().directory} is not the one that "
                "root.json names: nodes would refuse what it signs"
            )
        store = self._open_store(readonly=readonly, holder=holder)
        try:
            ledger = Ledger(store, root, authority, clock_ms)
            if self.ledger_url and not readonly:
                _begin_ledger(ledger, root, self.keyring(), self.region, holder)
            _require_root(store, root)
        except BaseException:
            store.close()
            raise
        return ledger

    def _open_store(self, *, readonly: bool, holder: str) -> Store:
        if self.ledger_url:
            from registry_core.ledger.postgres_store import PostgresStore

            return PostgresStore(self.ledger_url, readonly=readonly)
        directory = self.path / "ledger"
        if not (directory / "data.mdb").exists():
            raise LedgerUnavailable(
                f"the ledger {directory} is gone: restore it from a backup, or from the nodes' logs"
            )
        return LmdbStore(directory, readonly=readonly, holder=holder)


def clock_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


def init_home(
    path: Path, *, origin_url: str, origin_options: Mapping[str, Any], actor: str,
    ledger_url: str = "", region: RegionName = HOME_REGION,
) -> RegistryHome:  # fmt: skip
    """Make a registry in `path`, which must not exist or be empty. Without an origin URL the
    registry keeps its chunks in `path`/origin, without a ledger URL its ledger in `path`/ledger.
    `region` is what the region of that origin is called."""
    if origin_url:
        Origin.open(origin_url, origin_options)
    if ledger_url:
        _refuse_used(ledger_url)
    with made_whole(path) as aside:
        _fill(aside, origin_url, origin_options, ledger_url, region, actor)
    home = RegistryHome.load(path)
    if ledger_url:
        home.open_ledger(readonly=False, holder=actor).close()
    return home


@contextmanager
def made_whole(path: Path) -> Iterator[Path]:
    """A directory to fill, which is then `path`: new or empty before, afterwards there whole or, if
    the block raises, as it was."""
    path = Path(os.path.abspath(path))  # noqa: PTH100  # Path.absolute() keeps `..`
    if path == Path.cwd():
        raise Conflict(
            f"{path} is the current directory, which cannot be made whole at once: "
            "run this from outside of it"
        )
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise Conflict(f"{path} exists and is not an empty directory: choose another")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.parent / f".{path.name}.init-{uuid.uuid4().hex[:8]}"
    try:
        aside.mkdir(mode=0o750)
        yield aside
        _sync_directory(aside)
        aside.replace(path)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    _sync_directory(path.parent)


def write_documents(
    path: Path, root: Root, origin_url: str, origin_options: Mapping[str, Any],
    ledger_url: str = "", region: RegionName = HOME_REGION,
) -> None:  # fmt: skip
    """root.json and config.json of a registry's directory."""
    write_durably(path / "root.json", root.encoded)
    origin: dict[str, Any] = {"url": origin_url, "options": dict(origin_options)}
    if region != HOME_REGION:
        origin["region"] = region.text
    config: dict[str, Any] = {
        "format": CONFIG_FORMAT,
        "registry": root.registry,
        "origin": origin,
    }
    if ledger_url:
        config["ledger"] = {"url": ledger_url}
    write_durably(path / "config.json", json.dumps(config, indent=2).encode() + b"\n")


def _fill(
    path: Path, origin_url: str, origin_options: Mapping[str, Any], ledger_url: str,
    region: RegionName, actor: str,
) -> None:  # fmt: skip
    registry = secrets.token_hex(16)
    (path / "keys").mkdir(mode=0o700)
    keyring = Keyring(path / "keys")
    keys = {name: SigningKey.generate_p256() for name in (OWNER, "publisher", "promoter", "stager")}
    keys[AUTHORITY] = SigningKey.generate_ed25519()
    for name, key in keys.items():
        keyring.create(name, key)
    root = make_root(registry, keys[OWNER], keys[AUTHORITY])
    write_documents(path, root, origin_url, origin_options, ledger_url, region)
    if not origin_url:
        (path / "origin").mkdir()
    if not ledger_url:
        store = LmdbStore(path / "ledger", holder="cachctl init")
        ledger = Ledger(store, root, keys[AUTHORITY], clock_ms)
        _begin_ledger(ledger, root, keyring, region, actor)
        ledger.close()


def _begin_ledger(
    ledger: Ledger, root: Root, keys: Keyring, region: RegionName, actor: str
) -> None:
    """Write the first entries, unless somebody has."""
    with ledger.store.write() as txn:
        if log.stored_root(txn) is None:
            log.store_root(txn, root)
        if log.log_size(txn):
            return
    policy = default_policy(
        root.registry, keys.get("publisher"), keys.get("promoter"), keys.get("stager")
    )
    owner = keys.get(OWNER)
    ledger.commit(lambda draft: _first_entries(draft, root, region, policy, owner, actor))


def _refuse_used(ledger_url: str) -> None:
    from registry_core.ledger.postgres_store import PostgresStore

    store = PostgresStore(ledger_url)
    try:
        with store.read() as txn:
            if log.stored_root(txn) is not None:
                raise Conflict("the database holds a registry already: choose another, or its home")
    finally:
        store.close()


def _first_entries(
    draft: Draft, root: Root, region: RegionName, policy: Policy, owner: SigningKey, actor: str
) -> None:
    if log.log_size(draft.txn):
        return  # somebody else was faster
    change = Change(actor, "init", uuid.uuid4().hex)
    named = {} if region == HOME_REGION else {"region": region.text}
    draft.append(
        EntryType.REGISTRY_CREATED,
        subjects.REGISTRY,
        tag=REGISTRY_TAG,
        before=None,
        after={"registry": root.registry, "root": str(root.digest)} | named,
        change=change,
    )
    draft.append(
        EntryType.POLICY_SET,
        subjects.REGISTRY,
        tag=REGISTRY_TAG,
        before=None,
        after={"envelope": sign_policy(policy, owner).to_json()},
        change=change,
    )


def _require_root(store: Store, root: Root) -> None:
    with store.read() as txn:
        stored = log.stored_root(txn)
    if stored is None or stored.digest != root.digest:
        raise InvalidInput("root.json is not of this ledger, which was begun under another root")


def _read(path: Path, missing: str) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(missing) from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read ({error.strerror})") from error


def write_durably(path: Path, data: bytes) -> None:
    """A new file."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
