"""A running environment is looked at at intervals, and what is found is on record."""

from __future__ import annotations

import asyncio

import pytest

from sandbox.ports import ObjectRef
from workflows.environment import EnvironmentWorkflow
from workflows.monitor import MonitorWorkflow

OFTEN = {"regime": {"environment_inspection": "PT1S", "isolation_proof": "P1D"}}
PROVEN_OFTEN = {"regime": {"environment_inspection": "PT1S", "isolation_proof": "PT2S"}}
POLICY = "networking.k8s.io/v1", "NetworkPolicy"


def _bodies(house, act):
    entries = house.adapters.ledger.log.entries(house.papers.trial_id)
    return [x.entry.body for x in entries if x.entry.body.get("act") == act]


async def _until(condition):
    async with asyncio.timeout(40):
        while not condition():
            await asyncio.sleep(0.1)


async def _frozen(house):
    """Wait until the trial is paused in a frozen environment; return its status."""
    return await house.trial.until(
        lambda status: (
            status.state == "paused"
            and status.environment is not None
            and status.environment.state == "frozen"
        )
    )


@pytest.mark.parametrize("house", [OFTEN], indirect=True)
async def test_drift_is_recorded_and_put_back_while_the_trial_goes_on(house):
    """What was found is an entry, what is left another; the trial is not disturbed."""
    await house.run()
    namespace = f"trial-{house.papers.trial_id}"
    open_policy = {
        "apiVersion": POLICY[0],
        "kind": POLICY[1],
        "metadata": {"name": "open", "namespace": namespace},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]},
    }
    assert _bodies(house, "drift") == []
    house.cluster.apply([open_policy], owner="kubectl-edit")
    house.cluster.delete(ObjectRef(*POLICY, namespace, "default-deny"))
    await _until(lambda: _bodies(house, "put-back"))
    policies = house.cluster.find(*POLICY, namespace=namespace)
    names = {item["metadata"]["name"] for item in policies}
    assert "open" not in names
    assert "default-deny" in names
    found = [f for body in _bodies(house, "drift") for f in body["findings"]]
    assert {(f["object"].split("/")[1], f["change"]) for f in found} == {
        ("open", "foreign"),
        ("default-deny", "missing"),
    }
    assert _bodies(house, "put-back")[-1]["findings"] == []
    assert (await house.trial.status()).state == "running"
    environment = house.client.get_workflow_handle_for(
        EnvironmentWorkflow.run, f"environment/{house.papers.trial_id}"
    )
    assert (await environment.query(EnvironmentWorkflow.status)).inspected_at


@pytest.mark.parametrize("house", [OFTEN], indirect=True)
async def test_drift_that_cannot_be_put_back_freezes_and_can_be_resumed(house):
    """The trial is paused with the reason, the watch rests, and a decision goes on."""
    await house.run()
    namespace = f"trial-{house.papers.trial_id}"
    house.cluster.refuse = lambda item: "no" if item["kind"] == "LimitRange" else ""
    house.cluster.delete(ObjectRef("v1", "LimitRange", namespace, "container-limits"))
    status = await _frozen(house)
    assert "container-limits is missing" in status.pauses[0].reason
    assert status.breaches[0].guardrail == "environment-as-decided"
    assert status.frozen_after_s
    assert house.cluster.find("v1", "Pod", namespace=namespace) == []
    assert "breach" not in house.kinds()
    house.cluster.refuse = lambda item: ""
    monitor = house.client.get_workflow_handle_for(
        MonitorWorkflow.run, f"monitor/{house.papers.trial_id}"
    )

    async def watching():
        return (await monitor.query(MonitorWorkflow.status)).watching

    async with asyncio.timeout(20):
        while await watching():
            await asyncio.sleep(0.2)
    await house.resume()
    async with asyncio.timeout(20):
        while not await watching():
            await asyncio.sleep(0.2)
    assert len((await house.trial.status()).pauses) == 1


