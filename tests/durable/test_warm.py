"""A pool of warm environments is kept on a schedule, and a trial is opened from it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from sandbox.environment import residue, unclaimed
from sandbox.ports import ObjectRef
from workflows.client import schedule_warm_pool
from workflows.messages import StopTrial

OFTEN = {"regime": {"environment_inspection": "PT1S", "isolation_proof": "P1D"}}


@pytest.fixture(name="keep")
async def _keep(house):
    """Asks for so many warm environments and waits until they are there."""

    async def keep(count):
        await schedule_warm_pool(
            house.client,
            count=count,
            every=timedelta(seconds=1),
            prefix=house.prefix,
        )
        async with asyncio.timeout(40):
            while len(unclaimed(house.cluster)) != count:
                await asyncio.sleep(0.1)
        return unclaimed(house.cluster)

    yield keep
    await house.client.get_schedule_handle("warm-pool").delete()


@pytest.mark.parametrize("house", [OFTEN], indirect=True)
async def test_a_trial_from_the_pool_to_its_end(house, keep):
    """The trial lives in the environment it claimed, is inspected there and frozen
    there, and is removed from there; the pool is filled again meanwhile, and emptied
    when none is asked for.
    """
    (warm_id,) = await keep(1)
    await house.run()
    status = await house.trial.status()
    assert status.environment.namespace == f"trial-{warm_id}"
    assert await keep(1) != [warm_id]
    policy = ObjectRef(
        "networking.k8s.io/v1", "NetworkPolicy", f"trial-{warm_id}", "allow-dns"
    )
    house.cluster.delete(policy)
    async with asyncio.timeout(20):
        while house.cluster.get(policy) is None:
            await asyncio.sleep(0.1)
    house.cluster.refuse = lambda item: "no" if item["kind"] == "LimitRange" else ""
    limits = ObjectRef("v1", "LimitRange", f"trial-{warm_id}", "container-limits")
    house.cluster.delete(limits)
    await house.trial.until(
        lambda status: (
            status.state == "paused"
            and status.environment is not None
            and status.environment.state == "frozen"
        )
    )
    assert house.cluster.find("v1", "Pod", namespace=f"trial-{warm_id}") == []
    house.cluster.refuse = lambda item: ""
    stop = StopTrial(
        decision_id=house.id("stop"), reason="the applicant asks", by=house.approver
    )
    assert (await house.trial.stop(stop)).accepted
    await house.trial.until(lambda status: status.state == "closed")
    left = residue(house.cluster, house.papers.trial_id, namespace=f"trial-{warm_id}")
    assert left == []
    assert await keep(0) == []
