"""Kubernetes quantities: `500m` of a CPU, `1Gi` of memory, and equal shares of them.

Grammar: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import re
from decimal import Decimal

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
_FACTORS = {
    "m": Decimal("0.001"),
    "k": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "Ki": Decimal(2) ** 10,
    "Mi": Decimal(2) ** 20,
    "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40,
}


def parse_quantity(text: str) -> Decimal | None:
    """Return the amount in whole CPUs or bytes, or None where `text` is no quantity."""
    found = _QUANTITY.fullmatch(text)
    if found is None:
        return None
    return Decimal(found[1]) * _FACTORS.get(found[2], Decimal(1))


def cpu_share(total: Decimal, parts: int) -> str:
    """Return an equal part of an amount of CPU, in thousandths, at least one."""
    return f"{max(1, int(total * 1000 / parts))}m"


def memory_share(total: Decimal, parts: int) -> str:
    """Return an equal part of an amount of memory, in whole KiB, at least one."""
    return f"{max(1, int(total / 1024 / parts))}Ki"
