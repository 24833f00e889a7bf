"""The recorder's own door, for workers on this machine.

Rules of this module:

* It listens on loopback only, and asks for a secret that lies in the state directory,
  readable by its owner alone.
* `POST /trials/{id}/roll` answers once the trial's open segment is closed.
* `GET /trials/{id}/health` answers whether what its producers send would be recorded,
  and if not, since when and why.
* `GET /status` answers counts since the start, and every fault.
"""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.adapters.otlp_reception import Reception
from sandbox.errors import RecorderError

TOKEN_FILE = "recorder-admin.token"
"""Name of the secret's file in the state directory."""


def write_token(path: Path) -> str:
    """Make a new secret, readable by the owner alone, and return it.

    Raises:
        RecorderError: It cannot be written.
    """
    token = secrets.token_urlsafe(32)
    partial = path.with_name(f"{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        with os.fdopen(os.open(partial, flags, 0o600), "w") as file:
            file.write(token)
        partial.replace(path)
    except OSError as error:
        raise RecorderError(f"cannot write {path}: {error}", retryable=False) from error
    return token


class _Admin:
    def __init__(self, reception: Reception, token: str) -> None:
        self._reception = reception
        self._expected = f"Bearer {token}".encode()

    def _refusal(self, request: Request) -> JSONResponse | None:
        given = request.headers.get("authorization", "").encode()
        if hmac.compare_digest(given, self._expected):
            return None
        return JSONResponse({"error": "give the secret of the state directory"}, 401)

    async def roll(self, request: Request) -> JSONResponse:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        try:
            closed = await self._reception.roll(request.path_params["trial_id"])
        except RecorderError as error:
            status = 503 if error.retryable else 400
            return JSONResponse({"error": error.diagnosis}, status)
        return JSONResponse({"closed": closed})

    async def health(self, request: Request) -> Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        try:
            found = await self._reception.health(request.path_params["trial_id"])
        except RecorderError as error:
            return JSONResponse({"error": error.diagnosis}, 400)
        return Response(found.model_dump_json(), media_type="application/json")

    async def status(self, request: Request) -> JSONResponse:
        return self._refusal(request) or JSONResponse(self._reception.status())


def admin_app(reception: Reception, token: str) -> Starlette:
    """Return the ASGI application of the recorder's own door.

    Args:
        reception: Whose segments are closed and counts told.
        token: The secret every request must carry as bearer token.
    """
    admin = _Admin(reception, token)
    return Starlette(
        routes=[
            Route("/trials/{trial_id}/roll", admin.roll, methods=["POST"]),
            Route("/trials/{trial_id}/health", admin.health, methods=["GET"]),
            Route("/status", admin.status, methods=["GET"]),
        ]
    )
