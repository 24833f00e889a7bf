"""A rule about objects, enforced by a real API server as the engine here judges it."""

import time

import pytest

from sandbox.adapters.clock import SystemClock
from sandbox.environment.waiting import wait_until
from sandbox.errors import ClusterError
from sandbox.ports import ObjectRef
from sandbox.rules import explain, read_rulebook, render_admission

TRIAL = "ruled"
NAMESPACE = f"trial-{TRIAL}"
BOOK = read_rulebook(
    """\
rulebook: fleet
version: 1
title: Fleet
owner: transport
in_force_from: 2024-01-01
rules:
  - rule: fleet/size
    text: No more than {max_cars} cars at a time.
    source: {instrument: Act, provision: "7", as_of: 2024-01-01}
    goal: streets-stay-free
    mechanism: regulation
    parameters:
      max_cars:
        unit: count
        looser: higher
        values: {2024-01-01: {value: 3, reference: Annex}}
    about: object
    objects: {api_groups: [""], api_versions: [v1], resources: [configmaps]}
    applies: object.metadata.name.startsWith("fleet")
    requires: int(object.data.cars) <= params.max_cars
    severity: major
    waivable: true
""",
    file="fleet.yaml",
)


@pytest.fixture(name="enforced", scope="module")
def _enforced(cluster):
    """A namespace of a trial, with the policy in force."""
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {"regulatory-sandbox/trial": TRIAL}},
    }
    policies = render_admission(BOOK, TRIAL, at=SystemClock().now())
    cluster.apply([namespace, *policies], owner="test")
    try:
        # The API server needs a moment to take a policy up.
        late = wait_until(
            lambda: [] if refusal(cluster, fleet(cars="4")) else ["not in force"],
            wait_s=60,
            pause=time.sleep,
        )
        assert late == []
        yield
    finally:
        for item in (*policies, namespace):
            kind, name = item["kind"], item["metadata"]["name"]
            cluster.delete(ObjectRef(item["apiVersion"], kind, "", name))


def fleet(name="fleet", **data):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "data": data,
    }


def refusal(cluster, thing):
    """Return why the API server refuses an object, or nothing; nothing is kept."""
    try:
        cluster.apply([thing], owner="test", dry_run=True)
    except ClusterError as error:
        return error.diagnosis
    return ""


@pytest.mark.usefixtures("enforced")
@pytest.mark.parametrize(
    ("thing", "answer"),
    [
        (fleet(cars="3"), "satisfied"),
        (fleet(cars="4"), "violated"),
        (fleet(trams="1"), "not_evaluable"),
        (fleet(cars="many"), "not_evaluable"),
        (fleet("other", cars="4"), "does_not_apply"),
    ],
)
def test_the_api_server_admits_what_is_satisfied_or_not_meant(cluster, thing, answer):
    """Violated and not evaluable are refused; the offline answer foretells each."""
    explained = explain(BOOK, thing, at=SystemClock().now(), about="object")
    assert explained.rules[0].answer == answer
    assert bool(refusal(cluster, thing)) == (answer in ("violated", "not_evaluable"))


@pytest.mark.usefixtures("enforced")
def test_a_refusal_carries_the_words_of_the_provision(cluster):
    """Who is refused reads the rule with its value, its source and its name."""
    words = "No more than 3 cars at a time. (Act, 7; fleet/size)"
    assert words in refusal(cluster, fleet(cars="4"))
