"""One attachment of this process to a model@stage: the hot path, and everything that moves it.

Invariants
- `_held` is (word, view) and is replaced in one store, so racing threads see a whole pair. The
  word is the page's word as last judged, the view is what this process answers by since then.
- A view changes only in `_settle`, under the lock, to a version that is loaded and warm here. A
  word that names anything else leaves the present view in force for as long as it takes.
- Before `_word` is replaced, `_held` is invalidated: a stale pair costs one slow call.
- While requests are split, `_split` has the word and both views, and `_held` equals no word.
- A loaded version stays on the shelf until the daemon retires it: rolling back loads nothing.
Threads: `acquire` and `close` from any; methods named `_on_…` are called by link and loader. The
lock is re-entrant because a finalizer of a user's value may run anywhere and call `acquire()`.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref

from cachd.serve import errors
from cachd.serve.flip_page import FlipPageError, FlipPageReader, Record, SlotReader
from cachd.serve.from_daemon import Attached as Welcome
from cachd.serve.from_daemon import Flipped, Prepare, Refused, Retire, Waiting
from cachd.serve.from_worker import Failed, Late, Leaving, Ready, Switched
from cachd.serve.leases import LeaseBook
from cachd.serve.limits import CLOSE_TIMEOUT_S, ERROR_CHARS_MAX
from cachd.serve.link import Link
from cachd.serve.loader import Loader
from cachd.serve.names import name_tag
from cachd.serve.shelf import Shelf
from cachd.serve.typed import Of
from cachd.serve.version import Loaded, Version, View
from cachd.serve.wire import WireError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

    from cachd.serve.from_daemon import Message
    from cachd.serve.split import Key, Split
    from cachd.serve.typed import T

_JUDGE_AGAIN = -1  # equals no word of a page
_PLAIN_KEYS = frozenset({str, bytes, int})
_attachments: weakref.WeakSet[Attached[Any]] = weakref.WeakSet()


class Attached(Of["T"]):
    """What `attach` returns: `with model.acquire() as v:` in each request, `close()` at the end."""

    def __init__(
        self,
        model: str,
        stage: str,
        socket_path: str,
        load: Callable[[Version], T],
        warm: Callable[[Version, T], object] | None,
    ) -> None:
        self.model = model
        self.stage = stage
        self.last_error: str | None = None  # of the last version that did not load
        self._waiting = ""  # why the daemon has nothing to load yet
        self._held: tuple[int, View[T] | None] = (_JUDGE_AGAIN, None)
        self._split: Split[T] | None = None
        self._word = _no_word()
        self._lock = threading.RLock()
        self._page: FlipPageReader | None = None
        self._slot: SlotReader | None = None
        self._end: errors.AttachError | None = None  # why nothing can be acquired any more
        self._first = threading.Event()  # the first view is there, or `_end` is
        self._book = LeaseBook()
        self._shelf: Shelf[T] = Shelf(self._book)
        self._link = Link(socket_path, model, stage, self._book, on_message=self._on_message)
        self._loader = Loader(
            f"{model}@{stage} load",
            load,
            warm,
            wanted=self._on_wanted,
            on_loaded=self._on_loaded,
            on_failed=self._on_failed,
            on_late=self._on_late,
        )
        _attachments.add(self)

    def acquire(self, key: Key | None = None) -> View[T]:
        """The version in force, as one whole. No lock and no system call unless something changed.

        While requests are split between two versions, `key` (text, bytes or a whole number, such as
        the id of a user) decides which: the same key gets the same version everywhere, and a larger
        share only moves keys to the new version. Without a key each request is drawn by chance.
        InvalidArgument, Closed, ForkedAfterAttach; never anything because of a flip or a daemon
        that is away."""
        if key is not None and key.__class__ not in _PLAIN_KEYS:
            _check_key(key)
        held = self._held
        word = self._word[0]
        if word == held[0]:
            return held[1]  # type: ignore[return-value]  # no word is held without a view
        split = self._split
        if split is not None and word == split.word:
            return split.pick(key)
        return self._settle(key)

    def close(self) -> None:
        """End the attachment and its leases. Views that are out stay usable; again: no effect."""
        with self._lock:
            self._end = self._end or errors.Closed(
                f"{self.model}@{self.stage} was closed in this process: attach again"
            )
            held, self._held = self._held, (_JUDGE_AGAIN, None)
            split, self._split = self._split, None
            self._page, self._slot, self._word = None, None, _no_word()
            dropped = self._shelf.clear()
            self._first.set()
        self._loader.stop()
        self._book.send(Leaving())
        self._link.stop(CLOSE_TIMEOUT_S)
        del held, split, dropped  # a user's finalizers run here, outside the lock

    def __enter__(self) -> Attached[T]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def begin(self) -> None:
        """Once, by `attach`: from here on the threads run."""
        self._loader.start()
        self._link.start()

    def await_first(self, timeout_s: float) -> None:
        """Until the first version is in force here. In any thread; `close` ends it."""
        if not self._first.wait(timeout_s):
            raise errors.AttachTimeout(
                f"no version of {self.model}@{self.stage} was ready within {timeout_s:g} s: "
                + self._stuck_at()
            )
        if self._end is not None:
            raise self._end

    def forked(self) -> None:
        """In a forked child: neither its threads nor its lease came along."""
        self._lock = threading.RLock()  # the parent's may have been held at the fork
        self._end = errors.ForkedAfterAttach(
            f"process {os.getpid()} was forked after attach({self.model!r}): attach in the worker, "
            "after the fork (gunicorn: post_fork or no --preload; multiprocessing: initializer)"
        )
        self._held = (_JUDGE_AGAIN, self._held[1])
        self._split = None
        self._link.abandon()

    def leave(self) -> None:
        """The process ends, and not by accident. What is held stays usable."""
        if self._end is None:
            self._book.send(Leaving())
            self._link.stop(CLOSE_TIMEOUT_S)

    # The switch

    def _settle(self, key: Key | None = None) -> View[T]:
        """Judge the word: switch if its version is loaded here, else go on as before."""
        dropped: object = None
        with self._lock:
            if self._end is not None:
                raise self._end.with_traceback(None)  # or every raise would lengthen it
            before = self._held, self._split
            view = before[0][1]
            word, record = self._in_force()
            loaded = self._shelf.get(record.handle)
            if loaded is not None and not _shows(view, loaded, record):
                view = View(loaded, record)
                self._book.send(Switched(view.flip, view.handle, view.since_ns))
                dropped = self._shelf.drop_orphans()
            if view is None:
                raise errors.AttachError(f"{self.model}@{self.stage} has no version in force yet")
            split = self._split_of(word, record, view)
            self._split = split
            self._held = (word if split is None else _JUDGE_AGAIN, view)
            self._first.set()
        del before, dropped  # a user's finalizers run here, outside the lock
        return view if split is None else split.pick(key)

    def _split_of(self, word: int, record: Record, view: View[T]) -> Split[T] | None:
        """What picks between two versions, if the record asks for that and both are loaded."""
        loaded = self._shelf.get(record.split_handle)
        if not record.split or loaded is None or view.handle != record.handle:
            return None
        from cachd.serve.split import Split  # imported when used: `_on_welcome` was before

        known = self._split
        if known is not None and known.word == word and known.shows(view, loaded):
            return known
        return Split(
            word,
            view,
            View(loaded, record, handle=record.split_handle),
            name=f"{self.model}@{self.stage}",
            per_mille=record.split,
        )

    def _in_force(self) -> tuple[int, Record]:
        """The word to judge, and what it means: handle 0 if nothing that could be served."""
        word = self._word[0]
        try:
            record = self._slot.read() if self._slot else Record(0, 0, 0, 0)
        except FlipPageError as error:  # the page is damaged, not the version: serve on
            self.last_error = str(error)
            return word, Record(0, 0, 0, 0)
        return record.word, record

    def _settle_if_possible(self) -> None:
        try:
            self._settle()
        except errors.AttachError:
            return  # closed, or nothing is in force yet

    # From the link's thread

    def _on_message(self, message: Message, fds: list[int]) -> None:
        if isinstance(message, Welcome):
            self._on_welcome(message, fds)
        elif isinstance(message, Prepare):
            self._on_prepare(message, fds)
        elif isinstance(message, Retire):
            with self._lock:
                dropped = self._shelf.retire(message.handle)
            del dropped
        elif isinstance(message, Flipped):
            self._settle_if_possible()
        elif isinstance(message, Waiting):
            self._waiting = message.text
        elif isinstance(message, Refused):
            self._on_refused(message)

    def _on_welcome(self, welcome: Welcome, fds: list[int]) -> None:
        import cachd.serve.split  # noqa: F401  # here, where no request waits for it

        try:
            page = FlipPageReader(_only(fds))
            if self._page is not None and self._page.identity == page.identity:
                page = self._page  # one map per page
            slot = page.slot(welcome.slot, name_tag(self.model, self.stage))
        except FlipPageError as error:
            self._give_up(errors.Incompatible(f"the daemon's flip page is unusable: {error}"))
            raise WireError(str(error)) from error
        with self._lock:
            view = self._held[1]
            self._shelf.keep_only(welcome.adopted)
            self._held, self._split = (_JUDGE_AGAIN, view), None
            self._page, self._slot, self._word = page, slot, slot.word
            if view is not None and view.handle in welcome.adopted:
                self._book.send(Switched(view.flip, view.handle, view.since_ns))
        self._settle_if_possible()

    def _on_prepare(self, message: Prepare, fds: list[int]) -> None:
        _only(fds)
        with self._lock:
            if self._end is not None:
                return
            view = self._held[1]
            prepared = self._shelf.prepare(message, fds, view.loaded if view else None)
        if isinstance(prepared, Version):
            self._loader.submit(prepared, message.ready_within_s)
        elif prepared is not None:
            self._book.send(Ready(message.handle))
            self._settle_if_possible()

    def _on_refused(self, refused: Refused) -> None:
        self.last_error = f"{refused.text} ({refused.code})"
        if not refused.again:
            kind = errors.OF_CODE.get(refused.code, errors.NotServed)
            self._give_up(kind(refused.text))

    # From the loader's thread

    def _on_wanted(self, version: Version) -> bool:
        with self._lock:
            return self._shelf.wanted(version)

    def _on_loaded(self, loaded: Loaded[T]) -> None:
        with self._lock:
            if not self._shelf.finish(loaded):
                return
        self._book.send(Ready(loaded.version.lease.handle))
        self._settle_if_possible()

    def _on_failed(self, version: Version, error: BaseException) -> None:
        handle = version.lease.handle
        with self._lock:
            if not self._shelf.fail(version):
                return
            _, record = self._in_force()
        told = f"{type(error).__name__}: {error}"[:ERROR_CHARS_MAX]
        self.last_error = f"{version!r} did not load: {told}"
        self._book.send(Failed(handle, told))
        if record.handle in (0, handle):
            failure = errors.LoadFailed(
                f"{version!r} of {self.model} did not load in this process: {told}. Correct `load` "
                "or `warm`, or promote another version"
            )
            failure.__cause__ = error
            self._give_up(failure)

    def _on_late(self, handle: int, told: str) -> None:
        with self._lock:
            version = self._shelf.being_loaded(handle)
        if version is not None:
            self.last_error = f"{version!r} is late: {told}"
            self._book.send(Late(handle, told))

    # Ends

    def _give_up(self, error: errors.AttachError) -> None:
        """Ends an attachment that has nothing to serve; one that has serves on."""
        with self._lock:
            if self._held[1] is None and self._end is None:
                self._end = error
                self._first.set()

    def _stuck_at(self) -> str:
        if self._slot is None:
            return self.last_error or self._link.trouble or f"{self._link.path} does not answer"
        if self._shelf.loading():
            return "it is still loading here: raise timeout_s, or make `load` faster"
        if self.last_error:
            return self.last_error
        if self._waiting:
            return f"waiting: {self._waiting}"
        return (
            f"the daemon has nothing to serve yet: `cachctl promote {self.model}@{self.stage} "
            "VERSION`, and `cachctl status` shows how far the node is"
        )


def _check_key(key: object) -> None:
    from cachd.serve.split import check_key  # imported when used

    check_key(key)


def _no_word() -> memoryview[int]:
    return memoryview(bytes(8)).cast("Q")


def _shows(view: View[Any] | None, loaded: Loaded[Any], record: Record) -> bool:
    return (
        view is not None
        and view.loaded is loaded
        and (view.flip, view.generation, view.choice)
        == (record.flip, record.generation, record.choice)
    )


def _only(fds: list[int]) -> int:
    if len(fds) != 1:
        raise WireError(f"one descriptor was to come along, not {len(fds)}")
    return fds[0]


def _after_fork_in_child() -> None:
    for attached in list(_attachments):
        attached.forked()


def _at_exit() -> None:
    for attached in list(_attachments):
        attached.leave()


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_after_fork_in_child)
