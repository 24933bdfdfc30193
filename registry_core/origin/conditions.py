"""Writing an object unless there is one, at stores that keep that condition and those that do not.

S3's `If-None-Match: *` lets one of many writers win. Swift's s3api refuses it (501), Ceph's gateway
ignores it on versioned buckets, and says nothing. So it is tried on the first object that is
written: the same again has to be refused. Where it is not, a writer has looked before, and looks
again once all who had seen nothing must have written; whose object is there then has won.
Thread-safe: what was found out is one word.
"""

from __future__ import annotations

from typing import Any

import obstore
import obstore.exceptions as faults

SETTLE_S = 1.0
"""From a look that finds nothing to the end of the write after it, and then some."""
_REFUSED = "status code: 501"  # obstore gives the answer as text alone


class Conditions:
    """Of one store, `once`, which must not try again by itself: it would repeat a 501 for seconds,
    and take the object that a lost answer was about for somebody else's."""

    def __init__(self, once: Any) -> None:
        self._once = once
        self.kept: bool | None = None
        """Whether the store keeps them; None until that is known."""

    def create(self, key: str, data: bytes) -> bool | None:
        """Whether there was none and `data` is there now; None if this store cannot tell, or not at
        this moment: it may have been written then."""
        if self.kept is False:
            return None
        created = self._put(key, data)
        if created and self.kept is None:
            again = self._put(key, data)
            if again is not None:
                self.kept = not again
        elif created is False:
            self.kept = True
        return created if self.kept else None

    def _put(self, key: str, data: bytes) -> bool | None:
        try:
            obstore.put(self._once, key, data, use_multipart=False, mode="create")
        except faults.AlreadyExistsError:
            return False
        except (faults.BaseError, OSError, NotImplementedError) as error:
            if isinstance(error, NotImplementedError) or _REFUSED in str(error):
                self.kept = False
            return None  # a fault is shown by the plain write that comes next
        return True
