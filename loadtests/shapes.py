"""How many users there are at which time.

Rules of this module:

* The stages of the profile follow one another; after the last the test ends.
"""

from __future__ import annotations

from locust import LoadTestShape

from loadtests.users import read_profile
from sandbox.model.load import LoadProfile


def users_at(profile: LoadProfile, second: float) -> int | None:
    """Return the number of users at a second of the test; None when it is over."""
    for stage in profile.stages:
        if second < stage.seconds:
            return stage.users
        second -= stage.seconds
    return None


class Stages(LoadTestShape):
    """Follows the stages of the profile that the generator was given."""

    def tick(self) -> tuple[int, float] | None:
        """Return the users wanted now and how fast they arrive, or None at the end."""
        if self.runner is None or self.runner.environment.parsed_options is None:
            return None
        options = self.runner.environment.parsed_options
        profile = read_profile(options.load_profile)
        users = users_at(profile, self.get_run_time())  # type: ignore[no-untyped-call]
        return None if users is None else (users, profile.users_per_s)
