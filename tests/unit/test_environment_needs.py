"""What a system may ask of its environment."""

from __future__ import annotations

from decimal import Decimal
from ipaddress import ip_address, ip_network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sandbox.environment.needs import egress_rules, needs_defects
from sandbox.environment.quantity import cpu_share, memory_share, parse_quantity
from sandbox.model.application import EgressNeed, IngressNeed, Limits, SystemNeeds
from sandbox.testing.environment import environment_spec

LIMITS = Limits(cpu="2", memory="1Gi", pods=8)
FORBIDDEN = [
    ip_address(text)
    for text in (
        "127.0.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "fe80::1",
        "fd00:ec2::254",
    )
]
INTERNAL = [
    ip_address(text)
    for text in ("10.96.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "198.18.0.2")
]


def asked(cidr: str) -> EgressNeed:
    return EgressNeed(cidr=cidr, port=443, why="it needs it")


def is_granted(cidr: str) -> bool:
    needs = SystemNeeds(egress=(asked(cidr),), limits=LIMITS)
    return needs_defects(environment_spec(needs=needs)) == []


def lets_out(rule: dict[str, Any], address: Any) -> bool:
    block = rule["to"][0]["ipBlock"]
    kept = [ip_network(text) for text in block.get("except", [])]
    inside = address in ip_network(block["cidr"])
    return inside and not any(address in network for network in kept)


@given(
    st.one_of(
        st.builds(
            lambda address, bits: str(ip_network(f"{address}/{bits}", strict=False)),
            st.ip_addresses(v=4),
            st.integers(0, 32),
        ),
        st.builds(
            lambda address, bits: str(ip_network(f"{address}/{bits}", strict=False)),
            st.ip_addresses(v=6),
            st.integers(0, 128),
        ),
    )
)
def test_no_grant_leads_to_the_host(cidr: str) -> None:
    """Whatever range is granted, it never holds the host, metadata or multicast."""
    if not is_granted(cidr):
        return
    (rule,) = egress_rules((asked(cidr),))
    assert not any(lets_out(rule, address) for address in FORBIDDEN)
    if ip_network(cidr).num_addresses > 1:
        assert not any(lets_out(rule, address) for address in INTERNAL)


def test_everywhere_is_public_only() -> None:
    """The whole internet is granted without the private ranges, and still useful."""
    (rule,) = egress_rules((asked("0.0.0.0/0"),))
    assert is_granted("0.0.0.0/0")
    assert lets_out(rule, ip_address("8.8.8.8"))
    assert rule["ports"] == [{"protocol": "TCP", "port": 443}]


def test_private_addresses() -> None:
    """One private address can be granted, a range of them cannot."""
    assert is_granted("10.1.2.3/32")
    assert not is_granted("10.1.2.0/24")
    assert not is_granted("169.254.169.254/32")


def test_except_is_inside() -> None:
    """Every exception lies inside its range and is smaller, as Kubernetes demands."""
    (rule,) = egress_rules((asked("::/0"),))
    block = rule["to"][0]["ipBlock"]
    outer = ip_network(block["cidr"])
    inner = [ip_network(text) for text in block["except"]]
    assert inner
    assert all(network.subnet_of(outer) and network != outer for network in inner)  # type: ignore[arg-type]


def test_service_names() -> None:
    """A way in names a Service as Kubernetes can, or is a defect."""
    for name, expected in (("front", 0), ("Front", 1), ("a" * 41, 1), ("a.b", 1)):
        need = IngressNeed.model_validate(
            {"from": "load-source", "to": name, "port": 80}
        )
        needs = SystemNeeds(ingress=(need,), limits=LIMITS)
        assert len(needs_defects(environment_spec(needs=needs))) == expected


def test_quantities() -> None:
    """Quantities are read as Kubernetes reads them, and nothing else is one."""
    read = {text: parse_quantity(text) for text in ("2", "500m", "1.5Gi", ".5", "3k")}
    assert read == {
        "2": Decimal(2),
        "500m": Decimal("0.5"),
        "1.5Gi": Decimal(1610612736),
        ".5": Decimal("0.5"),
        "3k": Decimal(3000),
    }
    wrong = ("", "-1", "1 Gi", "1gi", "two", "Gi", "1e", "١")
    assert {text: parse_quantity(text) for text in wrong} == dict.fromkeys(wrong)


@given(st.integers(1, 64_000), st.integers(1, 100))
def test_shares_fit(thousandths: int, parts: int) -> None:
    """Equal shares together are never more than the whole, down to one unit each."""
    whole = Decimal(thousandths) / 1000
    share = parse_quantity(cpu_share(whole, parts))
    assert share is not None
    assert share * parts <= max(whole, Decimal(parts) / 1000)
    memory = parse_quantity(memory_share(Decimal(thousandths * 1024), parts))
    assert memory is not None
    assert memory * parts <= max(thousandths * 1024, parts * 1024)
