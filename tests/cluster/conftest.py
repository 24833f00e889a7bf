"""One real node for the whole session, in a home of its own.

Ready binaries come from SANDBOX_SERVERS, else from the cache of SANDBOX_HOME, where
missing ones are built.
"""

import os
import shutil
import sys
import time

import kubernetes.config
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from sandbox.adapters.clock import SystemClock
from sandbox.adapters.cluster import KubernetesCluster
from sandbox.adapters.kubernetes_api import KubernetesApi
from sandbox.local import down, up
from sandbox.local.pki import Authority, Subject, issue, write_kubeconfig
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


@pytest.fixture(name="make_api", scope="session")
def _make_api(servers):
    """Opens requests the port does not offer: subresources, dry runs, reviews."""
    clients = []

    def make(kubeconfig):
        client = kubernetes.config.new_client_from_config(
            config_file=str(kubeconfig), context=servers.context
        )
        clients.append(client)
        return KubernetesApi(client, pause=time.sleep)

    yield make
    for client in clients:
        client.rest_client.pool_manager.clear()


@pytest.fixture(name="make_kubeconfig", scope="session")
def _make_kubeconfig(tmp_path_factory):
    """Makes the kubeconfig of somebody in one group of a node, by a certificate of the
    node's own authority.
    """

    def make(servers, name, group):
        folder, pki = tmp_path_factory.mktemp(name), servers.kubeconfig.parent
        shutil.copy(pki / "ca.crt", folder)
        authority = Authority(
            x509.load_pem_x509_certificate((pki / "ca.crt").read_bytes()),
            load_pem_private_key((pki / "ca.key").read_bytes(), password=None),
            folder,
            SystemClock().now(),
        )
        issue(authority, name, Subject(name, group))
        return write_kubeconfig(folder, name, server=servers.api_server)

    return make
