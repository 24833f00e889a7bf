"""Cosigned checkpoints and timestamps.

Both can be added and read; the database refuses to change or remove one, as it does for
checkpoints.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_APPEND_ONLY = {"cosigned_checkpoints": "note", "timestamps": "token"}
"""Table → the column, besides its number, that names a row."""


def upgrade() -> None:
    """Make the two tables."""
    op.create_table(
        "cosigned_checkpoints",
        sa.Column("number", sa.Integer(), nullable=False),
        _text("origin"),
        sa.Column("size", sa.Integer(), nullable=False),
        _text("root"),
        _text("note"),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("note"),
    )
    op.create_table(
        "timestamps",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        _text("token"),
        _text("body"),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("token"),
    )
    op.create_index("ix_timestamps_size", "timestamps", ["size"])
    for table, column in _APPEND_ONLY.items():
        same = f"number = NEW.number OR {column} = NEW.{column}"
        for name, event in (
            ("update", f"UPDATE ON {table}"),
            ("delete", f"DELETE ON {table}"),
            (
                "replace",
                f"INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE {same})",
            ),
        ):
            op.execute(
                f"CREATE TRIGGER {table}_no_{name} BEFORE {event} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )


def downgrade() -> None:
    """Remove the two tables."""
    for table in _APPEND_ONLY:
        op.drop_table(table)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)
