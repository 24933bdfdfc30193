"""`Of`: makes classes generic for type checkers at no cost at import (typing takes 10 ms)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Generic, TypeVar

    T = TypeVar("T")

    class Of(Generic[T]):
        pass
else:

    class Of:
        __slots__ = ()

        def __class_getitem__(cls, _parameter):
            return cls
