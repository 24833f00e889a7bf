"""A listener whose only use is to be reached, or not.

Rules of this module:

* An isolation proof needs targets that answer where they are allowed to: a blocked
  attempt against a target that answers nobody proves nothing.
* It listens on exactly one address and answers every request with the same words.

Run as `python -m sandbox.local.beacon ADDRESS PORT NAME`.
"""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer

READY = "listening"
"""What a beacon writes once it accepts connections."""


class _Answer(BaseHTTPRequestHandler):
    words = b""
    timeout = 5

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(self.words)))
        self.end_headers()
        self.wfile.write(self.words)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the log empty: probes come often and say nothing."""


class _Listener(ThreadingTCPServer):
    # The server of http.server asks DNS for its own name first, which takes seconds
    # where no DNS answers.
    allow_reuse_address = True
    daemon_threads = True


def listener(address: str, port: int, name: str) -> ThreadingTCPServer:
    """Return a server that answers `beacon NAME`, bound but not yet serving."""
    answer = type("Answer", (_Answer,), {"words": f"beacon {name}\n".encode()})
    return _Listener((address, port), answer)


def main() -> None:
    """Serve until the process is ended; say so once connections are accepted."""
    address, port, name = sys.argv[1:]
    with listener(address, int(port), name) as server:
        sys.stdout.write(f"{READY}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
