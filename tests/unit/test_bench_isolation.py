"""What the bench of isolation counts and says."""

import socket
import struct

import pytest

from experiments.benches.isolating.figures import figure, percentile
from experiments.benches.isolating.wire import Seen

SYN, SYN_ACK = 0x02, 0x12


@pytest.mark.parametrize(
    ("percent", "expected"), [(50, 50), (95, 95), (99, 99), (100, 100), (0, 1)]
)
def test_percentile(percent, expected):
    """The nearest rank of a hundred values is the value of that rank."""
    assert percentile(list(range(100, 0, -1)), percent) == expected


def test_a_percentile_of_few_values():
    """Of fewer values than a hundred, the 99th percentile is the largest."""
    found = figure([1.0, 9.0, 2.0], p99=5.0)
    assert (found["p99"], found["holds"]) == (9.0, False)
    assert figure([1.0, 5.0, 2.0], p99=5.0)["holds"] is True


def frame(*, to="198.18.0.1", port=8480, flags=SYN, source=1000, number=7):
    """Return an Ethernet frame with one TCP segment."""
    segment = struct.pack("!HHIIBBHHH", source, port, number, 0, 0x50, flags, 0, 0, 0)
    addresses = socket.inet_aton("10.244.0.5") + socket.inet_aton(to)
    return (
        bytes(14) + bytes([0x45]) + bytes(8) + b"\x06" + bytes(2) + addresses + segment
    )


@pytest.mark.parametrize(
    ("seen", "attempts"),
    [
        ([frame()], 1),
        ([frame(), frame()], 1),
        ([frame(), frame(number=8)], 2),
        ([frame(), frame(source=1001)], 2),
        ([frame(flags=SYN_ACK)], 0),
        ([frame(port=80)], 0),
        ([frame(to="198.18.0.2")], 0),
        ([frame()[:40]], 0),
    ],
)
def test_attempts_on_the_wire(seen, attempts):
    """A first packet to the target counts once, however often it is repeated."""
    wire = Seen("198.18.0.1", 8480)
    for one in seen:
        wire.take(one)
    assert len(wire.attempts) == attempts
