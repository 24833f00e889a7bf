"""Connection attempts seen on the wire between a node and its host.

A connection that is never made may still have sent its first packet; here it is seen.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_ALL_IPV4 = 0x0800
_TCP = 6
_SYN, _ACK = 0x02, 0x10


class Seen:
    """Attempts seen so far, each once however often its packet was repeated."""

    def __init__(self, host: str, port: int) -> None:
        self.attempts: set[tuple[bytes, bytes]] = set()
        self._target = socket.inet_aton(host), port.to_bytes(2, "big")

    def take(self, frame: bytes) -> None:
        """Note a frame if it is the first packet of a connection to the target."""
        packet = frame[14:]
        length = (packet[0] & 0x0F) * 4
        segment = packet[length : length + 20]
        if packet[9] != _TCP or len(segment) < 20:
            return
        aims = packet[16:20], segment[2:4]
        # Repetitions of one attempt have its address, port and sequence number.
        if aims == self._target and segment[13] & (_SYN | _ACK) == _SYN:
            self.attempts.add((packet[12:16], segment[:2] + segment[4:8]))


@contextmanager
def watched(link: str, host: str, port: int) -> Iterator[Seen]:
    """Watch a link for attempts to reach a host and port, until left.

    Args:
        link: Name of the host's end of the wire.
        host: IPv4 address that is tried.
        port: TCP port that is tried.
    """
    seen, stopped = Seen(host, port), threading.Event()
    kind = socket.htons(_ALL_IPV4)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, kind) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**24)
        listener.bind((link, _ALL_IPV4))
        listener.settimeout(0.2)

        def work() -> None:
            while not stopped.is_set():
                try:
                    seen.take(listener.recv(256))
                except TimeoutError:
                    continue

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield seen
        finally:
            stopped.set()
            thread.join()
