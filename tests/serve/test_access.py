"""Who may attach to what, and what a worker can do with what it gets: read."""

from __future__ import annotations

import errno
import mmap
import multiprocessing
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cachd.node.allow_uid import allowed_uids
from cachd.serve.allowed_uids import WHOEVER_CONNECTS, AllowedUids
from cachd.serve.client import (
    Attached,
    AttachError,
    AttachTimeout,
    InvalidArgument,
    NotAllowed,
    NotServed,
    attach,
)
from cachd.serve.resident import ResidentVersion
from registry_core.errors import InvalidInput
from tests.serve.rig import MODEL, STAGE, HostThread, make_version, target, until

Versions = list[ResidentVersion]
Attach = Callable[..., Attached[Any]]
StartHost = Callable[..., HostThread]
NOBODY = 65_534


def test_an_allow_list_names_users_and_models(
    start_host: StartHost, versions: Versions, attached: Attach
) -> None:
    own = os.geteuid()
    host = start_host(allowed=AllowedUids({own: ((MODEL, "prod*"),), own + 1: (("*", "*"),)}))
    for stage in (STAGE, "staging"):
        host.set_target(target(1, 0, versions[1], stage=stage))
    assert attached().acquire().number == 1
    for model, stage in [("fraud", STAGE), (MODEL, "staging")]:
        with pytest.raises(
            NotAllowed, match=f"uid {own} may not attach to {model}@{stage} on this"
        ):
            attached(model=model, stage=stage)
    assert issubclass(NotAllowed, NotServed)
    assert host.attached == [(MODEL, STAGE)]  # nobody else's wish was taken


def test_a_list_that_shrinks_ends_no_answer(
    start_host: StartHost, versions: Versions, attached: Attach
) -> None:
    host = start_host()
    host.set_target(target(1, 0, versions[1]))
    model = attached()
    host.stop()
    start_host(allowed=AllowedUids({}))
    until(lambda: "may not attach" in (model.last_error or ""), "the refusal")
    assert model.acquire().number == 1


def test_options_of_an_allow_list() -> None:
    made = allowed_uids(["1000=minilm@production,fraud@*", "1000=x@y", "root=*@*"])
    assert made.patterns == {
        1000: (("minilm", "production"), ("fraud", "*"), ("x", "y")),
        0: (("*", "*"),),
    }
    assert allowed_uids([]) is WHOEVER_CONNECTS
    for text, said in [
        ("1000", "is not UID=NAME@STAGE"),
        ("1000=minilm", "is not NAME@STAGE"),
        ("1000=a@b,", "is not NAME@STAGE"),
        ("no-such-user-here=a@b", "there is no user"),
        ("4294967295=a@b", "is no uid"),
        ("=a@b", "there is no user"),
    ]:
        with pytest.raises(InvalidInput, match=said):
            allowed_uids([text])


def test_modes_of_the_runtime_directory(host: HostThread, runtime_dir: Path) -> None:
    modes = {
        name: stat.S_IMODE((runtime_dir / name).stat().st_mode) for name in (".", "cachd.sock")
    }
    assert modes == {".": 0o750, "cachd.sock": 0o660}
    assert stat.S_IMODE((runtime_dir / "page").stat().st_mode) & 0o022 == 0


def test_a_directory_that_is_there_keeps_its_mode(runtime_dir: Path, start_host: StartHost) -> None:
    runtime_dir.mkdir(mode=0o711)
    runtime_dir.chmod(0o711)
    start_host()
    assert stat.S_IMODE(runtime_dir.stat().st_mode) == 0o711


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"socket": "/nowhere/cachd.sock"},
            "no daemon is there .*Start `cachd node`, or set CACHD",
        ),
        ({"model": "No Such Name"}, "model 'No Such Name' is not valid"),
        ({"stage": ""}, "stage '' is not valid"),
        ({"socket": "/" + "x" * 108}, "use a shorter runtime directory"),
        ({}, "nothing to serve yet: `cachctl promote minilm@production VERSION`"),
    ],
)
def test_bad_use_says_what_to_do(
    host: HostThread, attached: Attach, options: dict[str, str], said: str
) -> None:
    with pytest.raises((AttachTimeout, InvalidArgument), match=said):
        attached(**{"timeout_s": 0.1, **options})


def test_what_the_node_waits_for_is_said(host: HostThread, attached: Attach) -> None:
    raised: list[BaseException] = []

    def try_it() -> None:
        try:
            attached(timeout_s=1)
        except AttachError as error:
            raised.append(error)

    thread = threading.Thread(target=try_it)
    thread.start()
    until(lambda: host.observed().workers == 1, "the attach")
    host.call(lambda one: one.tell_waiting(MODEL, STAGE, "version 3 needs 5.1 GB, 3.2 are free"))
    thread.join()
    assert "version 3 needs 5.1 GB, 3.2 are free" in str(raised[0])


