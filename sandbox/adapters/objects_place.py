"""From a URL to the store of objects behind it.

Rules of this module:

* `file:///PATH` is a folder, `s3://BUCKET/PREFIX` a bucket; nothing else is guessed.
* Credentials come from the settings, never from the URL, which may be printed.
* An endpoint without TLS is spoken to on this machine only.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from sandbox.adapters.objects import LocalObjects
from sandbox.adapters.objects_s3 import S3Objects
from sandbox.errors import EvidenceError
from sandbox.ports import Objects
from sandbox.settings import Settings

if TYPE_CHECKING:
    from obstore.store import S3Config

_KNOWN = "write file:///PATH or s3://BUCKET/PREFIX"


def open_objects(url: str, settings: Settings) -> Objects:
    """Return the store a URL names.

    Args:
        url: `file:///PATH` or `s3://BUCKET/PREFIX`.
        settings: Endpoint, region and credentials of S3.

    Raises:
        EvidenceError: It names no store, carries credentials, or the settings for it
            do not fit together.
    """
    try:
        parts = urlsplit(url)
        carries = parts.username is not None or parts.password is not None
    except ValueError as error:
        raise EvidenceError(f"the place cannot be read as a URL; {_KNOWN}") from error
    if carries or parts.query or parts.fragment:
        raise EvidenceError(
            "the URL of a place carries more than its name; " + _KNOWN + ", and give "
            "credentials as SANDBOX_S3_ACCESS_KEY and SANDBOX_S3_SECRET_KEY"
        )
    if parts.scheme == "file" and not parts.netloc and len(parts.path) > 1:
        return LocalObjects(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        return _s3(parts, settings)
    raise EvidenceError(f"{url!r} is not a place for evidence; {_KNOWN}")


def _s3(parts: SplitResult, settings: Settings) -> S3Objects:
    config: S3Config = {"region": settings.s3_region}
    access = settings.s3_access_key.get_secret_value()
    secret = settings.s3_secret_key.get_secret_value()
    if bool(access) != bool(secret):
        raise EvidenceError(
            "only one of SANDBOX_S3_ACCESS_KEY and SANDBOX_S3_SECRET_KEY is set; set "
            "both, or neither to use the machine's own role"
        )
    if access:
        config["access_key_id"] = access
        config["secret_access_key"] = secret
    endpoint = settings.s3_endpoint
    if endpoint:
        config["endpoint"] = endpoint
    return S3Objects(
        parts.netloc,
        prefix=parts.path.strip("/"),
        config=config,
        allow_http=_is_plain(endpoint),
    )


def _is_plain(endpoint: str) -> bool:
    """Return whether an endpoint has no TLS, which only this machine may have.

    Raises:
        EvidenceError: It is another machine's, or no URL.
    """
    parts = urlsplit(endpoint)
    if not endpoint or (parts.scheme == "https" and parts.hostname):
        return False
    if parts.scheme == "http" and _is_here(parts.hostname or ""):
        return True
    raise EvidenceError(
        f"SANDBOX_S3_ENDPOINT must be an https:// URL, not {parts.scheme or 'none'}; "
        "plain http:// is used with this machine (127.0.0.1) only"
    )


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
