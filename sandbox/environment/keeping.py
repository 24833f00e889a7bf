"""Keeps the promise that no environment outlives its expiry, with nothing else running.

Rules of this module:

* It looks ahead: an environment ends the moment its deadline passes, not at the next
  full minute.
* Several may run at once, beside the worker: every act is by uid and may be repeated.
* What cannot be removed is said, and never keeps the others waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from sandbox.environment.expiry import StandingEnvironment, standing_environments
from sandbox.environment.place import namespace_ref
from sandbox.environment.removal import begin_removal, holding
from sandbox.errors import SandboxError
from sandbox.ports import Clock, Cluster

_LOOK_EVERY_S = 5.0
_ENDING_EVERY_S = 1.0
_HELD_AFTER = timedelta(seconds=15)
"""A namespace is usually gone within 12 s of its deletion."""


class _Ending(NamedTuple):
    """An environment that was ordered away here."""

    was: StandingEnvironment
    since: datetime


class Keeper:
    """Removes each environment at its deadline, for as long as it is asked to.

    Args:
        cluster: Where the environments are.
        clock: Tells the time the deadlines are compared with.
        pause: Waits for some seconds.
        tell: Told what happened, one sentence each.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        clock: Clock,
        pause: Callable[[float], None],
        tell: Callable[[str], None],
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._pause = pause
        self._tell = tell
        self._ending: dict[str, _Ending] = {}
        self._told: set[str] = set()

    def watch(self, watch_s: float) -> list[str]:
        """Sweep at once, then at every deadline, until `watch_s` seconds have passed.

        Returns:
            What is wrong at the end, one sentence each: environments that are past
            their expiry and still held, acts that Kubernetes refused.
        """
        end = self._clock.now() + timedelta(seconds=watch_s)
        while True:
            next_at, wrong = self._sweep()
            left_s = (end - self._clock.now()).total_seconds()
            if left_s <= 0:
                return wrong
            until_s = (next_at - self._clock.now()).total_seconds()
            self._pause(max(0.0, min(until_s, left_s)))

    def _sweep(self) -> tuple[datetime, list[str]]:
        """Remove what is due; return when to look again, and what went wrong."""
        try:
            there = standing_environments(self._cluster)
        except SandboxError as error:
            self._say(error.diagnosis)
            return self._in(_ENDING_EVERY_S), [error.diagnosis]
        now = self._clock.now()
        due = [item for item in there if item.expires_at <= now]
        wrong = [said for item in due if (said := self._remove(item))]
        self._notice_gone({item.uid for item in there})
        held = [said for item in due if (said := self._held(item))]
        # What is held for long is not asked for every second.
        every_s = _LOOK_EVERY_S if len(held) == len(due) else _ENDING_EVERY_S
        later = [item.expires_at for item in there if item.expires_at > now]
        return min([*later, self._in(every_s)]), wrong + held

    def _remove(self, item: StandingEnvironment) -> str:
        try:
            begin_removal(self._cluster, item.trial_id, uid=item.uid)
        except SandboxError as error:
            return self._say(f"Trial {item.trial_id}: {error.diagnosis}")
        if item.uid not in self._ending:
            self._ending[item.uid] = _Ending(item, self._clock.now())
            self._say(
                f"Trial {item.trial_id}: ended {self._late(item)} past its expiry;"
                " its namespace is being removed."
            )
        return ""

    def _notice_gone(self, there: set[str]) -> None:
        for uid in [uid for uid in self._ending if uid not in there]:
            item = self._ending.pop(uid).was
            self._say(
                f"Trial {item.trial_id}: gone {self._late(item)} past its expiry."
            )

    def _held(self, item: StandingEnvironment) -> str:
        """Return why an environment is still there long after its deletion."""
        ending = self._ending.get(item.uid)
        if ending is None or self._clock.now() - ending.since < _HELD_AFTER:
            return ""
        namespace = namespace_ref(item.namespace)
        try:
            held = holding(self._cluster, namespace, item.uid)
        except SandboxError as error:
            return self._say(error.diagnosis)
        if not held:
            return ""
        return self._say(
            f"Trial {item.trial_id}: its namespace {namespace.name} is held:"
            f" {'; '.join(held)}. Remove what the conditions name; never edit the"
            " namespace's own finalizers."
        )

    def _say(self, sentence: str) -> str:
        """Say a sentence once, however often it is true."""
        if sentence not in self._told:
            self._told.add(sentence)
            self._tell(sentence)
        return sentence

    def _late(self, item: StandingEnvironment) -> str:
        return f"{(self._clock.now() - item.expires_at).total_seconds():.1f} s"

    def _in(self, seconds: float) -> datetime:
        return self._clock.now() + timedelta(seconds=seconds)
