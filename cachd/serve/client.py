"""What an inference process imports: `attach` to a model@stage, `acquire` in each request.

    model = attach("minilm", stage="production", load=load_fn, warm=warm_fn)
    with model.acquire() as v:
        answer = v.value(request)        # v.number, v.digest, v.generation … say whose answer it is

`load(version)` makes the value out of `version.path`, `version.fd(name)` or
`version.buffer(name)`; `warm(version, value)` runs it once before it counts. Both run in a thread
of their own while the version before goes on serving. Standard library only.

`aattach` is the same for asyncio; loaders for common libraries are in `cachd.serve.loaders`.

Attach in the worker, after any fork. A process that drops all references to a version's view and
value lets go of it by itself, once the daemon has retired it.
"""

from __future__ import annotations

import os

from cachd.serve.attached import Attached
from cachd.serve.errors import (
    AttachError,
    AttachTimeout,
    Closed,
    FileRefused,
    ForkedAfterAttach,
    Incompatible,
    InvalidArgument,
    LoadFailed,
    NotAllowed,
    NotServed,
)
from cachd.serve.limits import ATTACH_TIMEOUT_S, SOCKET_PATH_BYTES_MAX
from cachd.serve.names import RULE, is_name
from cachd.serve.version import Version, View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cachd.serve.attaching import Attaching
    from cachd.serve.typed import T

__all__ = [
    "AttachError",
    "AttachTimeout",
    "Attached",
    "Closed",
    "FileRefused",
    "ForkedAfterAttach",
    "Incompatible",
    "InvalidArgument",
    "LoadFailed",
    "NotAllowed",
    "NotServed",
    "Version",
    "View",
    "aattach",
    "attach",
]

SOCKET_VARIABLE = "CACHD_SOCKET"
SOCKET_DEFAULT = "/run/cachd/cachd.sock"


def attach(
    model: str,
    *,
    stage: str = "production",
    load: Callable[[Version], T],
    warm: Callable[[Version, T], object] | None = None,
    timeout_s: float = ATTACH_TIMEOUT_S,
    socket: str | None = None,
) -> Attached[T]:
    """Attach to what the host's daemon serves as model@stage; returns once a version is in force.

    Waits up to `timeout_s` for the daemon, the version and its load. `socket`: path of the
    daemon's socket; default $CACHD_SOCKET, else /run/cachd/cachd.sock.
    Raises AttachTimeout, LoadFailed, NotAllowed, NotServed, Incompatible, InvalidArgument."""
    attached = Attached(*_checked(model, stage, socket), load, warm)
    try:
        attached.begin()
        attached.await_first(timeout_s)
    except BaseException:
        attached.close()
        raise
    return attached


def aattach(
    model: str,
    *,
    stage: str = "production",
    load: Callable[[Version], T],
    warm: Callable[[Version, T], object] | None = None,
    timeout_s: float = ATTACH_TIMEOUT_S,
    socket: str | None = None,
) -> Attaching[T]:
    """`attach` for asyncio: the event loop runs on meanwhile.

        model = await aattach("minilm", load=load_fn)
        async with aattach("minilm", load=load_fn) as model: …

    A cancelled one leaves nothing behind. `load` and `warm` run in a thread, as with `attach`, and
    `acquire()` is the same call: it waits for nothing."""
    from cachd.serve.attaching import Attaching  # brings asyncio, which its caller has

    return Attaching(Attached(*_checked(model, stage, socket), load, warm), timeout_s)


def _checked(model: str, stage: str, socket: str | None) -> tuple[str, str, str]:
    """Model, stage and path of the socket. InvalidArgument."""
    for name, what in ((model, "model"), (stage, "stage")):
        if not is_name(name):
            raise InvalidArgument(f"{what} {name!r:.80} is not valid: {RULE}")
    path = socket or os.environ.get(SOCKET_VARIABLE) or SOCKET_DEFAULT
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
        raise InvalidArgument(
            f"the socket path {path} is longer than {SOCKET_PATH_BYTES_MAX} bytes: use a shorter "
            "runtime directory"
        )
    return model, stage, path
