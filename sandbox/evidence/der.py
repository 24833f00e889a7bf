"""A small, strict reader of DER, as much as a timestamp token needs.

Rules of this module (X.690, DER):

* Tags of one byte, definite lengths in their shortest form, nothing after the end.
* An integer in its shortest form; a GeneralizedTime in UTC, without trailing zeros in
  its fraction.
* Whatever reads otherwise is an error; nothing is guessed.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

from sandbox.errors import EvidenceError

INTEGER, OCTETS, NULL, OID = 0x02, 0x04, 0x05, 0x06
TIME, SEQUENCE, SET = 0x18, 0x30, 0x31

_TIME = re.compile(r"^(\d{14})(?:\.(\d{0,5}[1-9]))?Z$", re.ASCII)


class Node(NamedTuple):
    """One element: its tag, what is in it, and the whole of it."""

    tag: int
    body: bytes
    whole: bytes


def read_one(data: bytes, *tags: int) -> Node:
    """Return the one element that the bytes are.

    Args:
        data: DER.
        tags: Which tags it may have; none means any.

    Raises:
        EvidenceError: It is not one element, or of another tag.
    """
    node = _element(data, 0)
    if len(node.whole) != len(data):
        raise EvidenceError("there are bytes after the end of a DER element")
    return check_tag(node, *tags)


def check_tag(node: Node, *tags: int) -> Node:
    """Return the element if it has one of the tags.

    Raises:
        EvidenceError: It has another.
    """
    if tags and node.tag not in tags:
        wanted = " or ".join(f"0x{tag:02x}" for tag in tags)
        raise EvidenceError(f"a DER element is 0x{node.tag:02x}, not {wanted}")
    return node


def children(node: Node, *tags: int) -> list[Node]:
    """Return the elements inside another one.

    Args:
        node: The outer one.
        tags: Which tags it may have itself; none means any.

    Raises:
        EvidenceError: It has another tag, or its content is not whole elements.
    """
    check_tag(node, *tags)
    found, place = [], 0
    while place < len(node.body):
        found.append(_element(node.body, place))
        place += len(found[-1].whole)
    return found


def integer(node: Node) -> int:
    """Return an INTEGER.

    Raises:
        EvidenceError: It is none, or not in its shortest form.
    """
    body = check_tag(node, INTEGER).body
    is_padded = len(body) > 1 and (body[0], body[1] >> 7) in ((0, 0), (0xFF, 1))
    if not body or is_padded:
        raise EvidenceError("a DER integer is not in its shortest form")
    return int.from_bytes(body, "big", signed=True)


def oid(node: Node) -> str:
    """Return an OBJECT IDENTIFIER in dotted form.

    Raises:
        EvidenceError: It is none.
    """
    body = check_tag(node, OID).body
    if not body or body[-1] & 0x80:
        raise EvidenceError("a DER object identifier is cut off")
    arcs, value, fresh = [], 0, True
    for byte in body:
        if fresh and byte == 0x80:
            raise EvidenceError("a DER object identifier is not in its shortest form")
        value, fresh = value << 7 | byte & 0x7F, not byte & 0x80
        if fresh:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(str(arc) for arc in (first, arcs[0] - 40 * first, *arcs[1:]))


def instant(node: Node) -> datetime:
    """Return a GeneralizedTime, to the microsecond.

    Raises:
        EvidenceError: It is none, or not of UTC.
    """
    text = check_tag(node, TIME).body.decode("latin-1")
    found = _TIME.match(text)
    try:
        if found is None:
            raise ValueError(text)
        whole = datetime.strptime(found[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError as error:
        raise EvidenceError(f"{text!r} is not a time in DER") from error
    return whole.replace(microsecond=int((found[2] or "").ljust(6, "0")))


def _element(data: bytes, start: int) -> Node:
    try:
        tag, length, place = data[start], data[start + 1], start + 2
        if length & 0x80:
            count = length & 0x7F
            place += count
            head = data[start + 2 : place]
            length = int.from_bytes(head, "big")
            if len(head) != count or length < 0x80 or head[0] == 0:
                raise EvidenceError("a DER length is not in its shortest form")
    except IndexError as error:
        raise EvidenceError("a DER element is cut off") from error
    if tag & 0x1F == 0x1F:
        raise EvidenceError(f"the DER tag 0x{tag:02x} is not read here")
    end = place + length
    if end > len(data):
        raise EvidenceError("a DER element is cut off")
    return Node(tag, data[place:end], data[start:end])
