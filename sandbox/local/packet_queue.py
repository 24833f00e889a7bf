"""How packets reach the policy agent, which decides in user space.

Rules of this module:

* The agent hands packets to itself with nftables' `queue` expression. Where the kernel
  lacks it (CONFIG_NFT_QUEUE), and only there, iptables rules of the same meaning do it;
  nothing passes without the agent either way.
* There the agent's own rules fail, and it tries again every second. Each try makes base
  chains and takes them back, and a kernel that takes back a hook drops every packet
  then waiting in a queue (nf_queue_nf_hook_drop): new connections would stall for
  seconds. So its table is held by a process of ours; a table with an owner refuses
  everyone else (NFT_TABLE_F_OWNER, Linux 5.12) before any hook is touched.
"""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.local.commands import attempt, run
from sandbox.local.enclosure import inside
from sandbox.local.network import Slot
from sandbox.local.processes import Tracked

_QUEUE = 100
# The agent marks a connection it let pass with label 100 of 128, counted from the end
# of the label's bytes; counted from their start, as connlabel(8) does, that bit is 28.
_PASSED = ["-m", "connlabel", "--label", "28"]
_AGENT_TABLE = "inet kube-network-policies"
_HOLD = f"add table {_AGENT_TABLE} {{ flags owner; }}"


def has_queue_expression(prefix: Sequence[str] = ("unshare", "--net")) -> bool:
    """Return whether nftables can hand packets to user space, by trying it.

    Args:
        prefix: Enters a network namespace that may be written to.
    """
    script = (
        "add table ip trial\nadd chain ip trial c\nadd rule ip trial c queue num 1\n"
    )
    done = attempt([*prefix, "nft", "-f", "-"], stdin=script)
    if done.returncode == 0:
        attempt([*prefix, "nft", "delete", "table", "ip", "trial"])
    return done.returncode == 0


def fallback_works() -> bool:
    """Return whether the iptables rules can be set, by trying them.

    They are tried in a namespace of their own, which ends with the try.
    """
    rules = (" ".join(rule) for rule in fallback_rules(Slot(number=0)))
    tries = [f"nft '{_HOLD}'", *(f"iptables-nft -w {rule}" for rule in rules)]
    script = " && ".join(tries)
    return attempt(["unshare", "--net", "sh", "-c", script]).returncode == 0


def fallback_rules(slot: Slot) -> list[list[str]]:
    """Return iptables rules that mean what the policy agent's own rules mean.

    Forwarded packets of pods are decided unless their connection carries the label of
    one that passed; what the agent lets pass gets the label, and the agent takes it
    away when policies change. New connections from pods to the node are decided too.
    """
    queue = ["-j", "NFQUEUE", "--queue-num", str(_QUEUE)]
    known = ["-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED"]
    new = ["-m", "conntrack", "--ctstate", "NEW"]
    pods = slot.pod_range
    return [
        ["-t", "mangle", "-A", "FORWARD", *known, *_PASSED, "-j", "ACCEPT"],
        ["-t", "mangle", "-A", "FORWARD", "-s", pods, *queue],
        ["-t", "mangle", "-A", "FORWARD", "-d", pods, *queue],
        ["-t", "mangle", "-A", "INPUT", "-s", pods, *new, *queue],
        ["-t", "filter", "-A", "FORWARD", "-s", pods, *_PASSED, "--set"],
        ["-t", "filter", "-A", "FORWARD", "-d", pods, *_PASSED, "--set"],
    ]


def queue_to_agent(slot: Slot, keeper: Tracked) -> bool:
    """Hand pods' packets to the agent where it cannot do so itself.

    Returns:
        Whether this machine's kernel needed it.
    """
    if has_queue_expression(inside(keeper)):
        return False
    for rule in fallback_rules(slot):
        run([*inside(keeper), "iptables-nft", "-w", *rule])
    return True


def holding_agent_table() -> list[str]:
    """Return the command that holds the agent's table as long as it runs."""
    # The table lives as long as the socket of the one nft that made it.
    return ["sh", "-c", f"{{ echo '{_HOLD}'; exec sleep infinity; }} | nft -i"]


def agent_table_is_held(keeper: Tracked) -> bool:
    """Return whether everyone but the holder is refused the agent's table."""
    listed = attempt([*inside(keeper), "nft", "list", "table", *_AGENT_TABLE.split()])
    return listed.returncode == 0 and "flags owner" in listed.stdout
