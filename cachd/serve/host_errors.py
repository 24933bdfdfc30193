"""The error tree of the host: what `ServingHost` raises on purpose to the node."""

from __future__ import annotations


class HostError(Exception):
    """Root of the tree. What was served before is served on."""


class HostRunning(HostError):
    """Another daemon owns the runtime directory. Stop it, or use another directory."""


class RuntimeDirUnusable(HostError):
    """The runtime directory cannot hold socket, page and table. The message names the remedy."""


class TableDamaged(HostError):
    """The handle table does not parse. Trying again cannot help."""


class VersionMissing(HostError):
    """A target names a directory that cannot be opened. Helps once the version is resident."""


class TooManyVersions(HostError):
    """Workers still hold the most versions of one stage that there may be, or handles ran out."""


class SlotsExhausted(HostError):
    """The flip page has no free slot for one more model@stage."""
