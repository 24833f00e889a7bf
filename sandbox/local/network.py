"""The wire between this machine and the node, and what the kernel filters on it.

Rules of this module:

* A node takes the first free slot: a /30 of 198.18.0.0/15 (RFC 2544, never routed) and
  its own pod and service ranges, so several nodes live on one machine. Making the veth
  takes the slot in one atomic step; the kernel frees it with the namespace.
* Between pods only IPv4 and ARP pass. Policies name IPv4 addresses, and the link-local
  addresses every interface gives itself in IPv6 would pass beside them.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Sequence

from sandbox.errors import LocalError
from sandbox.local.commands import attempt, run
from sandbox.local.enclosure import inside
from sandbox.local.processes import Tracked
from sandbox.model.record import Record

_SLOTS = 60
_WIRES = int(ipaddress.IPv4Address("198.18.0.0"))
METADATA_ADDRESS = "169.254.169.254"
"""Where clouds serve machine credentials; here a listener that proves reachability."""
# Before priority 0: there br_netfilter takes packets away from the bridge's own hooks.
_ONLY_IPV4 = """table bridge sandbox {
  chain forward {
    type filter hook forward priority -200; policy accept;
    ether type != { ip, arp } drop
  }
  chain input {
    type filter hook input priority -200; policy accept;
    ether type != { ip, arp } drop
  }
}
"""


class Slot(Record):
    """Addresses of one node among the nodes of this machine."""

    number: int

    @property
    def link(self) -> str:
        """Name of this machine's end of the wire."""
        return f"rsbx{self.number}"

    @property
    def host_address(self) -> str:
        """This machine's side: the recorder listens here, load comes from here."""
        return str(ipaddress.IPv4Address(_WIRES + 4 * self.number + 1))

    @property
    def node_address(self) -> str:
        """The node's side."""
        return str(ipaddress.IPv4Address(_WIRES + 4 * self.number + 2))

    @property
    def pod_range(self) -> str:
        """All pods of the cluster."""
        return f"10.{244 - self.number}.0.0/16"

    @property
    def node_pod_range(self) -> str:
        """The pods of its one node."""
        return f"10.{244 - self.number}.0.0/24"

    @property
    def service_range(self) -> str:
        """All services of the cluster."""
        return f"10.{96 + self.number}.0.0/16"

    @property
    def api_address(self) -> str:
        """The API server's service address."""
        return f"10.{96 + self.number}.0.1"

    @property
    def dns_address(self) -> str:
        """The DNS service's address."""
        return f"10.{96 + self.number}.0.10"


def take_slot(keeper: Tracked, owner: str) -> Slot:
    """Take the first slot whose ranges this machine does not use, and wire it.

    Args:
        keeper: Holds the node's namespaces.
        owner: Written on the link, for people who wonder whose it is.

    Raises:
        LocalError: None is free, or the kernel refuses.
    """
    used = _routed()
    for number in range(_SLOTS):
        slot = Slot(number=number)
        if _is_free(slot, used) and _made_link(slot, keeper):
            run(["ip", "link", "set", slot.link, "alias", owner])
            return slot
    raise LocalError(
        f"no free network slot among {_SLOTS}: see `ip route` and `ip link` for rsbx*; "
        "end nodes that nobody needs with `sandbox local down`"
    )


def _routed() -> list[ipaddress.IPv4Network]:
    routes = json.loads(run(["ip", "-4", "-json", "route", "show", "table", "all"]))
    found = (str(route.get("dst", "default")) for route in routes)
    return [ipaddress.IPv4Network(dst) for dst in found if dst[0].isdigit()]


def _is_free(slot: Slot, used: Sequence[ipaddress.IPv4Network]) -> bool:
    ranges = (slot.pod_range, slot.service_range, slot.host_address)
    wanted = [ipaddress.IPv4Network(text) for text in ranges]
    return not any(net.overlaps(route) for net in wanted for route in used)


def _made_link(slot: Slot, keeper: Tracked) -> bool:
    made = attempt(
        ["ip", "link", "add", slot.link, "type", "veth"]
        + ["peer", "name", "eth0", "netns", str(keeper.pid)]
    )
    if made.returncode != 0 and "File exists" not in made.stderr:
        raise LocalError(f"the kernel makes no veth link: {made.stderr.strip()}")
    return made.returncode == 0


def release(instance: str) -> list[str]:
    """Delete the links of an instance, wherever a crash may have left them.

    The kernel does so itself when it frees the namespace, but it may keep a namespace
    for minutes while closed connections inside wait for their last answer.

    Returns:
        Names of the links that were there.
    """
    links = json.loads(run(["ip", "-json", "link", "show", "type", "veth"]) or "[]")
    ours = [
        str(link["ifname"])
        for link in links
        if str(link.get("ifalias", "")).split(" ")[0] == instance
    ]
    for name in ours:
        attempt(["ip", "link", "delete", name])
    return ours


def connect(slot: Slot, keeper: Tracked) -> None:
    """Give both ends their addresses and routes, and switch forwarding on inside."""
    run(
        ["nsenter", f"--target={keeper.pid}", "--net", "ip", "-batch", "-"],
        stdin=f"""link set lo up
addr add {slot.node_address}/30 dev eth0
link set eth0 up
route add default via {slot.host_address}
addr add {METADATA_ADDRESS}/32 dev lo
""",
    )
    run(
        ["ip", "-batch", "-"],
        stdin=f"""addr add {slot.host_address}/30 dev {slot.link}
link set {slot.link} up
route add {slot.pod_range} via {slot.node_address}
route add {slot.service_range} via {slot.node_address}
""",
    )
    # Most kernels have it as a module; where it is built in there is nothing to load.
    attempt(["modprobe", "br_netfilter"])
    run([*inside(keeper), "sh", "-c", _SWITCHES])
    run([*inside(keeper), "nft", "-f", "-"], stdin=_ONLY_IPV4)


_SWITCHES = """set -e
echo 1 >/proc/sys/net/ipv4/ip_forward
for name in iptables ip6tables; do
  echo 1 >/proc/sys/net/bridge/bridge-nf-call-$name
done
"""
