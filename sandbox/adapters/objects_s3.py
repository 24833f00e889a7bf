"""Immutable named blobs in a bucket of any S3-compatible store.

Rules of this module:

* A blob is created with `If-None-Match: *`, so a store that knows the condition never
  overwrites; a store that ignores it is looked at first, which leaves only two writers
  at the same instant.
* Every upload carries its SHA-256, which the store checks before it says yes.
* A request that was repeated after its answer got lost finds its own blob; equal
  content is success.
* No word of the store's own answers reaches a message but its error code: answers
  repeat what was signed, and with which key.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from sandbox.errors import EvidenceError
from sandbox.evidence.objects import (
    check_content,
    check_object_name,
    check_range,
    is_object_name,
    other_content,
)

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,80})</Code>")
_OUT_OF_RANGE = 416
_REFUSALS = (PermissionDeniedError, UnauthenticatedError)
_WAITS_S = (0.05, 0.2, 1.0)
_CONNECT = timedelta(seconds=10)
_REQUEST = timedelta(minutes=15)
"""Longest time for one blob; a segment has at most some tens of megabytes."""
_RETRYING = timedelta(minutes=1)


class S3Objects:
    """Implements `sandbox.ports.Objects` on one prefix of one bucket.

    Args:
        bucket: Name of the bucket; it must exist.
        prefix: Names are kept below it; may be empty.
        config: Endpoint, region and credentials. What is not given is looked for where
            every S3 client looks: `AWS_…` variables, then the machine's role.
        allow_http: Whether an endpoint without TLS may be spoken to.
    """

    def __init__(
        self,
        bucket: str,
        *,
        prefix: str = "",
        config: S3Config | None = None,
        allow_http: bool = False,
    ) -> None:
        options: ClientConfig = {
            "allow_http": allow_http,
            "connect_timeout": _CONNECT,
            "timeout": _REQUEST,
        }
        retries: RetryConfig = {"max_retries": 5, "retry_timeout": _RETRYING}
        fixed: S3Config = {"checksum_algorithm": "SHA256", "conditional_put": "etag"}
        self._where = f"s3://{bucket}/{prefix}".rstrip("/")
        try:
            self._store = S3Store(
                bucket,
                prefix=prefix or None,
                config={**(config or {}), **fixed},
                client_options=options,
                retry_config=retries,
            )
        except (BaseError, ValueError) as error:
            raise EvidenceError(
                f"{self._where} cannot be used as it is configured; check "
                "SANDBOX_S3_ENDPOINT and SANDBOX_S3_REGION"
            ) from error

    def put(self, name: str, data: bytes) -> None:
        """Store once; the same content again is accepted, other content refused.

        Raises:
            EvidenceError: Other content has that name, the name is not plain, or the
                store does not take it.
        """
        for wait_s in (*_WAITS_S, None):
            if self.size(name) is None and self._create(name, data):
                return
            # Between two writers a store may say that a blob exists before it gives it.
            found = self._find(name)
            if found is not None:
                if found != data:
                    raise other_content(name)
                return
            if wait_s is not None:
                time.sleep(wait_s)
        raise EvidenceError(
            f"{self._where} says that {name} exists and does not give it; someone may "
            "be writing it: try again",
            retryable=True,
        )

    def _find(self, name: str) -> bytes | None:
        with self._asking(name):
            try:
                return bytes(obstore.get(self._store, name).bytes())
            except FileNotFoundError:
                return None

    def _create(self, name: str, data: bytes) -> bool:
        with self._asking(name):
            try:
                obstore.put(self._store, name, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
            return True

    def get(self, name: str, *, digest: str = "") -> bytes:
        """Return the bytes; with `digest`, only if they have it.

        Raises:
            EvidenceError: There is nothing of that name, the store does not give it,
                or it is not what the digest says.
        """
        check_object_name(name)
        with self._asking(name):
            data = bytes(obstore.get(self._store, name).bytes())
        return check_content(name, data, digest)

    def get_range(self, name: str, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to, not including, `end`.

        Raises:
            EvidenceError: The object has not all of them, or the store does not give
                them.
        """
        check_object_name(name)
        data = b""
        if 0 <= start < end:
            with self._asking(name):
                data = self._get_range(name, start, end)
        return check_range(name, data, start=start, end=end)

    def _get_range(self, name: str, start: int, end: int) -> bytes:
        try:
            return bytes(obstore.get_range(self._store, name, start=start, end=end))
        except BaseError as error:
            if _status(error) == _OUT_OF_RANGE:
                return b""
            raise

    def size(self, name: str) -> int | None:
        """Return the number of bytes, or None where there is nothing of that name.

        Raises:
            EvidenceError: The store does not answer, or not to these credentials.
        """
        check_object_name(name)
        with self._asking(name):
            try:
                return obstore.head(self._store, name)["size"]
            except FileNotFoundError:
                return None

    def names(self, prefix: str = "") -> Iterable[str]:
        """Return the names that start with `prefix`, sorted.

        Raises:
            EvidenceError: The store does not answer, or not to these credentials.
        """
        # The store lists whole folders; the rest of the prefix is looked at here.
        folder = prefix.rpartition("/")[0] or None
        with self._asking(prefix):
            found = obstore.list(self._store, folder, chunk_size=1000).collect()
        names = [item["path"] for item in found]
        return sorted(
            name for name in names if name.startswith(prefix) and is_object_name(name)
        )

    @contextmanager
    def _asking(self, name: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            # The cause is left out: it would be shown with all the store has said.
            raise self._failure(name, error) from None

    def _failure(self, name: str, error: Exception) -> EvidenceError:
        if "NoSuchBucket" in _reason(error):
            return EvidenceError(
                f"there is no bucket for {self._where}; make it, or name another one"
            )
        if isinstance(error, FileNotFoundError):
            return EvidenceError(f"there is no object {name} in {self._where}")
        status = _status(error)
        if isinstance(error, _REFUSALS) or status in (401, 403):
            return EvidenceError(
                f"{self._where} refuses these credentials{_reason(error)}; set "
                "SANDBOX_S3_ACCESS_KEY and SANDBOX_S3_SECRET_KEY of a key that may "
                "read, write and list there"
            )
        if status is None:
            return EvidenceError(
                f"{self._where} does not answer; check SANDBOX_S3_ENDPOINT and the "
                "network, then try again: what is stored is kept",
                retryable=True,
            )
        return EvidenceError(
            f"{self._where} refused {name}{_reason(error)}; ask its operator",
            retryable=status == 429 or status >= 500,
        )


def _status(error: Exception) -> int | None:
    found = _STATUS.search(str(error))
    return int(found[1]) if found else None


def _reason(error: Exception) -> str:
    """Return the status and code of an answer, and nothing else of it."""
    code = _CODE.search(str(error))
    words = [str(_status(error) or ""), code[1] if code else ""]
    said = " ".join(word for word in words if word)
    return f" ({said})" if said else ""
