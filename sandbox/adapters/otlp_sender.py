"""Sends requests to the recorder of this machine, as any producer does.

Rules of this module, from the OTLP specification (OTLP/HTTP):

* A request counts as sent once it is answered with 200: the recorder has it on disk.
* What is answered 503, or not at all, is sent again, a few times; what is refused
  otherwise is not. So a request may be recorded twice, but is never lost.
"""

from __future__ import annotations

import http.client
import time
from types import TracebackType
from typing import Self

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status

from sandbox.errors import RecorderError
from sandbox.model.segment import Signal

LOOPBACK = "127.0.0.1"
_TIMEOUT_S = 60.0
_ATTEMPTS = 6
_JSON = "application/json"
_PROTOBUF = "application/x-protobuf"


class OtlpSender:
    """One connection to the recorder, for one producer.

    Args:
        port: Port of OTLP/HTTP on loopback.
        token: The producer's bearer token.
    """

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._token = token
        self._door = http.client.HTTPConnection(LOOPBACK, port, timeout=_TIMEOUT_S)

    def __enter__(self) -> Self:
        try:
            self._door.connect()
        except OSError as error:
            raise self._silent(error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._door.close()

    def send(self, signal: Signal, body: bytes, *, in_json: bool) -> None:
        """Send one request, and wait until it is durable.

        Args:
            signal: What it carries.
            body: The request, in JSON or in protobuf.
            in_json: Which of the two.

        Raises:
            RecorderError: It was refused, or not answered after several attempts.
        """
        headers = {
            "authorization": f"Bearer {self._token}",
            "content-type": _JSON if in_json else _PROTOBUF,
        }
        failure = RecorderError("nothing was sent")
        for attempt in range(_ATTEMPTS):
            try:
                self._door.request("POST", f"/v1/{signal}", body, headers)
                answer = self._door.getresponse()
                said = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self._door.close()
                failure = self._silent(error)
                time.sleep(0.1 * 2**attempt)
                continue
            if answer.status == 200:
                return
            failure = _refusal(answer.status, said, in_json=in_json)
            if not failure.retryable:
                break
            time.sleep(_wait_s(answer.headers.get("retry-after", "1")))
        raise failure

    def _silent(self, error: Exception) -> RecorderError:
        return RecorderError(
            f"the recorder does not answer on {LOOPBACK}:{self._port} ({error}); start "
            "it with `sandbox recorder run`"
        )


def _wait_s(text: str) -> float:
    return min(float(text), 5.0) if text.isdecimal() else 1.0


def _refusal(status: int, body: bytes, *, in_json: bool) -> RecorderError:
    found = Status()
    try:
        if in_json:
            json_format.Parse(body, found)
        else:
            found.MergeFromString(body)
    except (json_format.ParseError, DecodeError, UnicodeDecodeError):
        found.message = "it did not say why"
    retryable = status in (429, 502, 503, 504)
    said = f"the recorder answered {status}: {found.message}"
    return RecorderError(said, retryable=retryable)
