"""What the servers are told: templates, Temporal, the node's configuration."""

import json
import tomllib
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sandbox.local import control_plane, network, packet_queue, templates, temporal
from sandbox.local.control_plane import NodePlan
from sandbox.local.images import PLANS, reference
from sandbox.local.layout import Layout, layout_of
from sandbox.local.network import Slot
from sandbox.settings import Settings

_DIGEST = "sha256:" + "0" * 64


def _plan(home="/srv/home", number=0, queues_by_iptables=False):
    return NodePlan(
        layout=Layout(Path(home)),
        slot=Slot(number=number),
        runc=Path("/usr/sbin/runc"),
        images={name: reference(name, _DIGEST) for name in PLANS},
        may_lower_oom_score=False,
        queues_by_iptables=queues_by_iptables,
    )


def _flags(argv):
    pairs = (word.split("=", 1) for word in argv if word.startswith("--"))
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_value_never_changes_the_shape_of_a_document(value):
    """Whatever a value holds, it lands in its own scalar and nowhere else."""
    data = {"a": "${name}", "b": ["x-${name}-y"], "c": 1}
    assert templates.fill(data, {"name": value}) == {
        "a": value,
        "b": [f"x-{value}-y"],
        "c": 1,
    }


def test_a_scalar_that_is_one_name_keeps_the_type():
    """A port stays a number."""
    assert templates.fill({"port": "${port}"}, {"port": 7233}) == {"port": 7233}


def test_a_name_without_a_value_fails():
    """A forgotten value is not written into a configuration as text."""
    with pytest.raises(KeyError):
        templates.fill({"a": "${missing}"}, {})


def test_paths_with_quotes_survive_toml():
    """A home directory with a quote and a backslash gives the same path back."""
    plan = _plan('/srv/a "b" \\c')
    text = control_plane.configurations(plan)["containerd.toml"]
    assert tomllib.loads(text)["root"] == '/srv/a "b" \\c/node/containerd/root'


def test_temporal_listens_on_loopback_only(tmp_path):
    """Every service binds 127.0.0.1, on the ports it was given."""
    names = [
        f"{service}_{use}"
        for service in ("frontend", "matching", "history", "worker")
        for use in ("grpc", "membership")
    ]
    ports = temporal.free_ports(names)
    assert len(set(ports.values())) == 8
    config = yaml.safe_load(temporal.server_config(tmp_path, ports))
    for name, service in config["services"].items():
        assert service["rpc"]["bindOnIP"] == "127.0.0.1"
        assert service["rpc"]["grpcPort"] == ports[f"{name}_grpc"]
    assert config["global"]["membership"]["broadcastAddress"] == "127.0.0.1"
    sql = config["persistence"]["datastores"]["sqlite"]["sql"]
    assert sql["databaseName"] == str(tmp_path / "temporal.sqlite3")


def test_temporal_calls_nobody_and_skips_time():
    """The version check is off, time skipping on, timers exact to 10 ms."""
    settings = templates.load("temporal/dynamic.yaml")
    values = {key: entries[0]["value"] for key, entries in settings.items()}
    assert values == {
        "frontend.enableServerVersionCheck": False,
        "frontend.WorkflowTimeSkippingEnabled": True,
        "history.timerProcessorMaxTimeShift": "10ms",
    }


def test_nobody_serves_where_nobody_listens():
    """A port that nobody listens on is not a Temporal server."""
    port = temporal.free_ports(["one"])["one"]
    assert temporal.is_serving(f"127.0.0.1:{port}", timeout_s=0.3) is False


def test_slots_never_meet():
    """No two slots share an address, a range or a name."""
    slots = [Slot(number=number) for number in range(network._SLOTS)]
    for name in ("link", "host_address", "node_address"):
        values = [getattr(slot, name) for slot in slots]
        assert len(set(values)) == len(slots)
    ranges = [r for slot in slots for r in (slot.pod_range, slot.service_range)]
    assert len(set(ranges)) == 2 * len(slots)


def test_a_slot_that_is_routed_is_not_free():
    """A range the machine already routes is left alone."""
    used = [network.ipaddress.IPv4Network("10.244.3.0/24")]
    assert not network._is_free(Slot(number=0), used)
    assert network._is_free(Slot(number=1), used)


