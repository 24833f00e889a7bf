"""What load tests ask for, how they count, and what they conclude."""

from __future__ import annotations

import itertools
import re
import sys
from importlib.metadata import packages_distributions
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.histogram import Histogram
from loadtests.plan import Requests, users_at
from loadtests.thresholds import conclude, evaluate
from sandbox.model.load import LoadProfile

PROFILE = LoadProfile.model_validate(
    {
        "profile": "p",
        "customers": [1, 2],
        "pace_s": 1,
        "users_per_s": 1,
        "answer_within_s": 1,
        "stages": [{"users": 2, "seconds": 5}, {"users": 7, "seconds": 3}],
    }
)


def first(seed, user, count=20):
    return list(itertools.islice(Requests(PROFILE, seed=seed, user=user), count))


def test_the_same_seed_asks_the_same_things():
    """Customers, nonces, trace ids and span ids repeat; another user's differ."""
    assert first(7, 0) == first(7, 0)
    assert not set(map(str, first(7, 0))) & set(map(str, first(7, 1)))
    assert not set(map(str, first(7, 0))) & set(map(str, first(8, 0)))


def test_every_request_carries_a_sampled_trace_context():
    """The header has the form of W3C Trace Context level 1, and each id is new."""
    headers = [header["traceparent"] for _, header in first(1, 0, 200)]
    form = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-01")
    assert all(form.fullmatch(header) for header in headers)
    assert len({header.split("-")[1] for header in headers}) == 200


def test_requests_ask_for_the_profiles_customers():
    """Only known customers, all of them, on the profile's path."""
    paths = [path for path, _ in first(1, 0, 200)]
    asked = {
        re.match(r"/dispatch\?customer=(\d)&nonse=0\.\d", p).group(1) for p in paths
    }
    assert asked == {"1", "2"}


@pytest.mark.parametrize(
    ("second", "users"), [(0, 2), (4.9, 2), (5, 7), (7.9, 7), (8, None), (99, None)]
)
def test_stages_follow_one_another_and_end(second, users):
    """Two users for five seconds, seven for three, then nobody."""
    assert users_at(PROFILE, second) == users


@given(st.lists(st.floats(0, 60_000), min_size=1, max_size=60), st.floats(0.01, 1))
def test_a_percentile_is_a_latency_that_enough_requests_did_not_exceed(seen, share):
    """Nearest rank: no rounding beyond a tenth of a millisecond, no interpolation."""
    histogram = Histogram()
    for latency in seen:
        histogram.add(latency)
    tenths = sorted(round(latency * 10) / 10 for latency in seen)
    found = histogram.percentile(share)
    assert found in tenths
    assert sum(item <= found for item in tenths) >= share * len(tenths)
    assert sum(item < found for item in tenths) < share * len(tenths)


def test_failures_are_counted_by_reason_and_as_requests():
    """Who waited in vain has waited too."""
    histogram = Histogram()
    histogram.add(10.0)
    histogram.add(2000.0, "HTTP 500")
    assert (histogram.requests, histogram.failures) == (2, 1)
    assert histogram.measures()["failure_ratio"] == 0.5
    assert histogram.percentile(1.0) == 2000.0


def test_without_requests_nothing_is_known():
    """No percentile, no ratio; the verdict is inconclusive."""
    measures = Histogram().measures()
    assert measures["p95_ms"] is None
    thresholds = evaluate({"p95_ms": 100, "failure_ratio": 0.1}, measures)
    assert [item.holds for item in thresholds] == [None, None]
    assert conclude(thresholds, requests=0) == "inconclusive"


@pytest.mark.parametrize(
    ("latency", "requests", "verdict"),
    [
        (100, 20, "pass"),
        (100, 5, "inconclusive"),
        (900, 20, "fail"),
        (900, 5, "fail"),
    ],
)
def test_slow_is_a_failure_and_few_is_inconclusive(latency, requests, verdict):
    """Too few requests never pass, and do not hide those that were too slow."""
    histogram = Histogram()
    for _ in range(requests):
        histogram.add(latency)
    thresholds = evaluate({"p95_ms": 500, "requests": 10}, histogram.measures())
    assert conclude(thresholds, requests=requests) == verdict


def test_no_module_of_the_load_tests_hides_another():
    """Locust puts the folder first on the path: no name of the standard library or of
    anything that is installed may stand there.
    """
    names = {
        item.name.removesuffix(".py")
        for item in files("loadtests").iterdir()
        if item.name.endswith(".py") and item.name != "__init__.py"
    }
    assert "locustfile" in names
    assert not names & set(sys.stdlib_module_names)
    assert not names & set(packages_distributions())
