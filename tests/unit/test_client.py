"""What a door says of a trial that nothing can be done to any more."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from temporalio.service import RPCError, RPCStatusCode

from sandbox.errors import ProcedureError
from sandbox.model.party import Actor
from workflows.client import TrialClient
from workflows.messages import StopTrial

STOP = StopTrial(
    decision_id="stop-1",
    reason="enough seen",
    by=Actor(name="applicant", role="applicant", represents="Acme"),
)


class Server:
    """Answers every update with one error."""

    def __init__(self, status: RPCStatusCode) -> None:
        self._status = status

    def get_workflow_handle_for(self, *_: Any) -> Server:
        return self

    async def execute_update(self, *_: Any, **__: Any) -> None:
        raise RPCError("workflow execution already completed", self._status, b"")


def stop(status: RPCStatusCode) -> None:
    client: Any = Server(status)
    asyncio.run(TrialClient(client, "ride-1").stop(STOP))


def test_an_act_in_a_closed_trial_is_refused_in_words() -> None:
    """Who comes too late reads that the trial is closed, not a server's trace."""
    with pytest.raises(ProcedureError, match="trial ride-1 is closed"):
        stop(RPCStatusCode.NOT_FOUND)


def test_a_server_that_fails_is_not_a_closed_trial() -> None:
    """Any other error stays what it is."""
    with pytest.raises(RPCError):
        stop(RPCStatusCode.UNAVAILABLE)
