"""The command line and configuration of every server of a node.

Rules of this module:

* Pure: from a plan to arguments and file contents; nothing is started here.
* Nothing listens where it need not: metrics, etcd and controllers on the node's
  loopback, the kubelet and the API server on the node's address.
* Each component has its own certificate and no more rights than Kubernetes gives it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from sandbox.environment import audit_policy
from sandbox.local.layout import Layout
from sandbox.local.network import Slot
from sandbox.local.packet_queue import holding_agent_table
from sandbox.local.pki import Subject
from sandbox.local.templates import Values, render_json, render_toml, render_yaml

NODE_NAME = "local"
AUDIT_POLICY = "audit-policy.yaml"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class NodePlan(NamedTuple):
    """Everything that distinguishes one node from another."""

    layout: Layout
    slot: Slot
    runc: Path
    images: Mapping[str, str]
    """Reference of each image that pods name, by name."""
    may_lower_oom_score: bool
    """Whether this process has CAP_SYS_RESOURCE (capabilities(7))."""
    queues_by_iptables: bool
    """Whether the kernel lacks the nftables `queue` expression."""

    @property
    def server(self) -> str:
        """URL of the API server."""
        return f"https://{self.slot.node_address}:6443"

    @property
    def bin(self) -> Path:
        """Every binary by its plain name."""
        return self.layout.node / "bin"

    @property
    def socket(self) -> Path:
        """Where containerd listens."""
        return self.layout.node / "containerd.sock"

    def kubeconfig(self, name: str) -> str:
        """Return the path of a component's kubeconfig."""
        return str(self.layout.pki / f"{name}.kubeconfig")


def server_subject(plan: NodePlan) -> Subject:
    """Return whom the API server's certificate names."""
    names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
    hosts = (plan.slot.node_address, plan.slot.api_address, "127.0.0.1", "localhost")
    return Subject("kube-apiserver", hosts=(*hosts, *names))


def values(plan: NodePlan) -> Values:
    """Return what fills the configuration files."""
    return {
        "node": str(plan.layout.node),
        "bin": str(plan.bin),
        "socket": str(plan.socket),
        "runc": str(plan.runc),
        "pause": plan.images["pause"],
        "coredns_image": plan.images["coredns"],
        "restrict_oom": "false" if plan.may_lower_oom_score else "true",
        "cgroup": f"/{plan.layout.instance}",
        "node_address": plan.slot.node_address,
        "dns_address": plan.slot.dns_address,
        "node_pod_range": plan.slot.node_pod_range,
    }


def configurations(plan: NodePlan) -> dict[str, str]:
    """Return the text of each configuration file, by its path in the node's folder."""
    filled = values(plan)
    return {
        "containerd.toml": render_toml("node/containerd.toml", filled),
        "cni/10-pods.conflist": render_json("node/network.conflist", filled),
        "kubelet.yaml": render_yaml("node/kubelet.yaml", filled),
        "resolv.conf": "",
        AUDIT_POLICY: audit_policy(),
    }


def first_servers(plan: NodePlan) -> dict[str, list[str]]:
    """Return the commands that need no API server, in start order."""
    return {
        "etcd": _etcd(plan),
        "containerd": ["containerd", "-c", str(plan.layout.node / "containerd.toml")],
        "kube-apiserver": _apiserver(plan),
    }


def before_policy_agent(plan: NodePlan) -> dict[str, list[str]]:
    """Return the commands that must have worked before the policy agent starts."""
    if not plan.queues_by_iptables:
        return {}
    return {"policy-table": holding_agent_table()}


def later_servers(plan: NodePlan) -> dict[str, list[str]]:
    """Return the commands that need the API server, in start order."""
    return {
        "kubelet": _kubelet(plan),
        "kube-controller-manager": _controller_manager(plan),
        "kube-scheduler": [
            "kube-scheduler",
            f"--kubeconfig={plan.kubeconfig('scheduler')}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            "--kube-api-qps=200",
            "--kube-api-burst=400",
        ],
        "kube-proxy": _proxy(plan),
        "kube-network-policies": _policy_agent(plan),
    }


def _etcd(plan: NodePlan) -> list[str]:
    return [
        "etcd",
        f"--data-dir={plan.layout.node / 'etcd'}",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--log-level=warn",
        # A node that crashes is thrown away, so nothing is gained by waiting for disks.
        "--unsafe-no-fsync",
    ]


def _apiserver(plan: NodePlan) -> list[str]:
    pki = plan.layout.pki
    return [
        "kube-apiserver",
        "--etcd-servers=http://127.0.0.1:2379",
        "--bind-address=0.0.0.0",
        "--secure-port=6443",
        f"--advertise-address={plan.slot.node_address}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--service-account-key-file={pki / 'sa.pub'}",
        f"--service-account-signing-key-file={pki / 'sa.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-cluster-ip-range={plan.slot.service_range}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction,DenyServiceExternalIPs",
        "--anonymous-auth=false",
        "--allow-privileged=false",
        "--profiling=false",
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-client-certificate={pki / 'kubelet-client.crt'}",
        f"--kubelet-client-key={pki / 'kubelet-client.key'}",
        f"--kubelet-certificate-authority={pki / 'ca.crt'}",
        f"--audit-policy-file={plan.layout.node / AUDIT_POLICY}",
        f"--audit-log-path={plan.layout.audit_log}",
        # Written beside the request, not before its answer.
        "--audit-log-mode=batch",
        "--audit-log-maxsize=64",
        "--audit-log-maxbackup=1",
    ]


def _kubelet(plan: NodePlan) -> list[str]:
    return [
        "kubelet",
        f"--config={plan.layout.node / 'kubelet.yaml'}",
        f"--kubeconfig={plan.kubeconfig('kubelet')}",
        f"--hostname-override={NODE_NAME}",
        f"--root-dir={plan.layout.node / 'kubelet'}",
        f"--node-ip={plan.slot.node_address}",
    ]


def _controller_manager(plan: NodePlan) -> list[str]:
    return [
        "kube-controller-manager",
        f"--kubeconfig={plan.kubeconfig('controller-manager')}",
        f"--service-account-private-key-file={plan.layout.pki / 'sa.key'}",
        f"--root-ca-file={plan.layout.pki / 'ca.crt'}",
        f"--cluster-cidr={plan.slot.pod_range}",
        "--allocate-node-cidrs=true",
        "--use-service-account-credentials=true",
        # Each controller first asks for its own account: 5 s at the default rate.
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
    ]


def _proxy(plan: NodePlan) -> list[str]:
    return [
        "kube-proxy",
        f"--kubeconfig={plan.kubeconfig('proxy')}",
        f"--hostname-override={NODE_NAME}",
        "--proxy-mode=nftables",
        f"--cluster-cidr={plan.slot.pod_range}",
        "--conntrack-max-per-core=0",
        "--healthz-bind-address=127.0.0.1:10256",
        "--metrics-bind-address=127.0.0.1:10249",
    ]


def _policy_agent(plan: NodePlan) -> list[str]:
    command = [
        "kube-network-policies",
        f"--kubeconfig={plan.kubeconfig('network-policies')}",
        f"--hostname-override={NODE_NAME}",
        "--metrics-bind-address=127.0.0.1:9080",
        "--fail-open=false",
    ]
    if plan.queues_by_iptables:
        # Its special path for DNS needs the expression that this kernel lacks.
        command.append("--netfilter-bug-1766-fix=false")
    return command
