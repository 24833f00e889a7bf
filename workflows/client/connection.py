"""A connection to Temporal, and how to wait for a condition over it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import (
    ListWorkflowExecutionsRequest,
    RegisterNamespaceRequest,
)
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode

from sandbox.errors import LocalError

_RETENTION_S = 30 * 24 * 3600
"""How long Temporal keeps closed histories; the record does not depend on it."""

R = TypeVar("R")


async def connect(address: str, *, namespace: str) -> Client:
    """Connect, and make the Temporal namespace if it does not exist.

    Raises:
        LocalError: No Temporal server answers at `address`.
    """
    try:
        await _ensure_namespace(address, namespace)
        return await Client.connect(
            address, namespace=namespace, data_converter=pydantic_data_converter
        )
    except (RuntimeError, RPCError) as error:
        raise LocalError(
            f"Temporal does not answer at {address}: {error}. Start the servers with "
            "`sandbox local up`, or name one with --temporal HOST:PORT"
        ) from error


async def _ensure_namespace(address: str, namespace: str) -> None:
    client = await Client.connect(address)
    request = RegisterNamespaceRequest(
        namespace=namespace,
        workflow_execution_retention_period=Duration(seconds=_RETENTION_S),
    )
    try:
        await client.workflow_service.register_namespace(request)
    except RPCError as error:
        if error.status is not RPCStatusCode.ALREADY_EXISTS:
            raise
        return
    await _until_usable(client, namespace)


async def _until_usable(client: Client, namespace: str) -> None:
    # A new namespace reaches the server's caches after a moment; starts fail before.
    for _ in range(100):
        try:
            await client.workflow_service.list_workflow_executions(
                ListWorkflowExecutionsRequest(namespace=namespace)
            )
        except RPCError:
            await asyncio.sleep(0.1)
        else:
            return


async def poll(
    ask: Callable[[], Awaitable[R]],
    condition: Callable[[R], bool],
    *,
    every_s: float,
) -> R:
    """Ask until a condition holds; callers bound it with `asyncio.timeout`."""
    while not condition(answer := await ask()):
        await asyncio.sleep(every_s)
    return answer
