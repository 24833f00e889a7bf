"""Documents, rulebook versions and the list of cases, in SQL.

Rules of this module:

* A document is kept as canonical JSON; storing what is already the newest is no change.
* A published version of a rulebook never changes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert

from sandbox.adapters.clock import SystemClock
from sandbox.adapters.database import json_text, reading, writing
from sandbox.adapters.tables import CASES, DOCUMENTS, RULEBOOKS
from sandbox.errors import RecordsError
from sandbox.model.record import Record, digest_of
from sandbox.model.rule import Rulebook, RulebookRef
from sandbox.ports import Clock


class SqlRecords:
    """Implements `sandbox.ports.Records`.

    Args:
        engine: From `sandbox.adapters.database.open_database`.
        clock: Dates the list of cases; the machine's clock when none is given.
    """

    def __init__(self, engine: Engine, *, clock: Clock | None = None) -> None:
        self._engine = engine
        self._clock = clock or SystemClock()

    def put_document(self, trial_id: str, name: str, document: Record) -> str:
        """Store a record as the newest under (trial, name); return its digest."""
        body = json_text(document, f"document {name} of {trial_id}")
        digest = digest_of(body.encode())
        with writing(self._engine) as connection:
            newest = _newest(connection, trial_id, name)
            if newest is None or newest["digest"] != digest:
                connection.execute(
                    insert(DOCUMENTS).values(
                        trial_id=trial_id, name=name, digest=digest, body=body
                    )
                )
        return digest

    def get_document(self, trial_id: str, name: str) -> dict[str, Any]:
        """Return the newest document of that name as JSON-ready data.

        Raises:
            RecordsError: There is none.
        """
        with reading(self._engine) as connection:
            newest = _newest(connection, trial_id, name)
        if newest is None:
            raise RecordsError(
                f"{trial_id} has no document {name!r}; check the id, or store it first",
                retryable=False,
            )
        return _data(newest["body"])

    def find_documents(self, trial_id: str, prefix: str = "") -> dict[str, Any]:
        """Return the newest documents whose name starts with `prefix`, by name."""
        newest = (
            select(func.max(DOCUMENTS.c.number))
            .where(DOCUMENTS.c.trial_id == trial_id)
            # LIKE would ignore case and read wildcards.
            .where(func.substr(DOCUMENTS.c.name, 1, len(prefix)) == prefix)
            .group_by(DOCUMENTS.c.name)
        )
        query = (
            select(DOCUMENTS.c.name, DOCUMENTS.c.body)
            .where(DOCUMENTS.c.number.in_(newest))
            .order_by(DOCUMENTS.c.name)
        )
        with reading(self._engine) as connection:
            return {row.name: _data(row.body) for row in connection.execute(query)}

    def publish_rulebook(self, rulebook: Rulebook) -> RulebookRef:
        """Store a version; the same content again is the same version.

        Raises:
            RecordsError: That version exists with other content.
        """
        name, version = rulebook.rulebook, rulebook.version
        body = json_text(rulebook, f"rulebook {name} version {version}")
        digest = digest_of(body.encode())
        with writing(self._engine) as connection:
            query = select(RULEBOOKS.c.digest).filter_by(rulebook=name, version=version)
            published = connection.scalar(query)
            if published is None:
                connection.execute(
                    insert(RULEBOOKS).values(
                        rulebook=name, version=version, digest=digest, body=body
                    )
                )
        if published not in (None, digest):
            raise RecordsError(
                f"rulebook {name} version {version} is already published with other "
                f"content ({published}, now {digest}); publish the change as a new "
                "version",
                retryable=False,
            )
        return RulebookRef(rulebook=name, version=version, digest=digest)

    def rulebook(self, rulebook: str, version: int | None = None) -> Rulebook:
        """Return a version; the newest when none is named.

        Raises:
            RecordsError: It was never published.
        """
        query = select(RULEBOOKS.c.body).filter_by(rulebook=rulebook)
        if version is not None:
            query = query.filter_by(version=version)
        with reading(self._engine) as connection:
            body = connection.scalar(query.order_by(RULEBOOKS.c.version.desc()))
        if body is None:
            wanted = rulebook if version is None else f"{rulebook} version {version}"
            raise RecordsError(
                f"rulebook {wanted} was never published; publish it first",
                retryable=False,
            )
        return Rulebook.model_validate_json(body)

    def versions(self, rulebook: str) -> list[Rulebook]:
        """Return every published version, oldest first; none where there is none."""
        query = select(RULEBOOKS.c.body).filter_by(rulebook=rulebook)
        with reading(self._engine) as connection:
            bodies = connection.scalars(query.order_by(RULEBOOKS.c.version)).all()
        return [Rulebook.model_validate_json(body) for body in bodies]

    def set_case(self, trial_id: str, state: str, summary: Mapping[str, Any]) -> None:
        """Update the projection that lists show; workflows stay the truth."""
        row = {
            "state": state,
            "updated_at": self._clock.now().isoformat(),
            "summary": json_text(summary, f"summary of {trial_id}"),
        }
        statement = upsert(CASES).values(trial_id=trial_id, **row)
        with writing(self._engine) as connection:
            connection.execute(
                statement.on_conflict_do_update(index_elements=["trial_id"], set_=row)
            )

    def cases(self) -> list[dict[str, Any]]:
        """Return the projection of every case, by trial id.

        Returns:
            One mapping each: trial_id, state, updated_at (ISO 8601), summary.
        """
        with reading(self._engine) as connection:
            rows = connection.execute(select(CASES).order_by(CASES.c.trial_id)).all()
        return [{**row._mapping, "summary": json.loads(row.summary)} for row in rows]


def _newest(
    connection: Connection, trial_id: str, name: str
) -> Mapping[str, Any] | None:
    query = (
        select(DOCUMENTS.c.digest, DOCUMENTS.c.body)
        .filter_by(trial_id=trial_id, name=name)
        .order_by(DOCUMENTS.c.number.desc())
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else {"digest": row.digest, "body": row.body}


def _data(body: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(body)
    return data
