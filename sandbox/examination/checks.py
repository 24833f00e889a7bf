"""What the attempts of an examination say about a cluster.

Rules of this module:

* A negative without a control that got through says nothing: it is neither right nor
  wrong.
* What no trial relies on is told and is not wrong: a freeze removes pods, so that a
  connection which outlives its policy does not outlive its pod.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sandbox.environment.attempts import Outcome
from sandbox.model.isolation import FirstPackets, IsolationCheck

_DELETION_BAR_S = 3.0
_PROMPT_S = 5.0
_AGENT = (
    "check that the network plugin or policy agent of every node runs; on this"
    " machine's node `sandbox local status` shows kube-network-policies"
)
_PLUGIN = (
    "use a network plugin that enforces NetworkPolicy for every pod from its start"
)


class Cuts(NamedTuple):
    """When connections gave their last sign, in seconds; None where still alive."""

    new_s: float | None
    """New connections of a running pod, after a policy denied them."""
    revoked_s: float | None
    """An open connection, after the policy that allowed it was deleted."""
    denied_s: float | None
    """An open connection, after a policy denied what was free before."""
    deleted_s: float | None
    """An open connection, after its pod was deleted without grace."""
    watched_s: float


class Observed(NamedTuple):
    """Everything that was tried."""

    before: Mapping[str, Outcome]
    """Without a policy."""
    under: Mapping[str, Outcome]
    """The same under the policy; empty where it made no sense to go on."""
    first: FirstPackets | None
    cuts: Cuts | None


class _Negative(NamedTuple):
    """Something that must be out of reach under the policy."""

    id: str
    targets: tuple[str, ...]
    named: str
    remedy: str


_NEGATIVES = (
    _Negative(
        "isolation.policy-enforced", ("denied", "outside"), "what it denies", _PLUGIN
    ),
    _Negative(
        "isolation.ingress", ("inner",), "a pod whose ingress it denies", _PLUGIN
    ),
    _Negative(
        "isolation.metadata",
        ("metadata",),
        "the cloud's metadata address 169.254.169.254",
        "block the address on the nodes, or require the metadata service's own token",
    ),
    _Negative(
        "isolation.api-server",
        ("api-server", "api-endpoint"),
        "the API server",
        "use a network plugin that applies NetworkPolicy to the API server's addresses",
    ),
    _Negative(
        "isolation.node",
        ("node",),
        "the kubelet of a node",
        "use a network plugin that applies NetworkPolicy to the nodes' addresses",
    ),
    _Negative(
        "isolation.ipv6", ("ipv6",), "an IPv6 address", "enforce policies for IPv6 too"
    ),
)


def reaches_without_policy(before: Mapping[str, Outcome]) -> bool:
    """Return whether pods reach each other at all where no policy is."""
    return all(before[name] == "reached" for name in ("denied", "allowed", "inner"))


def checks_of(observed: Observed) -> list[IsolationCheck]:
    """Return what the attempts say, one check for each promise."""
    return [
        _control(observed),
        _allowed(observed),
        *(_negative(item, observed) for item in _NEGATIVES),
        _first_packet(observed.first),
        *_cut_checks(observed.cuts),
    ]


def _control(observed: Observed) -> IsolationCheck:
    id_ = "isolation.control"
    if reaches_without_policy(observed.before):
        return IsolationCheck(id=id_, ok=True, what="pods reach each other unhindered")
    return IsolationCheck(
        id=id_,
        ok=False,
        what="nothing passes between pods even where no policy is, so silence under a"
        " policy proves nothing: the pod network is broken, or the policy agent does"
        " not run and packets wait for it in vain",
        remedy=_AGENT,
    )


def _allowed(observed: Observed) -> IsolationCheck:
    id_ = "isolation.allowed-passes"
    if not observed.under:
        return _unknown(id_)
    if observed.under["allowed"] == "reached":
        return IsolationCheck(
            id=id_, ok=True, what="what the policy allows passes under it"
        )
    return IsolationCheck(
        id=id_,
        ok=False,
        what="nothing passes where the policy allows it, although it did without a"
        " policy: the policy agent does not run, or does not know the pod",
        remedy=_AGENT,
    )


def _negative(item: _Negative, observed: Observed) -> IsolationCheck:
    tried = [name for name in item.targets if name in observed.under]
    if not tried:
        return _unknown(item.id)
    through = [name for name in tried if observed.under[name] == "reached"]
    if through:
        what = f"{item.named} was reached in spite of the policy ({', '.join(through)})"
        return IsolationCheck(id=item.id, ok=False, what=what, remedy=item.remedy)
    if observed.under["allowed"] != "reached":
        what = "nothing passes under the policy, so its silence proves nothing"
        return IsolationCheck(id=item.id, ok=None, what=what)
    known = [name for name in tried if observed.before[name] == "reached"]
    if not known:
        what = f"{item.named} answers nobody here, with a policy or without"
        return IsolationCheck(id=item.id, ok=None, what=what)
    return _blocked(item, observed, known)


def _blocked(item: _Negative, observed: Observed, known: list[str]) -> IsolationCheck:
    unclear = [name for name in known if observed.under[name] != "blocked"]
    if unclear:
        what = f"whether {item.named} is blocked is unclear ({', '.join(unclear)})"
        return IsolationCheck(id=item.id, ok=None, what=what)
    what = f"{item.named} is blocked by the policy, and was reached without it"
    return IsolationCheck(id=item.id, ok=True, what=what)


def _first_packet(first: FirstPackets | None) -> IsolationCheck:
    id_ = "isolation.first-packet"
    if first is None:
        return _unknown(id_)
    figures = {
        "starts": float(first.starts),
        "got_through": float(first.got_through),
        "unclear": float(first.unclear),
        "controls": float(first.controls),
        "controls_through": float(first.controls_through),
    }
    said = f"{first.got_through} of {first.starts} pods sent before their policy held"
    if first.got_through:
        return IsolationCheck(
            id=id_, ok=False, what=said, remedy=_PLUGIN, figures=figures
        )
    if first.unclear or first.controls_through < first.controls:
        what = f"{said}, but {first.unclear} ended otherwise and"
        what += f" {first.controls_through} of {first.controls} controls got through"
        return IsolationCheck(id=id_, ok=None, what=what, figures=figures)
    return IsolationCheck(id=id_, ok=True, what=said, figures=figures)


def _cut_checks(cuts: Cuts | None) -> Iterator[IsolationCheck]:
    if cuts is None:
        for name in ("takes-hold", "established-cut", "deletion-cuts"):
            yield _unknown(f"isolation.{name}")
        return
    yield _takes_hold(cuts)
    yield _established(cuts)
    yield _deletion(cuts)


def _takes_hold(cuts: Cuts) -> IsolationCheck:
    held = cuts.new_s is not None
    return IsolationCheck(
        id="isolation.takes-hold",
        ok=held,
        what=f"a running pod made no new connection {cuts.new_s:g} s after a policy"
        " denied it"
        if cuts.new_s is not None
        else f"a running pod made new connections {cuts.watched_s:g} s after a policy"
        " denied them",
        remedy="" if held else _PLUGIN,
        figures={"blocked_after_s": cuts.new_s},
    )


def _established(cuts: Cuts) -> IsolationCheck:
    ends = {"revoked_s": cuts.revoked_s, "denied_s": cuts.denied_s}
    told = (
        _last_request(cuts.revoked_s, "revocation", cuts.watched_s),
        _last_request(cuts.denied_s, "denial", cuts.watched_s),
    )
    prompt = all(at is not None and at <= _PROMPT_S for at in ends.values())
    return IsolationCheck(
        id="isolation.established-cut",
        ok=True if prompt else None,
        what=f"requests over open connections {' and '.join(told)}"
        + ("" if prompt else "; a freeze removes pods, so no trial relies on this"),
        figures={**ends, "watched_s": cuts.watched_s},
    )


def _last_request(at: float | None, what: str, watched_s: float) -> str:
    if at is None:
        return f"went on {watched_s:g} s after a {what}"
    return f"ended {at:g} s after a {what}"


def _deletion(cuts: Cuts) -> IsolationCheck:
    after = cuts.deleted_s
    if after is not None and after <= _DELETION_BAR_S:
        what = f"the last request came {after:g} s after the deletion of its pod"
        ok = True
    else:
        ok, late = False, "still came" if after is None else f"came until {after:g} s"
        what = f"requests {late} after the deletion of their pod; a freeze relies on it"
    return IsolationCheck(
        id="isolation.deletion-cuts",
        ok=ok,
        what=what,
        remedy="" if ok else "see why the kubelet or the runtime does not end pods",
        figures={"deleted_s": after},
    )


def _unknown(id_: str) -> IsolationCheck:
    return IsolationCheck(id=id_, ok=None, what="was not tried")
