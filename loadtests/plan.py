"""What a profile asks for: which requests, and how many users at which time.

Rules of this module:

* Nothing of locust is imported, so that it can be read and tested anywhere.
* Every request carries a `traceparent` (W3C Trace Context, level 1) with the sampled
  flag, so that each can be found in the evidence.
* Customers, trace ids and span ids come from a generator seeded by the run's seed and
  the user's number: the same run asks the same things.
* The stages of the profile follow one another; after the last the test ends.
"""

from __future__ import annotations

import random
from pathlib import Path

from sandbox.model.load import LoadProfile


def read_profile(path: str) -> LoadProfile:
    """Return the profile that the generator was given, as JSON."""
    return LoadProfile.model_validate_json(Path(path).read_bytes())


def users_at(profile: LoadProfile, second: float) -> int | None:
    """Return the number of users at a second of the test; None when it is over."""
    for stage in profile.stages:
        if second < stage.seconds:
            return stage.users
        second -= stage.seconds
    return None


class Requests:
    """The requests of one user, in order, without end.

    Args:
        profile: What is asked for.
        seed: Seed of the run.
        user: Number of the user in the run, from 0.
    """

    def __init__(self, profile: LoadProfile, *, seed: int, user: int) -> None:
        self._profile = profile
        self._random = random.Random(f"{seed}/{user}")
        self._offset = random.Random(f"{seed}/{user}/offset").random()

    @property
    def offset_s(self) -> float:
        """Seconds this user waits before the first request, within one pace.

        Users that all ask at the same instants are a wave, not a day's traffic.
        """
        return self._offset * self._profile.pace_s

    def __iter__(self) -> Requests:
        return self

    def __next__(self) -> tuple[str, dict[str, str]]:
        """Return the path and the headers of the next request."""
        customer = self._random.choice(self._profile.customers)
        nonce = self._random.random()
        path = f"{self._profile.path}?customer={customer}&nonse={nonce}"
        # Ids of zeros only are invalid (W3C Trace Context, 3.2.2.3 and 3.2.2.4).
        trace = self._random.getrandbits(128) or 1
        span = self._random.getrandbits(64) or 1
        return path, {"traceparent": f"00-{trace:032x}-{span:016x}-01"}