@pytest.mark.parametrize("house", [OFTEN], indirect=True)
async def test_an_object_that_is_changed_each_time_freezes(house):
    """Put back twice in a row in vain, it is someone's will, and the trial stands."""
    await house.run()
    namespace = f"trial-{house.papers.trial_id}"
    ref = ObjectRef("v1", "LimitRange", namespace, "container-limits")
    done = 0
    async with asyncio.timeout(40):
        while (await house.trial.status()).state == "running":
            put_back = len(_bodies(house, "put-back"))
            if put_back == done and house.cluster.delete(ref):
                done += 1
            await asyncio.sleep(0.05)
    status = await _frozen(house)
    assert "in vain" in status.pauses[0].reason
    assert len(_bodies(house, "put-back")) == 2


@pytest.mark.parametrize("house", [OFTEN], indirect=True)
async def test_a_deleted_namespace_pauses_and_is_made_again_by_a_decision(house):
    """A trial whose namespace is gone is paused; the resumption opens a new one."""
    await house.run()
    namespace = f"trial-{house.papers.trial_id}"
    place = ObjectRef("v1", "Namespace", "", namespace)
    before = house.cluster.get(place)["metadata"]["uid"]
    house.cluster.delete(place)
    status = await _frozen(house)
    assert "it is gone" in status.pauses[0].reason
    await house.resume()
    assert house.cluster.get(place)["metadata"]["uid"] != before
    await asyncio.sleep(2.5)
    assert (await house.trial.status()).state == "running"


@pytest.mark.parametrize("house", [PROVEN_OFTEN], indirect=True)
async def test_a_later_proof_that_shows_something_open_freezes(house):
    """The isolation is proven again and again; the one that fails freezes the trial."""
    await house.run()
    namespace = f"trial-{house.papers.trial_id}"
    await _until(lambda: house.kinds().count("isolation-proof") >= 2)
    assert (await house.trial.status()).state == "running"
    house.cluster.rights_of[namespace, "workload"] = ["get core/secrets"]
    status = await _frozen(house)
    assert "The workload account may get core/secrets" in status.pauses[0].reason
    assert status.breaches[0].guardrail == "isolation-holds"


@pytest.mark.parametrize("house", [PROVEN_OFTEN], indirect=True)
async def test_a_later_proof_that_cannot_be_made_is_recorded_and_repeated(house):
    """Nothing was shown to be open, so the trial goes on; each try is on record."""
    await house.run()
    house.cluster.refuse = lambda item: (
        "no room" if item["metadata"]["name"] == "isolation-proof" else ""
    )
    await _until(lambda: len(_bodies(house, "proof-not-made")) >= 2)
    assert "no room" in _bodies(house, "proof-not-made")[0]["reason"]
    assert (await house.trial.status()).state == "running"
    house.cluster.refuse = lambda item: ""
    proofs = house.kinds().count("isolation-proof")
    await _until(lambda: house.kinds().count("isolation-proof") > proofs)
    assert (await house.trial.status()).state == "running"


async def test_a_namespace_of_someone_else_ends_the_trial_and_is_left_alone(house):
    """What is not ours is neither taken nor removed, and the trial hears why."""
    name = f"trial-{house.papers.trial_id}"
    theirs = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    house.cluster.apply([theirs], owner="someone-else")
    await house.approve()
    await house.begin()
    status = await house.trial.until(lambda status: bool(status.failure))
    assert "is not that of trial" in status.failure
    assert "it could not be removed" in status.failure
    left = house.cluster.get(ObjectRef("v1", "Namespace", "", name))
    assert not left["metadata"].get("labels")


async def test_an_isolation_that_is_not_proven_opens_no_trial(house):
    """The proof fails, the reason is told, and nothing of the trial is left."""
    house.cluster.rights_of[f"trial-{house.papers.trial_id}", "workload"] = ["get x"]
    await house.approve()
    await house.begin()
    status = await house.trial.until(lambda status: bool(status.failure))
    assert "the isolation could not be proven" in status.failure
    place = ObjectRef("v1", "Namespace", "", f"trial-{house.papers.trial_id}")
    assert house.cluster.get(place) is None
