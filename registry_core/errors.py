"""The error tree of registry_core.

Each class says when it is raised and whether trying again can help. Messages say what to do next.
Foreign exceptions (lmdb, obstore, cryptography, OSError) are translated where they enter.
"""

from __future__ import annotations


class RegistryError(Exception):
    """Root of everything registry_core raises on purpose. `code` is stable and machine readable."""

    code = "registry_error"


class InvalidInput(RegistryError):
    """An argument, file or document does not parse. Trying again cannot help."""

    code = "invalid_input"


class InvalidIdentifier(InvalidInput):
    """A name or digest is not well formed. Trying again cannot help."""

    code = "invalid_identifier"


class InvalidModelFiles(InvalidInput):
    """The files to push cannot become a version (damaged, truncated, unsafe paths, unreadable)."""

    code = "invalid_model_files"


class NotFound(RegistryError):
    """The model, version, stage or object does not exist. Helps once it has been made."""

    code = "not_found"


class Conflict(RegistryError):
    """The request contradicts the current state in a way that is no staleness (HTTP 409)."""

    code = "conflict"


class Condemned(Conflict):
    """What a version would refer to is about to be deleted as garbage. Pushing again helps."""

    code = "condemned"


class EvidenceMissing(Conflict):
    """A version lacks what the policy demands of it for this stage. Helps once it has it."""

    code = "evidence_missing"


class IdempotencyMismatch(RegistryError):
    """An Idempotency-Key was used before for another request (HTTP 422). Use a new key."""

    code = "idempotency_mismatch"


class GuardMissing(RegistryError):
    """A protected stage was to be changed without an expected `generation.choice` (HTTP 428)."""

    code = "guard_missing"


class Stale(RegistryError):
    """The stage is no longer at the expected `generation.choice` (HTTP 412).

    Read the stage again and decide again: `expected` and `actual` are its guards.
    """

    code = "stale"

    def __init__(self, message: str, *, expected: str, actual: str) -> None:
        super().__init__(message)
        self.expected = expected
        self.actual = actual


class Unauthorized(RegistryError):
    """A signature is missing, wrong, or by a key that the policy does not count."""

    code = "unauthorized"


class IntegrityError(RegistryError):
    """Bytes are not what their digest, signature or tree says. Never retried on the same copy."""

    code = "integrity"

    def __init__(self, message: str, *, expected: str = "", actual: str = "") -> None:
        detail = f" (expected {expected}, got {actual})" if expected or actual else ""
        super().__init__(message + detail)
        self.expected = expected
        self.actual = actual


class EpochNeeded(Conflict):
    """The log lost entries that nodes may have seen: an owner must open a new epoch first."""

    code = "epoch_needed"


class NotOwner(RegistryError):
    """Another process does this job by now. Trying again cannot help; stop doing it."""

    code = "not_owner"


class LedgerLocked(RegistryError):
    """Another process holds the writable ledger. Helps when that process ends, or go through it."""

    code = "ledger_locked"


class LedgerUnavailable(RegistryError):
    """The ledger cannot be opened or written (disk full, I/O error, wrong filesystem)."""

    code = "ledger_unavailable"


class OriginError(RegistryError):
    """The origin did not do what was asked. `retryable` says whether trying again can help, `busy`
    that it answered, and asks for less (503, 429)."""

    code = "origin"

    def __init__(self, message: str, *, retryable: bool, busy: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.busy = busy
