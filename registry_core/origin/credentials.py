"""What to set where a store finds no credentials, by the kind of store.

They come from the environment, or from the metadata service of the cloud that the process runs in,
and never from a URL.
"""

from __future__ import annotations

from urllib.parse import SplitResult

_METADATA = ("performing token request", "/latest/api/token", "/latest/meta-data")
_AZURE_HOSTS = (".blob.core.windows.net", ".dfs.core.windows.net")
_GS = (
    "set GOOGLE_APPLICATION_CREDENTIALS to the file of `gcloud auth application-default login`, "
    "or GOOGLE_SERVICE_ACCOUNT to that of a service account's key"
)
_AZURE = (
    "set AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_KEY, or "
    "AZURE_STORAGE_TENANT_ID, AZURE_STORAGE_CLIENT_ID and AZURE_STORAGE_CLIENT_SECRET"
)
_S3 = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true for a public one"


def what_to_set(parts: SplitResult) -> str:
    """For an origin's URL; empty where none are needed."""
    if parts.scheme in ("s3", "s3a"):
        return _S3
    if parts.scheme == "gs":
        return _GS
    if parts.scheme in ("az", "azure", "abfs", "abfss"):
        return _AZURE
    return _AZURE if (parts.hostname or "").endswith(_AZURE_HOSTS) else ""


def none_were_found(reason: str) -> bool:
    """Whether a store failed because it asked the metadata service in vain."""
    return any(sign in reason for sign in _METADATA)
