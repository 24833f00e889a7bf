"""The program that makes the attempts of an isolation proof, run as a pod runs it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sandbox.environment.attempts import report_in
from sandbox.incluster import attempts, neighbour

PROGRAM = Path(attempts.__file__)
LISTENER = Path(neighbour.__file__)


def target(host: str, port: int, seconds: float = 1.5, **more: Any) -> dict[str, Any]:
    return {"name": "t", "host": host, "port": port, "seconds": seconds, **more}


def run(*targets: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run the program as the pod of a proof runs it: alone, with nothing of ours."""
    argv = [sys.executable, "-I", "-S", str(PROGRAM), json.dumps(targets)]
    return subprocess.run(
        argv, capture_output=True, text=True, cwd="/", timeout=60, check=False
    )


def tried(*targets: dict[str, Any]) -> list[Any]:
    """Return the attempts of the program's report."""
    ended = run(*targets)
    assert (ended.returncode, ended.stderr) == (0, "")
    report = report_in(ended.stdout)
    assert report is not None, ended.stdout
    return list(report.attempts)


@contextmanager
def listening() -> Iterator[int]:
    """A port of this machine that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@contextmanager
def silent() -> Iterator[int]:
    """A port of this machine that answers no first packet: its queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = int(listener.getsockname()[1])
        queue = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
            queue.append(one)
        time.sleep(0.1)
        yield port
        for one in queue:
            one.close()


@contextmanager
def unused() -> Iterator[int]:
    """A port of this machine that nothing listens at."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


def test_every_outcome_has_its_word() -> None:
    """A connection, a refusal, a silence and a name that is none are told apart."""
    with listening() as there, unused() as closed, silent() as mute:
        found = tried(
            target("127.0.0.1", there),
            target("127.0.0.1", closed),
            target("127.0.0.1", mute),
            target("no-such-host.invalid", 80),
        )
    assert [one.said for one in found[:3]] == ["CONNECTED", "REFUSED", "TIMEOUT"]
    assert found[3].said.startswith("DNS: ")


def test_a_silence_is_waited_for() -> None:
    """A silent target is given its whole time, and a longer one more."""
    with silent() as mute:
        found = tried(
            target("127.0.0.1", mute), target("127.0.0.1", mute, 0.3, name="short")
        )
    lengths = [(one.finished_at - one.started_at).total_seconds() for one in found]
    assert lengths[0] >= 1.5
    assert 0.3 <= lengths[1] < 1.2


def test_nothing_waits_for_another() -> None:
    """Twelve silent targets take the time of one, and all begin together."""
    begun = time.monotonic()
    with silent() as mute:
        found = tried(
            *(target("127.0.0.1", mute, name=f"n{number}") for number in range(12))
        )
    assert time.monotonic() - begun < 12 * 1.5 / 2
    starts = [one.started_at for one in found]
    assert (max(starts) - min(starts)).total_seconds() < 1.0
    assert [one.name for one in found] == [f"n{number}" for number in range(12)]


def test_a_name_is_looked_up() -> None:
    """A host may be a name; all of its addresses are tried until one answers."""
    with listening() as there:
        (found,) = tried(target("localhost", there))
    assert (found.said, found.host) == ("CONNECTED", "localhost")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["TIMEOUT", "CONNECTED", "TIMEOUT"], "CONNECTED"),
        (["ERROR: x", "CONNECTED"], "CONNECTED"),
        (["TIMEOUT", "ERROR: x", "TIMEOUT"], "ERROR: x"),
        (["UNREACHABLE: x", "TIMEOUT"], "TIMEOUT"),
    ],
)
def test_a_name_of_several_addresses(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One address that answers is enough; only silence at all of them is silence."""
    found = [(socket.AF_INET, 0, 0, "", (str(n), 1)) for n in range(len(words))]
    left = iter(words)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *asked, **more: found)
    monkeypatch.setattr(attempts, "_said", lambda *asked: next(left))
    attempt = attempts.Attempt(target("name", 1))
    attempt.start()
    assert attempt.report()["said"] == said


def test_a_reset_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that breaks as it opens is an error: somebody was there."""

    class Broken(socket.socket):
        def connect(self, address: Any) -> None:
            raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr(socket, "socket", Broken)
    said = attempts._said(socket.AF_INET, ("127.0.0.1", 1), 1.0)
    assert said == "ERROR: Connection reset by peer"


@pytest.mark.parametrize(
    ("number", "kind"),
    [("EHOSTUNREACH", "UNREACHABLE"), ("EPERM", "UNREACHABLE"), ("EMFILE", "ERROR")],
)
def test_what_the_way_says_is_told_from_what_failed_here(
    number: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unreachable network is an answer; a lack of descriptors is none."""

    class Refusing(socket.socket):
        def connect(self, address: Any) -> None:
            raise OSError(getattr(attempts.errno, number), number)

    monkeypatch.setattr(socket, "socket", Refusing)
    said = attempts._said(socket.AF_INET, ("127.0.0.1", 1), 1.0)
    assert said == f"{kind}: {number}"


def test_a_name_without_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search for a name that does not end is reported once its time is over."""
    ended = threading.Event()

    def searching(*asked: Any, **more: Any) -> list[Any]:
        ended.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    monkeypatch.setattr(socket, "getaddrinfo", searching)
    attempt = attempts.Attempt(target("name", 53, 0.2))
    attempt.start()
    begun = time.monotonic()
    report = attempt.report()
    assert time.monotonic() - begun < 10
    assert report["said"] == "DNS: no answer in 0.2 s"
    ended.set()
    attempt.join()


def test_the_kernel_is_read() -> None:
    """The report holds what the pod's own /proc says of the kernel."""
    report = report_in(run().stdout)
    assert report is not None and report.attempts == ()
    assert report.kernel == Path("/proc/version").read_text().strip()


def test_without_targets_nothing_is_printed() -> None:
    """What cannot be read is no report, and an exit that says so."""
    argv = [sys.executable, "-I", "-S", str(PROGRAM), "node 192.0.2.1 1"]
    ended = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")


def test_nothing_of_the_product_is_needed() -> None:
    """Both programs run as plain files: they import the standard library alone."""
    names = {
        line.split()[1].split(".")[0]
        for program in (PROGRAM, LISTENER)
        for line in program.read_text().splitlines()
        if line.startswith(("import ", "from "))
    }
    assert names <= sys.stdlib_module_names


def test_the_neighbour_takes_connections() -> None:
    """The neighbour listens at every address of either family, again and again."""
    with neighbour.listen(0) as listener:
        port = listener.getsockname()[1]
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                listener.accept()[0].close()
