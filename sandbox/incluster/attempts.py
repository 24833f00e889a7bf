"""`python3 -I -S …/attempts.py TARGETS`: tries addresses at once and says what came.

`TARGETS` is a JSON list of objects with `name`, `host`, `port` and `seconds`, the time
to wait for an answer. One JSON document is printed, on one line, once the last attempt
has ended: `attempts`, in the order asked, each with its target, the instants between
which it was made and what was `said`; and `kernel`, what `/proc/version` says here.

| said | means |
|---|---|
| `CONNECTED` | the other end took the connection |
| `TIMEOUT` | no answer in `seconds` |
| `REFUSED`, `UNREACHABLE: …` | something on the way, or at its end, said no |
| `DNS: …`, `ERROR: …` | the attempt itself failed, and says nothing about the way |

Rules of this module:

* It is run as a plain file: the standard library alone, nothing of this product, and
  little of that, because it has to start in tens of milliseconds.
* Every attempt has a thread of its own, and none waits for another.
* It judges nothing, and where it fails it prints no document.
"""

import errno
import json
import socket
import sys
import threading
import time
from typing import Any

_UNREACHABLE = frozenset(
    {
        errno.EACCES,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENONET,
        errno.EPERM,
    }
)
"""What Linux makes of an ICMP answer, or of a filter on this side (icmp(7), ip(7))."""
_KERNEL = "/proc/version"


class Attempt(threading.Thread):
    """One attempt to connect, which begins when it is started.

    Args:
        target: What to try.
    """

    def __init__(self, target: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self.target = target
        self.began = time.monotonic()
        self.started_at = self.finished_at = ""
        self.said = "ERROR: it ended without an answer"
        self.is_resolved = threading.Event()

    def run(self) -> None:
        """Connect, and note what came of it."""
        self.began, self.started_at = time.monotonic(), _instant()
        try:
            self.said = self._connected()
        except (OSError, ValueError) as error:
            self.said = f"DNS: {getattr(error, 'strerror', None) or error}"
        finally:
            self.finished_at = _instant()
            self.is_resolved.set()

    def _connected(self) -> str:
        host, port = self.target["host"].encode("ascii"), self.target["port"]
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        self.is_resolved.set()
        said = []
        for family, _, _, _, address in found:
            said.append(_said(family, address, self.target["seconds"]))
            if said[-1] == "CONNECTED":
                return said[-1]
        # An error at one of its addresses is not made good by a silence at another.
        return next((one for one in said if one.startswith("ERROR")), said[-1])

    def report(self) -> dict[str, Any]:
        """Wait for the end and return what is printed of it."""
        seconds = self.target["seconds"]
        # Nothing bounds the search for a name but what is waited for it here.
        if self.is_resolved.wait(self.began + seconds - time.monotonic()):
            self.join()
            said, finished_at = self.said, self.finished_at
        else:
            said, finished_at = f"DNS: no answer in {seconds:g} s", _instant()
        place = {key: self.target[key] for key in ("name", "host", "port")}
        started_at = self.started_at or finished_at
        instants = {"started_at": started_at, "finished_at": finished_at}
        return {**place, **instants, "said": said}


def main(targets: str) -> None:
    """Try every target, and print what came of it.

    Args:
        targets: JSON, as the module says.
    """
    attempts = [Attempt(target) for target in json.loads(targets)]
    for attempt in attempts:
        attempt.start()
    with open(_KERNEL, encoding="utf-8") as file:
        kernel = file.read().strip()
    document = {"attempts": [one.report() for one in attempts], "kernel": kernel}
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def _said(family: int, address: Any, seconds: float) -> str:
    try:
        own = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        return f"ERROR: {error.strerror or error}"
    try:
        with own:
            own.settimeout(seconds)
            own.connect(address)
    except TimeoutError:
        return "TIMEOUT"
    except ConnectionRefusedError:
        return "REFUSED"
    except OSError as error:
        kind = "UNREACHABLE" if error.errno in _UNREACHABLE else "ERROR"
        return f"{kind}: {error.strerror or error}"
    return "CONNECTED"


def _instant() -> str:
    nanoseconds = time.time_ns()
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(nanoseconds // 10**9))
    return f"{whole}.{nanoseconds // 1000 % 10**6:06}Z"


if __name__ == "__main__":
    main(sys.argv[1])
