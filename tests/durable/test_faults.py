"""What must hold when processes die, histories grow and wishes cross."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sandbox.model.load import LoadResult
from sandbox.model.party import Actor
from sandbox.model.segment import RecorderHealth
from workflows.messages import DesiredState, FreezeNow
from workflows.monitor import MonitorWorkflow
from workflows.options import QUEUES

_OBSERVER = Path(__file__).with_name("observer.py")
_PLATFORM = Actor(name="Platform team", role="platform-operator")


async def test_a_freeze_does_not_wait_for_provisioning(house):
    """A freeze during provisioning takes effect at once, and again when that ended."""
    entered, go_on = threading.Event(), threading.Event()

    def slow_admission(item):
        if item["kind"] == "ResourceQuota":
            entered.set()
            go_on.wait(20)
        return ""

    house.cluster.refuse = slow_admission
    await house.approve()
    await house.begin()
    await asyncio.to_thread(entered.wait, 20)
    environment = house.client.get_workflow_handle(
        f"environment/{house.papers.trial_id}"
    )
    await environment.signal("freeze_now", FreezeNow(reason="harm"))
    await _until(lambda: _frozen(house) >= 1)
    assert not go_on.is_set()
    go_on.set()
    await house.trial.until(
        lambda status: (
            status.environment is not None and status.environment.state == "frozen"
        )
    )
    policies = house.cluster.find(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        namespace=f"trial-{house.papers.trial_id}",
    )
    assert [item["metadata"]["name"] for item in policies] == ["default-deny"]


async def test_the_end_is_never_too_old_a_wish(house):
    """A freeze may have taken its number: the end is followed; other wishes are not."""
    await house.run()
    environment = house.client.get_workflow_handle(
        f"environment/{house.papers.trial_id}"
    )
    old = DesiredState(generation=1, state="frozen")
    await environment.signal("set_desired_state", old)
    await asyncio.sleep(2)
    assert (await house.trial.status()).environment.state == "ready"
    end = DesiredState(generation=1, state="gone")
    await environment.signal("set_desired_state", end)
    await house.trial.until(lambda status: status.environment.state == "gone")


async def test_a_long_case_continues_as_new_and_keeps_its_peers(house):
    """After continue-as-new the peers live, and an old decision id is still known."""
    await house.run()
    trial = house.client.get_workflow_handle(f"trial/{house.papers.trial_id}")
    first_run = (await trial.describe()).run_id
    result = _load_result()
    first = await house.trial.report_load(
        result, by=_PLATFORM, decision_id=house.id("load/0")
    )
    for number in range(1, 500):
        await house.trial.report_load(
            result, by=_PLATFORM, decision_id=house.id(f"load/{number}")
        )
        if number % 20 == 0 and (await trial.describe()).run_id != first_run:
            break
    assert (await trial.describe()).run_id != first_run
    last = house.id(f"load/{number}")
    size = len(house.kinds())
    again = await house.trial.report_load(result, by=_PLATFORM, decision_id=last)
    assert again.accepted
    assert len([kind for kind in house.kinds() if kind == "load-result"]) == (
        len([kind for kind in house.kinds()[:size] if kind == "load-result"])
    )
    assert first.accepted
    for peer in ("environment", "monitor"):
        handle = house.client.get_workflow_handle(f"{peer}/{house.papers.trial_id}")
        assert (await handle.describe()).status.name == "RUNNING"


async def test_a_recorder_that_is_off_for_too_long_freezes_the_trial(house):
    """A hiccup does not; an outage pauses like a breach, says why, and is reviewed."""
    await house.run()
    house.segments.fail(RecorderHealth(is_well=False, cause="it does not answer"))
    await asyncio.sleep(1.5)  # half of the plan's settling time
    house.segments.fail(RecorderHealth(is_well=True))
    await asyncio.sleep(3)
    assert (await house.trial.status()).state == "running"
    since = house.adapters.ledger.clock.now()
    house.segments.fail(
        RecorderHealth(is_well=False, cause="No space left on device", since=since)
    )
    frozen = await house.trial.until(lambda status: bool(status.frozen_after_s))
    assert frozen.state == "paused"
    assert frozen.environment.state == "frozen"
    assert "No space left on device" in frozen.pauses[0].reason
    incidents = [
        item.entry.body
        for item in house.adapters.ledger.log.entries(house.papers.trial_id)
        if item.entry.kind == "incident"
    ]
    assert [item["condition"] for item in incidents] == ["recorder-on"]
    assert incidents[0]["limit_s"] == 3
    assert "breach" not in house.kinds()
    house.segments.fail(RecorderHealth(is_well=True))
    await house.resume()


@pytest.mark.parametrize("house", [{"max_cached_workflows": 0}], indirect=True)
async def test_nothing_depends_on_the_workflow_cache(house):
    """With no cache every task replays the whole history, and the case goes on."""
    await house.run()
    house.record([0.4] * 60)
    house.record([4.0] * 20, first=60)
    paused = await house.trial.until(lambda status: status.state == "paused")
    assert paused.breaches


@pytest.mark.parametrize(
    "house",
    [
        {
            "queues": tuple(queue for queue in QUEUES if queue != "observe"),
            "on_disk": True,
        }
    ],
    indirect=True,
)
async def test_a_killed_observer_is_replaced_and_no_unit_is_counted_twice(
    house, temporal, tmp_path
):
    """After SIGKILL in mid-window another worker goes on from the last heartbeat."""
    observers = [_observe(house, temporal, tmp_path)]
    try:
        await house.run()
        _write_segment(house, tmp_path, [0.4] * 60)
        await _until_counted(house, 60)
        os.kill(observers[0].pid, signal.SIGKILL)
        _write_segment(house, tmp_path, [0.4] * 30, first=60)
        observers.append(_observe(house, temporal, tmp_path))
        await _until_counted(house, 90)
    finally:
        for process in observers:
            process.kill()
            process.wait()
    looks = [
        item.entry.body
        for item in house.adapters.ledger.log.entries(house.papers.trial_id)
        if item.entry.kind == "look"
    ]
    assert max(look["counts"]["satisfied"] for look in looks) <= 90


def _observe(house, temporal, home):
    return subprocess.Popen(
        [sys.executable, str(_OBSERVER), temporal, house.prefix, str(home)]
    )


def _write_segment(house, home, durations, *, first=0):
    folder = home / "evidence" / house.papers.trial_id
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "000001.open").open("ab") as file:
        file.write(house.dispatches(durations, first=first))


async def _until_counted(house, units):
    monitor = house.client.get_workflow_handle_for(
        MonitorWorkflow.run, f"monitor/{house.papers.trial_id}"
    )

    async def counted():
        counts = (await monitor.query(MonitorWorkflow.status)).counts
        return sum(
            item.units for rule, item in counts.items() if rule == "dispatch/offer-time"
        )

    async with asyncio.timeout(40):
        while await counted() < units:
            await asyncio.sleep(0.2)


def _frozen(house):
    entries = house.adapters.ledger.log.entries(house.papers.trial_id)
    return sum(item.entry.body.get("act") == "frozen" for item in entries)


async def _until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.1)


def _load_result():
    return LoadResult.model_validate(
        {
            "profile": "steady",
            "profile_digest": "sha256:" + "2" * 64,
            "host": "http://127.0.0.1:1",
            "seed": 1,
            "requests": 1,
            "failures": 0,
            "p50_ms": 1.0,
            "p95_ms": 1.0,
            "p99_ms": 1.0,
            "thresholds": [],
            "verdict": "pass",
            "started_at": "2026-01-01T00:00:00Z",
            "finished_at": "2026-01-01T00:00:01Z",
        }
    )
