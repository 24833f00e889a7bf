"""A refusal as `google.rpc.Status`, the same over HTTP and gRPC.

Rules of this module, from the OTLP specification (Failures, Bad Data, Throttling):

* What may be sent again is UNAVAILABLE with RetryInfo.
* What may not is INVALID_ARGUMENT, with BadRequest where the data are wrong,
  UNAUTHENTICATED, or RESOURCE_EXHAUSTED without RetryInfo.
"""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status

from sandbox.adapters.otlp_refusals import Refused
from sandbox.model.segment import RefusalReason

RETRY_S = 1
"""Seconds a sender is asked to wait before it sends again."""

_CODES: Mapping[RefusalReason, int] = {
    "unauthenticated": Code.UNAUTHENTICATED,
    "malformed": Code.INVALID_ARGUMENT,
    "too-large": Code.RESOURCE_EXHAUSTED,
    "unsupported": Code.INVALID_ARGUMENT,
    "overloaded": Code.UNAVAILABLE,
    "unavailable": Code.UNAVAILABLE,
}
_MAX_MESSAGE = 1000
"""Characters; an answer stays far below what a client must accept (OTLP: 4 MiB)."""


def status_of(refused: Refused) -> Status:
    """Return what a sender is told about a refusal.

    Args:
        refused: Why its request was not recorded.
    """
    message = refused.message[:_MAX_MESSAGE]
    status = Status(code=_CODES[refused.reason], message=message)
    for detail in _details(refused.reason, message):
        status.details.add().Pack(detail)
    return status


def _details(reason: RefusalReason, message: str) -> list[Message]:
    if reason == "malformed":
        violation = BadRequest.FieldViolation(field="body", description=message)
        return [BadRequest(field_violations=[violation])]
    if reason in ("overloaded", "unavailable"):
        return [RetryInfo(retry_delay=Duration(seconds=RETRY_S))]
    return []
