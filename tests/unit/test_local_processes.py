import os
import signal
import subprocess
import sys
import time

import pytest

from sandbox.errors import LocalError
from sandbox.local import processes
from sandbox.settings import Settings


@pytest.fixture(name="settings")
def _settings(tmp_path):
    settings = Settings(home=tmp_path / "home")
    yield settings
    for tracked in processes.tracked_processes(settings):
        processes.stop(settings, tracked, grace_s=0)


def _sleep(settings, name="sleeper"):
    return processes.spawn(settings, name, ["sleep", "60"])


def test_a_spawned_process_lives_in_its_own_session(settings):
    """A process outlives the terminal of the command that started it."""
    tracked = _sleep(settings)
    assert processes.alive(tracked)
    assert os.getsid(tracked.pid) == tracked.pid


def test_a_process_is_found_again_from_its_record(settings):
    """The record on disk names the very process that was started."""
    tracked = _sleep(settings)
    assert processes.find_tracked(settings, "sleeper") == tracked
    assert processes.is_alive(settings, "sleeper")


def test_stop_ends_the_process_and_its_record(settings):
    """After stop neither the process nor its record is there."""
    tracked = _sleep(settings)
    assert processes.stop(settings, tracked) is True
    assert not processes.alive(tracked)
    assert processes.tracked_processes(settings) == []


def test_a_process_that_ignores_sigterm_is_killed(settings):
    """Stop insists with SIGKILL once the grace is over."""
    script = "trap '' TERM; touch armed; while :; do sleep 0.05; done"
    argv = ["sh", "-c", f"cd {settings.home} && {script}"]
    tracked = processes.spawn(settings, "stubborn", argv)
    deadline = time.monotonic() + 5
    while not (settings.home / "armed").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    begun = time.monotonic()
    assert processes.stop(settings, tracked, grace_s=0.3) is True
    assert time.monotonic() - begun >= 0.3
    assert not processes.alive(tracked)


def test_another_process_with_the_same_number_is_left_alone(settings):
    """A number that now belongs to another process is not signalled."""
    with subprocess.Popen(["sleep", "60"]) as other:
        ticks = processes.started_ticks(other.pid)
        tracked = processes.Tracked(
            name="old",
            pid=other.pid,
            started_ticks=ticks - 1,
            boot=processes._BOOT.read_text().strip(),
            command=("sleep",),
            log=settings.home / "old.log",
        )
        assert processes.stop(settings, tracked, grace_s=0) is False
        assert other.poll() is None
        same = tracked.model_copy(update={"started_ticks": ticks})
        assert processes.alive(same), "the control: with its own ticks it is alive"
        other.kill()


def test_a_process_of_another_boot_is_left_alone(settings):
    """Numbers and ticks of an earlier boot mean nothing in this one."""
    tracked = _sleep(settings)
    earlier = tracked.model_copy(
        update={"boot": "11111111-2222-3333-4444-555555555555"}
    )
    assert processes.stop(settings, earlier, grace_s=0) is False
    assert processes.started_ticks(tracked.pid) == tracked.started_ticks
    os.kill(tracked.pid, signal.SIGKILL)


def test_a_killed_process_is_not_alive(settings):
    """A process that ended by itself is seen as ended, though nobody waited for it."""
    tracked = _sleep(settings)
    os.kill(tracked.pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while processes.alive(tracked):
        assert time.monotonic() < deadline
    assert processes.status_of(tracked).alive is False


def test_a_name_runs_once(settings):
    """A second process of the same name is refused while the first runs."""
    _sleep(settings)
    with pytest.raises(LocalError, match="sleeper runs already"):
        _sleep(settings)


def test_a_program_that_is_not_there_is_named(settings):
    """What cannot be executed is a diagnosis, and leaves no record."""
    with pytest.raises(LocalError, match="/no/such/program"):
        processes.spawn(settings, "ghost", ["/no/such/program"])
    assert processes.tracked_processes(settings) == []


def test_the_environment_and_the_prefix_reach_the_program(settings):
    """Added variables are seen by the program, whose output is in its log."""
    argv = [sys.executable, "-c", "import os; print(os.environ['TRIAL_WORD'])"]
    tracked = processes.spawn(
        settings, "teller", argv, env={"TRIAL_WORD": "a b"}, prefix=["nice"]
    )
    deadline = time.monotonic() + 10
    while processes.alive(tracked):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert processes.last_lines(tracked.log) == "    a b"


def test_a_torn_record_is_ignored(settings):
    """A record that a crash left half-written stops nobody."""
    _sleep(settings)
    (settings.home / "run" / "torn.json").write_text('{"name": "torn", "pi')
    names = [one.name for one in processes.tracked_processes(settings)]
    assert names == ["sleeper"]
