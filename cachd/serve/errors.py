"""The error tree of the client: everything that `attach` and what it hands out raise on purpose.

Once attached, a worker sees none of these because of a flip, a rollback or a daemon that is away.
"""

from __future__ import annotations


class AttachError(Exception):
    """Root of the tree."""


class InvalidArgument(AttachError, ValueError):
    """An argument is not valid. Trying again cannot help."""


class AttachTimeout(AttachError, TimeoutError):
    """No version was ready in time; the message says how far it got. Trying again can help."""


class NotServed(AttachError):
    """The daemon refused this worker. Trying again helps once what the message names is done."""


class NotAllowed(NotServed):
    """The daemon's allow list has this user not for this model. Trying again helps once it has."""


class Incompatible(AttachError):
    """Daemon and client speak different protocols or page layouts. Install the same release."""


class LoadFailed(AttachError):
    """`load` or `warm` raised for the first version (`__cause__`). Trying again cannot help."""


class WarmupFailed(AttachError):
    """A recorded request raised (`__cause__`); the message names it. The version's load fails."""


class Closed(AttachError):
    """`close()` was called before. Attach again."""


class ForkedAfterAttach(AttachError):
    """This process was forked from the one that attached. Attach in the worker, after the fork."""


class FileRefused(AttachError):
    """The version has no such file, or the name is no plain relative path within it."""


class WeightsRefused(AttachError, ValueError):
    """A loader cannot make of the version's files what it should. Promote a version that is sound,
    or name the file; trying again cannot help."""


class LibraryMissing(AttachError, ImportError):
    """A loader needs a library that is not installed. The message names the package."""


OF_CODE: dict[str, type[AttachError]] = {"protocol": Incompatible, "not_allowed": NotAllowed}
"""By the code of the daemon's refusal; NotServed for all others."""
