"""Who asks for a dispatch: customers that wait for the answer and ask again."""

from __future__ import annotations

import itertools
import time
from typing import Any

from locust import constant_pacing, task
from locust.contrib.fasthttp import FastHttpUser

from loadtests.plan import Requests, read_profile


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

    def on_start(self) -> None:
        """Arrive at a moment of one's own."""
        time.sleep(self.requests.offset_s)

    def wait_time(self) -> float:
        """Return the seconds until the next request is due."""
        return self._pace(self)

    @task
    def ask(self) -> None:
        """Ask for one dispatch."""
        path, headers = next(self.requests)
        self.client.get(path, headers=headers, name=self.profile.path)
