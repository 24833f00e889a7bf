"""Who asks for a dispatch.

Rules of this module:

* Every request carries a `traceparent` (W3C Trace Context, level 1) with the sampled
  flag, so that each can be found in the evidence.
* Customers, trace ids and span ids come from a generator seeded by the run's seed and
  the user's number: the same run asks the same things.
"""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

from locust import constant_pacing, task
from locust.contrib.fasthttp import FastHttpUser

from sandbox.model.load import LoadProfile


class Requests:
    """The requests of one user, in order.

    Args:
        profile: What is asked for.
        seed: Seed of the run.
        user: Number of the user in the run, from 0.
    """

    def __init__(self, profile: LoadProfile, *, seed: int, user: int) -> None:
        self._profile = profile
        self._random = random.Random(f"{seed}/{user}")

    def __iter__(self) -> Requests:
        return self

    def __next__(self) -> tuple[str, dict[str, str]]:
        """Return the path and the headers of the next request."""
        customer = self._random.choice(self._profile.customers)
        nonce = self._random.random()
        path = f"{self._profile.path}?customer={customer}&nonse={nonce}"
        trace = self._random.getrandbits(128) or 1
        span = self._random.getrandbits(64) or 1
        return path, {"traceparent": f"00-{trace:032x}-{span:016x}-01"}


def read_profile(path: str) -> LoadProfile:
    """Return the profile that the generator was given."""
    return LoadProfile.model_validate_json(Path(path).read_bytes())


class Customer(FastHttpUser):
    """Asks for a dispatch, waits for the offer, asks again at its pace."""

    numbers = itertools.count()

    def __init__(self, environment: Any) -> None:
        options = environment.parsed_options
        self.profile = read_profile(options.load_profile)
        self.network_timeout = self.profile.answer_within_s
        self.connection_timeout = self.profile.answer_within_s
        super().__init__(environment)
        number = next(self.numbers)
        self.requests = Requests(self.profile, seed=options.load_seed, user=number)
        self._pace = constant_pacing(self.profile.pace_s)

    def wait_time(self) -> float:
        """Return the seconds until the next request is due."""
        return self._pace(self)

    @task
    def ask(self) -> None:
        """Ask for one dispatch."""
        path, headers = next(self.requests)
        self.client.get(path, headers=headers, name=self.profile.path)
