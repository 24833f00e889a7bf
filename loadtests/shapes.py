"""How many users there are at which time, as the profile says."""

from __future__ import annotations

from locust import LoadTestShape

from loadtests.plan import read_profile, users_at


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
