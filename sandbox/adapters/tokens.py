"""Telemetry producers' bearer tokens, in SQL.

Rules of this module:

* Only the SHA-256 of a token is kept, and a token is found by it.
* A token names one producer for ever; a revoked one stays revoked.
"""

from __future__ import annotations

import hashlib

from sqlalchemy import Engine, insert, select, update

from sandbox.adapters.database import reading, writing
from sandbox.adapters.tables import TOKENS
from sandbox.errors import RecordsError
from sandbox.ports import Producer


class SqlTokens:
    """Implements `sandbox.ports.Tokens`.

    Args:
        engine: From `sandbox.adapters.database.open_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def issue(self, trial_id: str, producer: str, token: str) -> None:
        """Enrol a token; the same again for the same producer is no change.

        Raises:
            RecordsError: The token is empty, revoked, or names another producer.
        """
        row = {
            "token_digest": _digest(token),
            "trial_id": trial_id,
            "producer": producer,
            "is_revoked": False,
        }
        if not token:
            raise RecordsError(
                f"the token for {producer} of {trial_id} is empty; give a random one",
                retryable=False,
            )
        with writing(self._engine) as connection:
            query = select(TOKENS).filter_by(token_digest=row["token_digest"])
            known = connection.execute(query).one_or_none()
            if known is None:
                connection.execute(insert(TOKENS).values(**row))
        if known is not None and dict(known._mapping) != row:
            state = "revoked" if known.is_revoked else "in use"
            raise RecordsError(
                f"the token for {producer} of {trial_id} is already {state} for "
                f"{known.producer} of {known.trial_id}; issue a new one",
                retryable=False,
            )

    def revoke(self, trial_id: str) -> int:
        """Revoke every token of the trial; return how many were in force."""
        statement = (
            update(TOKENS)
            .filter_by(trial_id=trial_id, is_revoked=False)
            .values(is_revoked=True)
        )
        with writing(self._engine) as connection:
            return connection.execute(statement).rowcount

    def identify(self, token: str) -> Producer | None:
        """Return whom the token names, or None if unknown or revoked."""
        query = select(TOKENS.c.trial_id, TOKENS.c.producer).filter_by(
            token_digest=_digest(token), is_revoked=False
        )
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Producer(row.trial_id, row.producer)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
