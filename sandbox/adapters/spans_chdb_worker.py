"""The process chDB runs in: takes statements from a connection, gives bytes back.

Rules of this module:

* chDB is imported here and nowhere else: it hangs after a fork, and keeps one data path
  for the life of its process.
* What the engine prints goes to standard error; the connection carries answers only.
* The process ends when the connection does.

Started by `sandbox.adapters.spans_chdb_process`, never by hand.
"""

from __future__ import annotations

import os
import sys
from multiprocessing.connection import Connection
from typing import Any

from chdb import session as chdb_session

DONE = b"\0"
FAILED = b"\1"


def main() -> None:
    """Answer until the other side closes: format, NUL, statement gives its result."""
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    connection = Connection(int(sys.argv[1]))
    engine: Any = chdb_session
    session = engine.Session(sys.argv[2])
    while True:
        try:
            asked = connection.recv_bytes().decode()
        except EOFError:
            break
        connection.send_bytes(_answer(session, *asked.split("\0", 1)))
    session.close()


def _answer(session: Any, form: str, statement: str) -> bytes:
    try:
        return DONE + bytes(session.query(statement, form).bytes())
    except Exception as error:  # noqa: BLE001 - handed to the other side, in words
        return FAILED + str(error).encode(errors="replace")


if __name__ == "__main__":
    main()
