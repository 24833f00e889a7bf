"""`python3 -I -S …/neighbour.py PORT`: takes connections and ends them, nothing more.

It is the listener that every trial must fail to reach, and its controls must reach.
"""

import socket
import sys


def listen(port: int) -> socket.socket:
    """Return what listens at a port of every address, of both families where it can."""
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    return socket.create_server(("", port), family=family, dualstack_ipv6=both)


def main(port: int) -> None:
    """Take connections until the pod is ended."""
    with listen(port) as listener:
        while True:
            connection, _ = listener.accept()
            connection.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
