"""A version that is held for as long as an object lives which its library knows nothing of."""

from __future__ import annotations

import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cachd.serve.version import Version, View


def held_while(thing: Any, v: Version | View[Any]) -> Any:
    """`thing`; while it lives, so does the hold on the version."""
    end = weakref.finalize(thing, _let_go, v)
    end.atexit = False
    return thing


def _let_go(v: Version | View[Any]) -> None:
    del v
