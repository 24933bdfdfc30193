"""Buckets, which obstore does not make: requests signed by AWS Signature Version 4."""

from __future__ import annotations

import hashlib
import hmac
import urllib.request
from datetime import UTC, datetime
from typing import Protocol

REGION = "us-east-1"
_VERSIONED = b"""<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">\
<Status>Enabled</Status></VersioningConfiguration>"""


class S3Server(Protocol):
    """A real one, of this machine; `stop` ends it."""

    endpoint: str
    access_key: str
    secret_key: str
    buckets: tuple[str, ...]
    """To be made, those of that name `versioned`."""

    def stop(self) -> None: ...


def make_bucket(server: S3Server, name: str, *, versioned: bool = False) -> None:
    """It may be there already."""
    _put(server, f"/{name}")
    if versioned:
        _put(server, f"/{name}", "versioning=", _VERSIONED)


def _put(server: S3Server, path: str, query: str = "", body: bytes = b"") -> None:
    now = datetime.now(UTC)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    host, sha256 = server.endpoint.removeprefix("http://"), hashlib.sha256(body).hexdigest()
    headers = f"host:{host}\nx-amz-content-sha256:{sha256}\nx-amz-date:{stamp}\n"
    names = "host;x-amz-content-sha256;x-amz-date"
    request = f"PUT\n{path}\n{query}\n{headers}\n{names}\n{sha256}"
    scope = f"{day}/{REGION}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{server.secret_key}".encode()
    for part in (day, REGION, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"AWS4-HMAC-SHA256 Credential={server.access_key}/{scope}"
    urllib.request.urlopen(
        urllib.request.Request(
            f"{server.endpoint}{path}" + (f"?{query}" if query else ""),
            data=body,
            method="PUT",
            headers={
                "x-amz-date": stamp,
                "x-amz-content-sha256": sha256,
                "Authorization": f"{credential}, SignedHeaders={names}, Signature={signature}",
            },
        ),
        timeout=30,
    ).close()
