"""The node a bench of isolation runs on, and trials that are as alike as can be."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import kubernetes.config
from kubernetes.client import ApiClient, Configuration

from sandbox.adapters.clock import SystemClock
from sandbox.adapters.cluster import KubernetesCluster
from sandbox.environment import (
    apply_environment,
    deploy_system,
    prove_isolation,
    standard_targets,
)
from sandbox.examination import Place
from sandbox.local import LocalServers, down, up
from sandbox.local.cgroups import hierarchies
from sandbox.local.layout import Layout
from sandbox.model.application import IngressNeed, Limits, SystemNeeds
from sandbox.model.trial import EnvironmentSpec, RecorderEndpoint
from sandbox.ports import KubernetesObject
from sandbox.settings import Settings
from sandbox.testing.environment import environment_spec, system_manifests

PORT = 8080
SYSTEM = system_manifests("agnhost", "netexec", f"--http-port={PORT}", "--udp-port=-1")
_WAY_IN = IngressNeed.model_validate(
    {"from": "load-source", "to": "front", "port": PORT}
)
_NEEDS = SystemNeeds(ingress=(_WAY_IN,), limits=Limits(cpu="2", memory="512Mi", pods=4))
_UNREAD = 4096
"""Connections the recorder's stand-in takes and leaves unread: one for each proof."""
_WRITES = frozenset({"PATCH", "POST", "PUT", "DELETE"})


class Call(NamedTuple):
    """One request to the API server."""

    method: str
    dry_run: bool
    seconds: float
    """Until the head of the answer."""


class CountingClient(ApiClient):
    """The official client, which also notes every request."""

    def __init__(self, configuration: Configuration) -> None:
        super().__init__(configuration)
        self.calls: list[Call] = []

    def call_api(self, method: str, url: str, *rest: Any, **more: Any) -> Any:
        """Send a request and note how long the answer took."""
        begun = time.perf_counter()
        try:
            return super().call_api(method, url, *rest, **more)
        finally:
            seconds = time.perf_counter() - begun
            self.calls.append(Call(method, "dryRun=" in url, seconds))


class Ground(NamedTuple):
    """A node that runs, and how to reach it."""

    settings: Settings
    servers: LocalServers
    client: CountingClient
    cluster: KubernetesCluster
    recorder_port: int

    def spec(self, trial_id: str) -> EnvironmentSpec:
        """Return the specification of one trial."""
        host, port = self.servers.host_address, self.recorder_port
        return environment_spec(
            trial_id,
            images={"agnhost": self.servers.images["agnhost"]},
            probe_image=self.servers.image("regulatory-sandbox"),
            needs=_NEEDS,
            recorder=RecorderEndpoint(host=host, http_port=port, grpc_port=port + 1),
            load_source=f"{host}/32",
        )

    def place(self, tag: str) -> Place:
        """Return where throwaway namespaces are made."""
        image = self.servers.image("agnhost")
        return Place(self.cluster, image=image, tag=tag, pause=time.sleep)

    def prove(self, spec: EnvironmentSpec) -> None:
        """Apply an environment and prove its isolation.

        Raises:
            SystemExit: It does not hold; no figure is worth anything then.
        """
        apply_environment(self.cluster, spec, recorder_token="t")
        targets = standard_targets(self.cluster, spec, beacons=self.servers.beacons)
        proof = prove_isolation(
            self.cluster, spec, targets=targets, clock=SystemClock()
        )
        if not proof.holds:
            raise SystemExit(f"{spec.trial_id}: {'; '.join(proof.failures)}")

    def deploy(self, spec: EnvironmentSpec) -> None:
        """Deploy one pod of agnhost as the system."""
        deploy_system(self.cluster, spec, SYSTEM, wait_s=60)

    def system_address(self, spec: EnvironmentSpec) -> str:
        """Return the address of the system's pod."""
        pods = self.cluster.find("v1", "Pod", namespace=spec.namespace)
        return str(next(pod["status"]["podIP"] for pod in pods if _is_front(pod)))

    def link(self) -> str:
        """Return the name of the host's end of the wire to the node."""
        shown = subprocess.run(
            ["ip", "-json", "-4", "address"], capture_output=True, check=True
        ).stdout
        return next(
            str(link["ifname"])
            for link in json.loads(shown)
            for address in link["addr_info"]
            if address["local"] == self.servers.host_address
        )

    def processor_s(self) -> float:
        """Return the processor time of the node so far: servers, shims and pods."""
        group = Layout(self.settings.home.resolve()).instance
        for names, path in hierarchies().items():
            if "cpuacct" in names.split(","):
                used = (path / group / "cpuacct.usage").read_text()
                return int(used) / 1e9
            if not names:
                lines = (path / group / "cpu.stat").read_text().splitlines()
                return int(dict(map(str.split, lines))["usage_usec"]) / 1e6
        return 0.0

    def writes_since(self, start: int) -> dict[str, int]:
        """Return how many requests may change something, since an earlier count."""
        calls = [call for call in self.client.calls[start:] if call.method in _WRITES]
        tried = sum(call.dry_run for call in calls)
        return {"kept": len(calls) - tried, "dry_runs": tried}


def _is_front(pod: KubernetesObject) -> bool:
    return (pod["metadata"].get("labels") or {}).get("app") == "front"


def told(what: str) -> None:
    """Say how far the bench is."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {what}\n")


@contextmanager
def ground() -> Iterator[Ground]:
    """Start a node in a home of its own; end it without a trace."""
    home = Path(tempfile.mkdtemp(prefix="rsbx-bench-"))
    configured = Settings()
    cache = configured.home.expanduser().resolve() / "servers"
    cache.mkdir(parents=True, exist_ok=True)
    (home / "servers").symlink_to(cache)
    settings = Settings(home=home, servers=configured.servers, context="", temporal="")
    try:
        servers = up(settings, progress=lambda _, what: told(what), temporal=False)
        configuration = Configuration()
        configuration.retries = False
        kubernetes.config.load_kube_config(  # type: ignore[no-untyped-call]
            config_file=str(servers.kubeconfig),
            context=servers.context,
            client_configuration=configuration,
        )
        client = CountingClient(configuration)
        address = (servers.host_address, 0)
        with socket.create_server(address, backlog=_UNREAD) as recorder:
            port = recorder.getsockname()[1]
            yield Ground(settings, servers, client, KubernetesCluster(client), port)
    finally:
        down(settings, progress=lambda _, what: told(what))
        shutil.rmtree(home, ignore_errors=True)


def timed_all(steps: Sequence[Callable[[], object]]) -> list[float]:
    """Do steps one after another; return the seconds each took."""
    taken = []
    for step in steps:
        begun = time.perf_counter()
        step()
        taken.append(time.perf_counter() - begun)
    return taken
