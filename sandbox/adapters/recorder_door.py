"""The recorder's own door, from the side of those who ask.

Rules of this module:

* It is on this machine and asks for the secret of the state directory
  (`sandbox.adapters.otlp_admin`).
* A recorder that does not answer is not well; for who wants a segment closed it is an
  error that waiting may mend.
"""

from __future__ import annotations

import http.client
import json
from pathlib import Path

from pydantic import ValidationError

from sandbox.errors import RecorderError
from sandbox.model.segment import RecorderHealth
from sandbox.recorder import folder_name

ROLL_TIMEOUT_S = 30.0
HEALTH_TIMEOUT_S = 2.0
_LOOPBACK = "127.0.0.1"


class RecorderDoor:
    """Asks the recorder of this machine.

    Args:
        port: Where its door is on loopback.
        token_file: File of the secret.
    """

    def __init__(self, port: int, token_file: Path) -> None:
        self._port = port
        self._token_file = token_file

    def roll(self, trial_id: str) -> None:
        """Have the open segment of a trial closed, and wait until it is.

        Raises:
            RecorderError: It was not closed.
        """
        status, answer = self._ask(
            "POST", f"/trials/{folder_name(trial_id)}/roll", timeout_s=ROLL_TIMEOUT_S
        )
        if status != 200:
            raise RecorderError(
                f"the recorder did not close the segment of trial {trial_id}: "
                f"{answer.get('error', status)}",
                retryable=status >= 500,
            )

    def health(self, trial_id: str) -> RecorderHealth:
        """Return whether what the trial's producers send now would be recorded.

        Raises:
            RecorderError: It is not a trial id.
        """
        path = f"/trials/{folder_name(trial_id)}/health"
        try:
            status, answer = self._ask("GET", path, timeout_s=HEALTH_TIMEOUT_S)
            if status == 200:
                return RecorderHealth.model_validate(answer)
            cause = f"its own door answers {status}: {answer.get('error', '')}"
        except (RecorderError, ValidationError) as error:
            cause = str(error)
        return RecorderHealth(is_well=False, cause=cause)

    def _ask(
        self, method: str, path: str, *, timeout_s: float
    ) -> tuple[int, dict[str, object]]:
        door = http.client.HTTPConnection(_LOOPBACK, self._port, timeout=timeout_s)
        try:
            token = self._token_file.read_text().strip()
            door.request(method, path, headers={"Authorization": f"Bearer {token}"})
            answer = door.getresponse()
            return answer.status, dict(json.loads(answer.read()))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise RecorderError(
                f"the recorder does not answer on {_LOOPBACK}:{self._port} "
                f"({error}); start it: it also closes what was left open"
            ) from error
        finally:
            door.close()
