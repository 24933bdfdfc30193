"""What an LMDB file needs before it may be mapped into this process.

A damaged file can kill the process that maps it (SIGBUS), so a file of unknown history (copied,
restored, moved from another disk) is first read whole in a child process: `python -m
registry_core.ledger.lmdb_care DIR`. LMDB's locks do not work on network filesystems.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from registry_core.errors import LedgerUnavailable

_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "gpfs"}
)
_EXAMINE_S_MAX = 600


def refuse_network_filesystem(directory: Path) -> None:
    kind = _filesystem_type(directory.resolve())
    if kind in _NETWORK or kind.startswith("fuse."):
        raise LedgerUnavailable(
            f"{directory} is on a network filesystem ({kind}), on which LMDB's locks do not hold: "
            "use a local disk, or PostgreSQL where several machines must write"
        )


def _filesystem_type(path: Path) -> str:
    best, kind = "", ""
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        fields = line.split()
        mount = fields[4].encode().decode("unicode_escape")
        if path.is_relative_to(mount) and len(mount) >= len(best):
            best, kind = mount, fields[fields.index("-") + 1]
    return kind


def examine_if_unknown(directory: Path) -> None:
    """Read the whole file in a child process unless this very file was closed or made here."""
    data = directory / "data.mdb"
    if not data.exists() or _identity(data) == _known_identity(directory):
        return
    try:
        child = subprocess.run(  # noqa: S603  # our own interpreter, our own module
            [sys.executable, "-m", "registry_core.ledger.lmdb_care", str(directory)],
            capture_output=True,
            text=True,
            timeout=_EXAMINE_S_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LedgerUnavailable(f"examining {data} took more than {_EXAMINE_S_MAX} s") from error
    if child.returncode != 0:
        told = child.stderr.strip().splitlines()[-1:] if child.returncode > 0 else []
        reason = told[0] if told else f"reading it ended with {child.returncode}"
        raise LedgerUnavailable(
            f"{data} is damaged ({reason}): restore it from a backup, or from the nodes' logs"
        )
    remember(directory)


def remember(directory: Path) -> None:
    """Note that the file now in `directory` is one that this program made or has examined."""
    aside = directory / ".identity.tmp"
    aside.write_text(json.dumps(_identity(directory / "data.mdb")), encoding="utf-8")
    aside.replace(directory / "identity.json")


def _identity(data: Path) -> list[int]:
    state = data.stat()
    return [state.st_dev, state.st_ino]


def _known_identity(directory: Path) -> object:
    try:
        return json.loads((directory / "identity.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _examine(directory: Path) -> None:
    """Touch every record; a checksum that does not hold, or a signal, ends this process."""
    from registry_core.ledger.lmdb_store import LmdbStore
    from registry_core.ledger.store import Table

    store = LmdbStore(directory, readonly=True, examined=True)
    with store.read() as txn:
        for table in Table:
            for _ in txn.scan(table):
                pass
    store.close()


if __name__ == "__main__":
    _examine(Path(os.fsdecode(sys.argv[1])))
