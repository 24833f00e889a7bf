"""Short commands of the operating system, run to their end.

Rules of this module:

* A command that fails is a `LocalError` with what it printed.
* Nothing goes through a shell.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from sandbox.errors import LocalError

_NOT_FOUND = 127


def run(argv: Sequence[str], *, stdin: str = "", timeout_s: float = 60.0) -> str:
    """Run a command and return what it printed.

    Raises:
        LocalError: It failed, cannot be found, or takes longer than `timeout_s`.
    """
    done = attempt(argv, stdin=stdin, timeout_s=timeout_s)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise LocalError(f"`{' '.join(argv)}` failed: {said}")
    return done.stdout


def attempt(
    argv: Sequence[str], *, stdin: str = "", timeout_s: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run a command that may fail, and return how it ended.

    A command that is not on this machine ends with 127, as in a shell.

    Raises:
        LocalError: It takes longer than `timeout_s`.
    """
    try:
        return subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError:
        absent = f"{argv[0]} is not on this machine; `sandbox doctor` names the package"
        return subprocess.CompletedProcess(argv, _NOT_FOUND, "", absent)
    except subprocess.TimeoutExpired as error:
        raise LocalError(
            f"`{' '.join(argv)}` did not end within {timeout_s:g} s"
        ) from error
