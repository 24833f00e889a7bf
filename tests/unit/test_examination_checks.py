"""What the attempts of an examination are said to show."""

import pytest

from sandbox.examination.checks import Cuts, Observed, checks_of
from sandbox.model.isolation import FirstPackets

TARGETS = (
    "denied",
    "allowed",
    "inner",
    "metadata",
    "api-server",
    "api-endpoint",
    "node",
    "outside",
    "ipv6",
)
FREE = dict.fromkeys(TARGETS, "reached")
SHUT = {**dict.fromkeys(TARGETS, "blocked"), "allowed": "reached"}
FIRST = FirstPackets(
    starts=20,
    got_through=0,
    unclear=0,
    controls=1,
    controls_through=1,
    namespaces=1,
    seconds=9.0,
)
CUTS = Cuts(new_s=1.0, revoked_s=0.5, denied_s=0.5, deleted_s=0.2, watched_s=40.0)
ALL = Observed(FREE, SHUT, FIRST, CUTS)


def told(observed):
    return {check.id: check for check in checks_of(observed)}


def test_a_cluster_that_isolates():
    """Every check is right, and none has a remedy."""
    found = told(ALL)
    assert {check.ok for check in found.values()} == {True}
    assert {check.remedy for check in found.values()} == {""}


def test_the_same_ids_whatever_was_found():
    """Ids do not depend on how far an examination came."""
    broken = Observed(dict.fromkeys(TARGETS, "blocked"), {}, None, None)
    assert list(told(broken)) == list(told(ALL))
    assert {c.ok for c in told(broken).values()} == {False, None}


@pytest.mark.parametrize(
    ("target", "id_"),
    [
        ("denied", "policy-enforced"),
        ("outside", "policy-enforced"),
        ("inner", "ingress"),
        ("metadata", "metadata"),
        ("api-endpoint", "api-server"),
        ("node", "node"),
        ("ipv6", "ipv6"),
    ],
)
def test_a_negative(target, id_):
    """What is reached under the policy is wrong; what nobody reaches is unknown; what
    ends in an error is unknown too.
    """
    leak = ALL._replace(under={**SHUT, target: "reached"})
    check = told(leak)[f"isolation.{id_}"]
    assert (check.ok, bool(check.remedy)) == (False, True)
    assert target in check.what
    unclear = ALL._replace(under={**SHUT, target: "error"})
    assert told(unclear)[f"isolation.{id_}"].ok is None


@pytest.mark.parametrize("target", ["metadata", "node", "ipv6"])
def test_a_negative_without_a_control(target):
    """Silence of what answers nobody proves nothing."""
    silent = ALL._replace(before={**FREE, target: "blocked"})
    check = told(silent)[f"isolation.{target}"]
    assert check.ok is None
    assert "answers nobody" in check.what


def test_nothing_passes_under_the_policy():
    """Where not even what is allowed passes, the agent is named, and nothing right."""
    shut = Observed(FREE, {**SHUT, "allowed": "blocked"}, None, None)
    check = told(shut)["isolation.allowed-passes"]
    assert check.ok is False
    assert "the policy agent does not run" in check.what
    for id_ in ("policy-enforced", "metadata", "first-packet"):
        assert told(shut)[f"isolation.{id_}"].ok is None


def test_a_first_packet():
    """One of many is wrong; a control that failed, or an unclear end, is unknown."""
    for changed, ok in (
        ({"got_through": 1}, False),
        ({"controls_through": 0}, None),
        ({"unclear": 1}, None),
    ):
        observed = ALL._replace(first=FIRST.model_copy(update=changed))
        assert told(observed)["isolation.first-packet"].ok is ok


def test_an_open_connection():
    """Outliving a policy is told and not wrong; outliving its pod is wrong."""
    for late in (None, 29.0):
        check = told(ALL._replace(cuts=CUTS._replace(revoked_s=late)))
        assert check["isolation.established-cut"].ok is None
        assert "freeze" in check["isolation.established-cut"].what
        after = told(ALL._replace(cuts=CUTS._replace(deleted_s=late)))
        assert after["isolation.deletion-cuts"].ok is False


def test_a_policy_that_does_not_take_hold():
    """A running pod that goes on connecting is wrong."""
    check = told(ALL._replace(cuts=CUTS._replace(new_s=None)))
    assert check["isolation.takes-hold"].ok is False
