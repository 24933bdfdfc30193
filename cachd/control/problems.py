"""Registry errors as RFC 9457 problem documents, both ways.

The HTTP status says what kind of answer it is, `code` says exactly which error. 412 carries the
stage as it is now, so that a caller can decide again without another request.
"""

from __future__ import annotations

from typing import Any

from registry_core import errors

CONTENT_TYPE = "application/problem+json"
_UNAVAILABLE = 503


class Busy(errors.RegistryError):
    """The authority has more to do than it takes on, or the request took too long (HTTP 429, 503).
    Trying again helps, after the seconds that Retry-After names."""

    code = "busy"


class AuthorityUnavailable(errors.RegistryError):
    """The authority cannot be reached or does not answer in time. Trying again can help."""

    code = "authority_unavailable"


class ReadOnly(errors.RegistryError):
    """A node answers reads from its replica; a change goes to an authority (HTTP 405)."""

    code = "read_only"


class NotFreshEnough(errors.RegistryError):
    """A replica is older than the reader allows (HTTP 504). Another, or an authority, may do."""

    code = "not_fresh_enough"


_STATUS: dict[type[errors.RegistryError], int] = {
    errors.InvalidInput: 400,
    errors.Unauthorized: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Stale: 412,
    errors.IdempotencyMismatch: 422,
    errors.IntegrityError: 422,
    errors.GuardMissing: 428,
    errors.OriginError: 502,
    errors.LedgerLocked: _UNAVAILABLE,
    errors.LedgerUnavailable: _UNAVAILABLE,
    Busy: _UNAVAILABLE,
    ReadOnly: 405,
    NotFreshEnough: 504,
}
_BY_CODE: dict[str, type[errors.RegistryError]] = {
    kind.code: kind
    for kind in (
        errors.InvalidInput,
        errors.InvalidIdentifier,
        errors.InvalidModelFiles,
        errors.Unauthorized,
        errors.NotFound,
        errors.Conflict,
        errors.Condemned,
        errors.EpochNeeded,
        errors.EvidenceMissing,
        errors.IdempotencyMismatch,
        errors.GuardMissing,
        errors.LedgerLocked,
        errors.LedgerUnavailable,
        Busy,
        ReadOnly,
        NotFreshEnough,
    )
}


def status_of(error: errors.RegistryError) -> int:
    for kind in type(error).__mro__:
        if kind in _STATUS:
            return _STATUS[kind]
    return 500


def to_problem(error: errors.RegistryError) -> dict[str, Any]:
    """The problem document of `error`; the caller may add `stage`."""
    problem: dict[str, Any] = {
        "type": f"urn:cachd:problem:{error.code}",
        "title": type(error).__name__,
        "status": status_of(error),
        "detail": str(error),
        "code": error.code,
    }
    if isinstance(error, errors.Stale | errors.IntegrityError):
        problem |= {"expected": error.expected, "actual": error.actual}
    return problem


def from_problem(problem: dict[str, Any]) -> errors.RegistryError:
    """The error that a problem document tells of."""
    code, detail = str(problem.get("code", "")), str(problem.get("detail", "no detail given"))
    if code == errors.Stale.code:
        return errors.Stale(
            detail,
            expected=str(problem.get("expected", "")),
            actual=str(problem.get("actual", "")),
        )
    if code in (errors.IntegrityError.code, "fork_detected"):
        return errors.IntegrityError(detail)
    if code == errors.OriginError.code:
        return errors.OriginError(detail, retryable=True)
    return _BY_CODE.get(code, errors.RegistryError)(detail)