def attempts(view: Any, page: str) -> dict[str, str]:
    """What comes of every way to write through what a worker has."""
    fd = view.fd("number.txt")
    directory = view.loaded.version.sources._directory_fd
    buffer = view.buffer("number.txt")
    page_fd = next(fd for fd in map(int, os.listdir("/proc/self/fd")) if is_file(fd, page))
    ways: dict[str, Callable[[], object]] = {
        "write": lambda: os.pwrite(fd, b"9", 0),
        "truncate": lambda: os.ftruncate(fd, 0),
        "map": lambda: mmap.mmap(fd, 0, prot=mmap.PROT_READ | mmap.PROT_WRITE),
        "buffer": lambda: buffer.__setitem__(0, 57),
        "reopen": lambda: os.open(f"/proc/self/fd/{fd}", os.O_RDWR),
        "open within": lambda: os.open("number.txt", os.O_RDWR, dir_fd=directory),
        "create": lambda: os.open("new.txt", os.O_RDWR | os.O_CREAT, dir_fd=directory),
        "unlink": lambda: os.unlink("number.txt", dir_fd=directory),
        "chmod": lambda: os.fchmod(fd, 0o777),
        "page": lambda: os.pwrite(page_fd, b"9", 64),
        "map page": lambda: mmap.mmap(page_fd, 0, prot=mmap.PROT_READ | mmap.PROT_WRITE),
        "reopen page": lambda: os.open(f"/proc/self/fd/{page_fd}", os.O_RDWR),
    }
    return {name: outcome(way) for name, way in ways.items()}


def is_file(fd: int, path: str) -> bool:
    try:
        seen, named = os.fstat(fd), Path(path).stat()
    except OSError:
        return False
    return (seen.st_dev, seen.st_ino) == (named.st_dev, named.st_ino)


def outcome(way: Callable[[], object]) -> str:
    try:
        way()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    except TypeError:
        return "read-only"
    return "DONE"


def test_descriptors_are_read_only(
    host: HostThread, versions: Versions, attached: Attach, runtime_dir: Path
) -> None:
    host.set_target(target(1, 0, versions[1]))
    view = attached().acquire()
    came = attempts(view, str(runtime_dir / "page"))
    through = {
        name: came[name] for name in ("write", "truncate", "map", "buffer", "page", "map page")
    }
    assert through == {
        "write": "EBADF",
        "truncate": "EINVAL",
        "map": "EACCES",
        "buffer": "read-only",
        "page": "EBADF",
        "map page": "EACCES",
    }


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that other users can look into, which pytest's are not."""
    if os.geteuid() != 0:
        pytest.skip("acting as another user needs root")
    folder = Path(tempfile.mkdtemp(prefix="cachd-access-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def as_nobody(groups: list[int], act: Callable[[], object]) -> Any:
    """What `act` returns in a process of user and group nobody."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def child() -> None:
        os.setgroups(groups)
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        theirs.send(act())

    process = context.Process(target=child)
    process.start()
    try:
        assert ours.poll(30)
        return ours.recv()
    finally:
        process.kill()
        process.join()


def attach_and_try(socket: str, page: str) -> object:
    try:
        with attach(MODEL, load=lambda v: v.number, socket=socket, timeout_s=0.5) as model:
            return attempts(model.acquire(), page)
    except AttachError as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.root
def test_another_user(open_folder: Path) -> None:
    """Outside of the group: refused by the directory. In it: reads, and can write nothing."""
    import hashlib  # noqa: F401  # before the privileges go, which read the interpreter's files
    import json  # noqa: F401

    version = make_version(open_folder, 1)
    for path in Path(version.path).rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)  # as the cache has them
    Path(version.path).chmod(0o555)
    group = 54_321
    run = open_folder / "run"
    host = HostThread(run, allowed=AllowedUids({NOBODY: ((MODEL, STAGE),)}))
    try:
        for path in (run, run / "cachd.sock"):
            os.chown(path, 0, group)
        host.set_target(target(1, 0, version))
        socket, page = str(run / "cachd.sock"), str(run / "page")
        outside = as_nobody([], lambda: attach_and_try(socket, page))
        assert "AttachTimeout: " in outside
        assert f"uid {NOBODY} may not open {socket}" in outside
        assert f"gid {group}" in outside
        inside = as_nobody([group], lambda: attach_and_try(socket, page))
        assert isinstance(inside, dict), inside
        assert "DONE" not in inside.values(), inside
        assert inside["reopen"] == inside["reopen page"] == inside["create"] == "EACCES"
        with pytest.raises(NotAllowed, match="uid 0 may not attach"):
            attach(MODEL, load=lambda v: v.number, socket=socket, timeout_s=5)
    finally:
        host.stop()
