"""Which error gives which exit code. The table in docs/CLI.md is checked against this one."""

from __future__ import annotations

OK = 0
INTERNAL = 1
INVALID = 2
NOT_FOUND = 3
CONFLICT = 4
STALE = 5
UNAUTHORIZED = 6
INTEGRITY = 7
UNAVAILABLE = 8
INTERRUPTED = 130

MEANINGS = {
    OK: "done",
    INTERNAL: "a fault of cachctl itself, or its output cannot be written",
    INVALID: "the command line or an input is not valid",
    NOT_FOUND: "a model, version, stage, key or registry does not exist",
    CONFLICT: "the request contradicts the current state",
    STALE: "the stage changed since you looked, or a guard is missing: look again",
    UNAUTHORIZED: "a signature is missing, or by a key that the policy does not count",
    INTEGRITY: "bytes are not what they should be; `verify` found problems",
    UNAVAILABLE: "origin, ledger or authority cannot be used now: trying again can help",
    INTERRUPTED: "interrupted",
}

_BY_CODE = {
    "not_found": NOT_FOUND,
    "conflict": CONFLICT,
    "condemned": CONFLICT,
    "epoch_needed": CONFLICT,
    "evidence_missing": CONFLICT,
    "idempotency_mismatch": CONFLICT,
    "stale": STALE,
    "guard_missing": STALE,
    "unauthorized": UNAUTHORIZED,
    "integrity": INTEGRITY,
    "fork_detected": INTEGRITY,
    "origin": UNAVAILABLE,
    "ledger_locked": UNAVAILABLE,
    "ledger_unavailable": UNAVAILABLE,
    "authority_unavailable": UNAVAILABLE,
    "node_unavailable": UNAVAILABLE,
    "busy": UNAVAILABLE,
    "not_owner": UNAVAILABLE,
    "not_fresh_enough": UNAVAILABLE,
    "read_only": INVALID,
    "cache_locked": UNAVAILABLE,
    "cache_unavailable": UNAVAILABLE,
    "cache_full": UNAVAILABLE,
    "cache_no_room": UNAVAILABLE,
}


def exit_code(error_code: str) -> int:
    """Exit code for the `code` of a RegistryError."""
    if error_code.startswith("invalid"):
        return INVALID
    return _BY_CODE.get(error_code, INTERNAL)
