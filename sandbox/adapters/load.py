"""Runs a load test: locust in a process of its own, bounded in time.

Rules of this module:

* A slow or failing system is a `LoadResult`. A generator that did not run, did not end
  or did not say what it did is a `LoadError`.
* Load goes to this machine, or to an address that the caller allows by name.
* The generator is stopped when the caller stops waiting.
"""

from __future__ import annotations

import ipaddress
import json
import math
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from sandbox.errors import InputError, LoadError
from sandbox.model.application import Defect
from sandbox.model.load import LoadProfile, LoadResult
from sandbox.model.record import digest_of
from sandbox.model.sentences import word

_GENERATOR = "loadtests"
_TO_START_S = 30.0
_LAST_LINES = 12


def run_load(  # noqa: PLR0913 - the knobs of a generator, each of its own kind
    profile: str,
    *,
    host: str,
    seed: int,
    log: Path,
    duration_s: float | None = None,
    allow: Iterable[str] = (),
) -> LoadResult:
    """Run a load test to its end and return what it saw.

    Args:
        profile: Name of a profile of the load tests, for example `steady`.
        host: Where to, for example `http://127.0.0.1:8080`.
        seed: Seed of the requests; the same seed asks the same things.
        log: File that keeps what the generator prints.
        duration_s: Seconds to run for; the stages are stretched to it. None runs the
            profile as it is.
        allow: Addresses or networks beyond this machine that load may go to.

    Raises:
        InputError: The profile is unknown or wrong, or the host is not allowed.
        LoadError: The generator did not run as asked.
    """
    _check_host(host, tuple(allow))
    plan = read_profile(profile, duration_s=duration_s)
    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        plan_file, result_file = Path(folder, "profile.json"), Path(folder, "result")
        plan_file.write_text(plan.model_dump_json(), encoding="utf-8")
        command = [
            *_command(plan, host),
            *("--load-profile", str(plan_file)),
            *("--load-result", str(result_file)),
            *("--load-seed", str(seed)),
        ]
        _run(command, log, limit_s=_limit_s(plan))
        said = _read_result(result_file, log)
    return _result(plan, said, host=host, seed=seed)


def profile_names() -> list[str]:
    """Return the names of the profiles there are."""
    folder = files(_GENERATOR) / "profiles"
    names = [item.name for item in folder.iterdir()]
    return sorted(name[:-5] for name in names if name.endswith(".toml"))


def read_profile(name: str, *, duration_s: float | None = None) -> LoadProfile:
    """Return a profile by its name, stretched to a duration where one is given.

    Raises:
        InputError: There is none of that name, or it is wrong.
    """
    if name not in profile_names():
        known = ", ".join(profile_names())
        raise _wrong("profile", f"there is no load profile `{name}`", f"Use {known}")
    file = f"{_GENERATOR}/profiles/{name}.toml"
    try:
        data = tomllib.loads(
            (files(_GENERATOR) / "profiles" / f"{name}.toml").read_text()
        )
        plan = LoadProfile.model_validate(data)
        return plan if duration_s is None else _stretched(plan, duration_s)
    except tomllib.TOMLDecodeError as error:
        raise _wrong("profile", f"{file} is not TOML: {error}", "Correct it") from error
    except ValidationError as error:
        raise InputError(
            [
                Defect(
                    code=f"load/{wording.check}",
                    what=wording.what,
                    remedy=wording.remedy,
                    file=file,
                    field=".".join(map(str, detail["loc"])),
                )
                for detail in error.errors(include_url=False)
                for wording in [word(detail, LoadProfile)]
            ]
        ) from error


def _stretched(plan: LoadProfile, duration_s: float) -> LoadProfile:
    factor = duration_s / plan.seconds
    data = plan.model_dump()
    for stage in data["stages"]:
        stage["seconds"] *= factor
    return LoadProfile.model_validate(data)


def _check_host(host: str, allow: tuple[str, ...]) -> None:
    parts = urlsplit(host)
    if parts.scheme != "http" or not parts.hostname:
        raise _wrong(
            "host", f"`{host}` is not where load can go", "Write http://ADDRESS:PORT"
        )
    try:
        address = ipaddress.ip_address(parts.hostname)
        networks = [ipaddress.ip_network(item) for item in allow]
    except ValueError as error:
        what = f"{error}; a name could be anyone's"
        raise _wrong("host", what, "Write the address itself") from error
    if not address.is_loopback and not any(address in item for item in networks):
        raise _wrong(
            "host",
            f"load may not go to {address}: it is not this machine",
            "Allow the address by name if it is the system under trial",
        )


def _wrong(field: str, what: str, remedy: str) -> InputError:
    return InputError(
        [Defect(code=f"load/{field}", what=what, remedy=remedy, field=field)]
    )


def _command(plan: LoadProfile, host: str) -> list[str]:
    return [
        sys.executable,
        *("-m", "locust"),
        *("-f", str(files(_GENERATOR) / "locustfile.py")),
        "--headless",
        "--only-summary",
        *("--host", host),
        *("--stop-timeout", str(math.ceil(plan.answer_within_s))),
        *("--exit-code-on-error", "0"),
    ]


def _limit_s(plan: LoadProfile) -> float:
    arriving = max(stage.users for stage in plan.stages) / plan.users_per_s
    return _TO_START_S + plan.seconds + arriving + 2 * plan.answer_within_s


def _run(command: list[str], log: Path, *, limit_s: float) -> None:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            code = process.wait(timeout=limit_s)
        except subprocess.TimeoutExpired as error:
            raise LoadError(
                f"the load generator did not end within {limit_s:.0f} s and was "
                f"stopped; see {log}:\n{_last_lines(log)}"
            ) from error
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if code:
        raise LoadError(
            f"the load generator ended with code {code}; it comes with the extra "
            f"`loadtest`. It said last ({log}):\n{_last_lines(log)}"
        )


def _read_result(file: Path, log: Path) -> dict[str, Any]:
    try:
        said: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LoadError(
            f"the load generator left no result; see {log}:\n{_last_lines(log)}"
        ) from error
    return said


def _last_lines(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-_LAST_LINES:])


def _result(
    plan: LoadProfile, said: dict[str, Any], *, host: str, seed: int
) -> LoadResult:
    try:
        started, finished = said.pop("started_unix"), said.pop("finished_unix")
        return LoadResult.model_validate(
            {
                **said,
                "profile": plan.profile,
                "profile_digest": digest_of(plan),
                "host": host,
                "seed": seed,
                "started_at": datetime.fromtimestamp(started, UTC),
                "finished_at": datetime.fromtimestamp(finished, UTC),
            }
        )
    except (KeyError, ValidationError) as error:
        raise LoadError(f"the load generator's result is not one: {error}") from error
