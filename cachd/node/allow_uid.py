"""`--allow-uid USER=NAME@STAGE,…`, parsed."""

from __future__ import annotations

import pwd
from collections.abc import Iterable

from cachd.node.stage_pattern import StagePattern
from cachd.serve.allowed_uids import WHOEVER_CONNECTS, AllowedUids
from registry_core.errors import InvalidInput

_UID_MAX = (1 << 32) - 2  # the last one means "no change" to the kernel


def allowed_uids(texts: Iterable[str]) -> AllowedUids:
    """What all the options together allow; without any, its permissions alone decide."""
    patterns: dict[int, tuple[tuple[str, str], ...]] = {}
    for text in texts:
        user, equals, names = text.partition("=")
        if not equals:
            raise InvalidInput(
                f"{text!r:.150} is not UID=NAME@STAGE,…, for example '1000=minilm@production'"
            )
        uid = _uid(user)
        parsed = [StagePattern.parse(name) for name in names.split(",")]
        more = tuple((one.model, one.stage) for one in parsed)
        patterns[uid] = (*patterns.get(uid, ()), *more)
    return AllowedUids(patterns) if patterns else WHOEVER_CONNECTS


def _uid(user: str) -> int:
    if user.isascii() and user.isdigit():
        if int(user) > _UID_MAX:
            raise InvalidInput(f"{user:.40} is no uid: they end at {_UID_MAX}")
        return int(user)
    try:
        return pwd.getpwnam(user).pw_uid
    except (KeyError, ValueError) as error:
        raise InvalidInput(
            f"there is no user {user!r:.80} on this host: name a uid or a user that is there"
        ) from error
