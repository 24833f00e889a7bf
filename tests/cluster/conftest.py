"""One real node for the whole session, in a home of its own.

Ready binaries come from SANDBOX_SERVERS, else from the cache of SANDBOX_HOME, where
missing ones are built.
"""

import os
import sys

import pytest

from sandbox.adapters.cluster import KubernetesCluster
from sandbox.local import down, up
from sandbox.settings import Settings


def told(stage, what):
    sys.stderr.write(f"{stage}: {what}\n")


@pytest.fixture(name="needs_root", scope="session", autouse=True)
def _needs_root():
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: a real Kubernetes node needs root on this machine")


@pytest.fixture(name="make_settings", scope="session")
def _make_settings(tmp_path_factory, needs_root):
    """Makes settings of a new home that shares the configured home's binaries."""

    def make(name):
        configured = Settings()
        home = tmp_path_factory.mktemp(name)
        cache = configured.home.expanduser().resolve() / "servers"
        cache.mkdir(parents=True, exist_ok=True)
        (home / "servers").symlink_to(cache)
        return Settings(home=home, servers=configured.servers, context="", temporal="")

    return make


@pytest.fixture(name="settings", scope="session")
def _settings(make_settings):
    settings = make_settings("node")
    yield settings
    down(settings, progress=told)


@pytest.fixture(name="servers", scope="session")
def _servers(settings):
    """How to reach the session's node."""
    return up(settings, progress=told, temporal=False)


@pytest.fixture(name="cluster", scope="session")
def _cluster(servers):
    """The session's node behind the `Cluster` port."""
    return KubernetesCluster.from_kubeconfig(servers.kubeconfig, servers.context)
