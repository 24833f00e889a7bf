"""Hashes over full runs of 256 entries, so that proofs read a few of them.

They are made here for the entries that are there already. Like entries, they can be
added and read, and not be changed.

`INSERT OR REPLACE` removes a row without asking the triggers on DELETE (SQLite, "ON
CONFLICT", REPLACE), so it is refused here for all that can only be added.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import sqlalchemy as sa
from alembic import op

from sandbox.evidence.merkle import root_of_hashes

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_WIDTH = 256
_UNIQUE = {
    "log_entries": ("index", "entry_id"),
    "checkpoints": ("number", "note"),
    "log_hashes": ("level", "number"),
}
_LEAVES = sa.text('SELECT leaf_hash FROM log_entries ORDER BY "index"')
_ADD = sa.text("INSERT INTO log_hashes (level, number, hash) VALUES (:l, :n, :h)")


def upgrade() -> None:
    """Make the table, and fill it from the entries."""
    op.create_table(
        "log_hashes",
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "number"),
    )
    op.create_index("ix_checkpoints_size", "checkpoints", ["size"])
    leaves = op.get_bind().execute(_LEAVES).scalars()
    row = list(_full(bytes.fromhex(text.removeprefix("sha256:")) for text in leaves))
    level = 1
    while row:
        _add(level, row)
        level, row = level + 1, list(_full(row))
    for act in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER log_hashes_no_{act.lower()} BEFORE {act} ON log_hashes "
            "BEGIN SELECT RAISE(ABORT, 'log_hashes is append-only'); END"
        )
    for table, columns in _UNIQUE.items():
        word = " AND " if table == "log_hashes" else " OR "
        same = word.join(f'"{column}" = NEW."{column}"' for column in columns)
        op.execute(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "
            f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


def downgrade() -> None:
    """Remove the table."""
    op.execute("DROP TRIGGER log_entries_no_replace")
    op.execute("DROP TRIGGER checkpoints_no_replace")
    op.drop_index("ix_checkpoints_size")
    op.drop_table("log_hashes")


def _full(hashes: Iterable[bytes]) -> Iterator[bytes]:
    rest = iter(hashes)
    while len(run := list(islice(rest, _WIDTH))) == _WIDTH:
        yield root_of_hashes(run)


def _add(level: int, row: list[bytes]) -> None:
    values = [{"l": level, "n": number, "h": hash} for number, hash in enumerate(row)]
    op.get_bind().execute(_ADD, values)