def test_the_kubelet_refuses_strangers_and_keeps_images():
    """No anonymous access, no read-only port, no image collected, its own cgroup."""
    plan = _plan()
    kubelet = yaml.safe_load(control_plane.configurations(plan)["kubelet.yaml"])
    assert kubelet["authentication"]["anonymous"]["enabled"] is False
    assert kubelet["readOnlyPort"] == 0
    assert kubelet["imageGCHighThresholdPercent"] == 100
    assert kubelet["cgroupRoot"] == f"/{plan.layout.instance}"
    assert kubelet["address"] == plan.slot.node_address


def test_servers_listen_where_they_must_and_nowhere_else():
    """Only the API server and the kubelet listen beyond the node's loopback."""
    plan = _plan()
    commands = {
        **control_plane.first_servers(plan),
        **control_plane.later_servers(plan),
    }
    api = _flags(commands["kube-apiserver"])
    assert api["--anonymous-auth"] == "false"
    assert api["--authorization-mode"] == "Node,RBAC"
    assert api["--service-cluster-ip-range"] == plan.slot.service_range
    assert yaml.safe_load(control_plane.configurations(plan)["audit-policy.yaml"])
    assert api["--audit-policy-file"] == str(plan.layout.node / "audit-policy.yaml")
    assert api["--audit-log-mode"] == "batch"
    assert api["--audit-log-path"] == str(plan.layout.audit_log)
    for name in ("kube-controller-manager", "kube-scheduler"):
        assert _flags(commands[name])["--bind-address"] == "127.0.0.1"
    assert _flags(commands["etcd"])["--listen-client-urls"].startswith("http://127.")


def test_the_policy_agent_fails_closed():
    """Without a decision a packet is dropped, whatever the kernel offers."""
    for fallback in (False, True):
        agent = control_plane.later_servers(_plan(queues_by_iptables=fallback))
        flags = _flags(agent["kube-network-policies"])
        assert flags["--fail-open"] == "false"
        assert ("--netfilter-bug-1766-fix" in flags) is fallback


def test_each_component_uses_its_own_credentials():
    """No server but the API server's own client uses the administrator's key."""
    commands = control_plane.later_servers(_plan())
    used = {_flags(argv)["--kubeconfig"] for argv in commands.values()}
    assert len(used) == len(commands)
    assert not any("admin" in path for path in used)


def test_the_pod_network_has_this_nodes_range():
    """The bridge hands out addresses of the slot's range, from a pool of its own."""
    plan = _plan(number=3)
    text = control_plane.configurations(plan)["cni/10-pods.conflist"]
    ipam = json.loads(text)["plugins"][0]["ipam"]
    assert ipam["ranges"] == [[{"subnet": "10.241.0.0/24"}]]
    assert ipam["dataDir"].startswith("/srv/home/")


def test_dns_runs_as_nobody_and_forwards_nothing():
    """Names outside the cluster do not exist; the pod has no rights to speak of."""
    objects = templates.render_objects(
        "node/cluster.yaml", control_plane.values(_plan(number=2))
    )
    by_name = {(one["kind"], one["metadata"]["name"]): one for one in objects}
    corefile = by_name["ConfigMap", "coredns"]["data"]["Corefile"]
    assert "forward" not in corefile
    assert by_name["Service", "kube-dns"]["spec"]["clusterIP"] == "10.98.0.10"
    pod = by_name["Deployment", "coredns"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "@sha256:" in pod["containers"][0]["image"]


def test_fallback_rules_let_only_labelled_connections_pass_undecided():
    """The one accepting rule demands the label; new and unknown packets are queued."""
    rules = packet_queue.fallback_rules(Slot(number=0))
    accepting = [rule for rule in rules if "ACCEPT" in rule]
    assert len(accepting) == 1
    assert accepting[0] == rules[0]
    assert "connlabel" in accepting[0]
    queued = [rule for rule in rules if "NFQUEUE" in rule]
    assert [rule[3] for rule in queued] == ["FORWARD", "FORWARD", "INPUT"]
    assert all("--queue-bypass" not in rule for rule in queued)


def test_homes_have_names_of_their_own(tmp_path):
    """Two homes never share a control group; the same home always has the same."""
    first = layout_of(Settings(home=tmp_path / "a"))
    second = layout_of(Settings(home=tmp_path / "b"))
    assert first.instance != second.instance
    assert first.instance == Layout(tmp_path / "a").instance
    assert first.run.stat().st_mode & 0o777 == 0o700
