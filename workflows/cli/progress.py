"""The live display of a long command: stage, elapsed time, what it waits for.

On a terminal one line is redrawn; elsewhere each change is one line. The times are
kept, so that the result can say how long each stage took.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.live import Live
from rich.spinner import Spinner

from workflows.cli.output import say, stderr


class Progress:
    """Says what is being done; use `stage` as a context manager."""

    def __init__(self) -> None:
        self.timings: dict[str, float] = {}
        """Stage → seconds, in order."""
        self._began = time.monotonic()
        self._stage_began = self._began
        self._stage = ""
        self._live: Live | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Show a stage for as long as the block runs, and keep its time."""
        self._stage, self._stage_began = name, time.monotonic()
        with self._shown():
            self.wait("")
            try:
                yield
            finally:
                seconds = time.monotonic() - self._stage_began
                self.timings[name] = round(seconds, 3)
        total = time.monotonic() - self._began
        stderr.print(
            f"[green]✓[/] {name:<28} {seconds:6.1f} s   [dim]{total:6.1f} s[/]"
        )

    def wait(self, what: str) -> None:
        """Say what the present stage waits for."""
        if self._live is not None:
            self._live.update(Spinner("dots", text=self._line(what)))
        elif what:
            say(f"  {self._stage}: {what}")

    def note(self, text: str) -> None:
        """Say something worth keeping on the screen."""
        stderr.print(f"  [dim]{text}[/]")

    @contextmanager
    def _shown(self) -> Iterator[None]:
        if not stderr.is_terminal:
            yield
            return
        with Live(console=stderr, transient=True, refresh_per_second=8) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def _line(self, what: str) -> str:
        elapsed = time.monotonic() - self._stage_began
        return f"{self._stage} {elapsed:.0f} s  {what}"
