"""The load generator against a real server on this machine."""

from __future__ import annotations

import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sandbox.adapters import load as adapter
from sandbox.adapters.load import profile_names, read_profile, run_load
from sandbox.errors import InputError, LoadError


class _Server(ThreadingHTTPServer):
    """Answers after `delay_s`, with an error for every `fails`-th request."""

    daemon_threads = True
    delay_s = 0.0
    fails = 0

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Answer)
        self.traces: Counter[str] = Counter()
        self.paths: list[str] = []
        self.failed = 0
        self.lock = threading.Lock()

    def note(self, path):
        """Keep a request; return whether it shall fail."""
        with self.lock:
            self.paths.append(path)
            fails = bool(self.fails) and len(self.paths) % self.fails == 0
            self.failed += fails
            return fails


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self):
        self.server.traces[self.headers.get("traceparent", "")] += 1
        time.sleep(self.server.delay_s)
        failed = self.server.note(self.path)
        body = b'{"Driver": "T1"}'
        self.send_response(500 if failed else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


@pytest.fixture(name="server")
def _server():
    server = _Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def run(server, tmp_path, **more):
    host = f"http://127.0.0.1:{server.server_port}"
    asked = {"profile": "smoke", "seed": 7, "duration_s": 4.0, **more}
    return run_load(asked.pop("profile"), host=host, log=tmp_path / "load.log", **asked)


def test_what_the_generator_reports_is_what_the_server_saw(server, tmp_path):
    """Every request is counted once, and carries its own trace context."""
    result = run(server, tmp_path)
    assert result.verdict == "pass"
    assert result.requests == len(server.paths) >= 10
    assert (result.failures, result.reasons) == (0, {})
    assert "" not in server.traces
    assert set(server.traces.values()) == {1}
    assert result.finished_at > result.started_at
    assert 0 < result.p50_ms <= result.p95_ms <= result.p99_ms < 1000


def test_the_same_seed_asks_the_same_traces(server, tmp_path):
    """Two runs of one seed share their trace ids; another seed shares none."""
    run(server, tmp_path, duration_s=2.0)
    once = set(server.traces)
    server.traces.clear()
    run(server, tmp_path, duration_s=2.0)
    again = set(server.traces)
    server.traces.clear()
    run(server, tmp_path, duration_s=2.0, seed=8)
    assert len(once & again) >= min(len(once), len(again)) - 2
    assert not once & set(server.traces)


def test_a_slow_system_is_a_result(server, tmp_path, monkeypatch):
    """Latencies beyond the limit fail the test; the generator itself ran."""
    server.delay_s = 0.3
    plan = read_profile("smoke", duration_s=3.0)
    strict = plan.model_copy(update={"thresholds": {"p95_ms": 200.0}})
    monkeypatch.setattr(adapter, "read_profile", lambda *_, **__: strict)
    result = run(server, tmp_path)
    assert result.verdict == "fail"
    assert result.failures == 0
    assert result.p50_ms >= 300


def test_a_failing_system_is_a_result_with_its_reasons(server, tmp_path):
    """Errors of the server are counted and named."""
    server.fails = 2
    result = run(server, tmp_path)
    assert result.verdict == "fail"
    assert result.reasons == {"HTTP 500": result.failures}
    assert result.failures == server.failed > 0


def test_a_system_that_is_not_there_is_a_result_too(tmp_path):
    """Nobody answers: all requests fail, and the generator says so."""
    result = run_load(
        "smoke",
        host="http://127.0.0.1:9",
        seed=1,
        duration_s=2.0,
        log=tmp_path / "load.log",
    )
    assert result.verdict == "fail"
    assert result.failures == result.requests > 0


def test_a_generator_that_does_not_run_is_an_error(server, tmp_path, monkeypatch):
    """A broken start is never taken for a slow system; its last words are shown."""
    monkeypatch.setattr(
        adapter, "_command", lambda *_: [adapter.sys.executable, "-m", "no_such_module"]
    )
    with pytest.raises(LoadError, match="No module named no_such_module"):
        run(server, tmp_path)


def test_a_generator_that_says_nothing_is_an_error(server, tmp_path, monkeypatch):
    """Ending well without a result is an error, too."""
    monkeypatch.setattr(
        adapter, "_command", lambda *_: [adapter.sys.executable, "-c", "pass"]
    )
    with pytest.raises(LoadError, match="left no result"):
        run(server, tmp_path)


def test_a_generator_that_does_not_end_is_stopped(server, tmp_path, monkeypatch):
    """The wait is bounded, and nothing is left running."""
    endless = [adapter.sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(adapter, "_command", lambda *_: endless)
    monkeypatch.setattr(adapter, "_limit_s", lambda _: 0.5)
    started = time.monotonic()
    with pytest.raises(LoadError, match="did not end within"):
        run(server, tmp_path)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    "host",
    [
        "http://198.51.100.7:80",
        "http://10.96.0.1:8080",
        "http://example.test",
        "http://localhost:8080",
        "https://127.0.0.1:8080",
        "127.0.0.1:8080",
        "",
    ],
)
def test_load_goes_nowhere_it_is_not_allowed(host, tmp_path):
    """Other machines, names and other schemes are refused before anything starts."""
    log = tmp_path / "load.log"
    with pytest.raises(InputError) as raised:
        run_load("smoke", host=host, seed=1, log=log, allow=("10.96.0.2/32",))
    assert raised.value.defects[0].code == "load/host"
    assert not log.exists()


def test_an_allowed_address_is_no_obstacle(tmp_path, monkeypatch):
    """Inside an allowed network the host is accepted and the generator is started."""
    monkeypatch.setattr(
        adapter, "_command", lambda *_: [adapter.sys.executable, "-c", "pass"]
    )
    with pytest.raises(LoadError, match="left no result"):
        run_load(
            "smoke",
            host="http://10.96.0.1:8080",
            seed=1,
            log=tmp_path / "load.log",
            allow=("10.96.0.0/16",),
        )


def test_every_profile_reads_and_an_unknown_one_is_named():
    """All shipped profiles are sound; a slip names those there are."""
    assert {"smoke", "steady"} <= set(profile_names())
    for name in profile_names():
        assert read_profile(name).profile == name
    with pytest.raises(InputError, match="Use ramp, smoke, spike, steady"):
        read_profile("stedy")


def test_a_duration_stretches_every_stage():
    """The shape stays, the length is as asked."""
    spike = read_profile("spike")
    longer = read_profile("spike", duration_s=2 * spike.seconds)
    assert longer.seconds == pytest.approx(2 * spike.seconds)
    assert [item.users for item in longer.stages] == [
        item.users for item in spike.stages
    ]
    with pytest.raises(InputError):
        read_profile("spike", duration_s=0)
