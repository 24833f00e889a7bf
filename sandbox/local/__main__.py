"""`python -m sandbox.local up|down|status`: the servers alone, without the product.

Progress goes to stderr, the answer to stdout.
"""

from __future__ import annotations

import sys
import time

from sandbox.errors import LocalError
from sandbox.local.servers import down, status, up
from sandbox.settings import Settings

_USAGE = "usage: python -m sandbox.local up|down|status\n"


def _up(settings: Settings) -> None:
    servers = up(settings, progress=_Told())
    sys.stdout.write(servers.model_dump_json(indent=2) + "\n")


def _down(settings: Settings) -> None:
    for line in down(settings, progress=_Told()):
        sys.stdout.write(line + "\n")


def _status(settings: Settings) -> None:
    for one in status(settings):
        state = "runs" if one.alive else "has ended"
        mebibytes = one.resident_bytes // 2**20
        sys.stdout.write(f"{one.name:26} {one.pid:8} {state:10} {mebibytes:5} MiB\n")


class _Told:
    """Writes progress with the seconds since the start."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def __call__(self, stage: str, what: str) -> None:
        passed = time.monotonic() - self._begun
        sys.stderr.write(f"{passed:7.1f} s  {stage}: {what}\n")


_VERBS = {"up": _up, "down": _down, "status": _status}


def main(arguments: list[str]) -> int:
    """Run one verb and return the exit code."""
    verb = _VERBS.get(arguments[0]) if len(arguments) == 1 else None
    if verb is None:
        sys.stderr.write(_USAGE)
        return 2
    try:
        verb(Settings())
    except LocalError as error:
        sys.stderr.write(error.diagnosis + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
