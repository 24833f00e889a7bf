"""How a node ends, and what is known of one that did not end properly.

Rules of this module:

* One step ends every server, shim and pod at once, so no order between them can go
  wrong; network, mounts and pinned namespaces end with the last process.
* Nothing is needed for it but the home's path.
"""

from __future__ import annotations

import shutil

from sandbox.local import cgroups
from sandbox.local.layout import Layout, layout_of
from sandbox.local.network import release
from sandbox.local.processes import Tracked, forget, tracked_processes
from sandbox.settings import Settings

SERVERS = (
    "node",
    "etcd",
    "containerd",
    "kube-apiserver",
    "policy-table",
    "kubelet",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kube-network-policies",
    "beacon-metadata",
    "beacon-outside",
)
"""Names of the node's processes, in start order."""


def node_processes(settings: Settings) -> list[Tracked]:
    """Return the recorded processes of the node, in start order."""
    return [item for item in tracked_processes(settings) if item.name in SERVERS]


def has_leftovers(layout: Layout) -> bool:
    """Return whether a node runs, or left anything behind."""
    return layout.node.exists() or cgroups.exists(layout.instance)


def stop_node(settings: Settings) -> list[str]:
    """End the node with everything it started, and remove its files.

    Returns:
        What there was to clean; empty if nothing.

    Raises:
        LocalError: A process survives SIGKILL.
    """
    layout = layout_of(settings)
    done = []
    count = cgroups.kill(layout.instance)
    if count:
        done.append(f"ended {count} processes of the Kubernetes node")
    for tracked in node_processes(settings):
        forget(settings, tracked)
    done += [f"removed the link {name}" for name in release(layout.instance)]
    if cgroups.remove(layout.instance):
        done.append(f"removed the control group {layout.instance}")
    if layout.node.exists():
        shutil.rmtree(layout.node)
        done.append(f"removed {layout.node}")
    return done
