"""What the system needs from its environment, checked and put in Kubernetes' words.

Rules of this module:

* A way out leads to named public addresses, or to one address of a private range; never
  to this host, to the link-local range (cloud metadata, RFC 3927) or to multicast.
* A range that contains private ones is granted without them: a neighbour, the node and
  the API server live there (RFC 1918, RFC 6598, RFC 2544, RFC 4193).
* Every problem is found at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from sandbox.environment.quantity import parse_quantity
from sandbox.model.application import Defect, EgressNeed, IngressNeed, Limits
from sandbox.model.trial import EnvironmentSpec

Network = IPv4Network | IPv6Network

_SERVICE_NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
_NEVER = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "224.0.0.0/3",
        "::/127",
        "fe80::/10",
        "ff00::/8",
        "fd00:ec2::/32",
    )
)
_PRIVATE = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "fc00::/7",
    )
)


def needs_defects(spec: EnvironmentSpec) -> list[Defect]:
    """Return everything about the needs that no environment can be made of."""
    return [
        *_limit_defects(spec.needs.limits),
        *_egress_defects(spec.needs.egress),
        *_ingress_defects(spec.needs.ingress),
        *_address_defects(spec),
        *_image_defects(spec),
    ]


def egress_rules(needs: tuple[EgressNeed, ...]) -> list[dict[str, Any]]:
    """Return the NetworkPolicy egress rules of the granted ways out.

    Args:
        needs: Ways out without defects.
    """
    return [
        {"to": [_block(need)], "ports": [{"protocol": "TCP", "port": need.port}]}
        for need in needs
    ]


def way_in(need: IngressNeed) -> str:
    """Return the name of the policy, and of the pod label, of one way in."""
    return f"allow-in-{need.to}-{need.port}"


def _block(need: EgressNeed) -> dict[str, Any]:
    network = ip_network(need.cidr)
    inside = [str(kept) for kept in (*_NEVER, *_PRIVATE) if _within(kept, network)]
    return {"ipBlock": {"cidr": str(network), **({"except": inside} if inside else {})}}


def _within(inner: Network, outer: Network) -> bool:
    """Return whether `inner` lies inside `outer` and is smaller."""
    return inner != outer and _covers(outer, inner)


def _covers(outer: Network, inner: Network) -> bool:
    if isinstance(outer, IPv4Network) and isinstance(inner, IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(outer, IPv6Network) and isinstance(inner, IPv6Network):
        return inner.subnet_of(outer)
    return False


def _limit_defects(limits: Limits) -> Iterator[Defect]:
    for name, text in (("cpu", limits.cpu), ("memory", limits.memory)):
        amount = parse_quantity(text)
        if amount is None or amount <= 0:
            yield Defect(
                code="environment/limit-not-a-quantity",
                what=f"`{text}` is not an amount of {name}",
                remedy="Write a Kubernetes quantity, for example 2, 500m or 1Gi.",
                field=f"needs.limits.{name}",
            )


def _egress_defects(needs: tuple[EgressNeed, ...]) -> Iterator[Defect]:
    for index, need in enumerate(needs):
        network = _network(need.cidr)
        what = "is not a CIDR" if network is None else _forbidden(network)
        if what:
            yield Defect(
                code="environment/egress-not-granted",
                what=f"the way out to {need.cidr} {what}",
                remedy="Name a public range, or one private address as a.b.c.d/32.",
                field=f"needs.egress.{index}.cidr",
            )


def _network(text: str) -> Network | None:
    try:
        return ip_network(text)
    except ValueError:
        return None


def _forbidden(network: Network) -> str:
    if any(_covers(kept, network) for kept in _NEVER):
        return "leads to this host, to link-local addresses or to multicast"
    single = network.num_addresses == 1
    if not single and any(_covers(kept, network) for kept in _PRIVATE):
        return "is a whole private range, where neighbours and the cluster itself live"
    return ""


def _ingress_defects(needs: tuple[IngressNeed, ...]) -> Iterator[Defect]:
    for index, need in enumerate(needs):
        if not _SERVICE_NAME.fullmatch(need.to):
            yield Defect(
                code="environment/ingress-not-a-service",
                what=f"`{need.to}` is not the name of a Service",
                remedy="Write lower-case letters, digits and hyphens, at most 40.",
                field=f"needs.ingress.{index}.to",
            )


def _address_defects(spec: EnvironmentSpec) -> Iterator[Defect]:
    recorder = spec.recorder.host
    places = (
        ("load_source", spec.load_source, _network(spec.load_source)),
        ("recorder.host", recorder, "/" not in recorder and _network(recorder)),
    )
    for field, text, network in places:
        if not network:
            yield Defect(
                code="environment/not-an-address",
                what=f"`{text}` is not an address that a policy can name",
                remedy="Write an IP address, for example 198.18.0.1, not a host name.",
                field=field,
            )


def _image_defects(spec: EnvironmentSpec) -> Iterator[Defect]:
    is_unclaimed = spec.warm == spec.trial_id
    if not (spec.images or is_unclaimed):
        yield Defect(
            code="environment/no-images",
            what="no image is allowed, so nothing could run",
            remedy="List each image with its digest.",
            field="images",
        )
