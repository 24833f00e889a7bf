"""Log, checkpoints, documents, rulebooks, cases, tokens.

Entries and checkpoints can be added and read. Changing or removing one is refused by
the database itself, also to someone who opens the file with another program.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_APPEND_ONLY = ("log_entries", "checkpoints")


def upgrade() -> None:
    """Make every table."""
    _make_log()
    _make_records()
    for table in _APPEND_ONLY:
        for act in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{act.lower()} BEFORE {act} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )


def downgrade() -> None:
    """Remove every table."""
    for table in (
        "tokens",
        "cases",
        "rulebooks",
        "documents",
        "checkpoints",
        "log_entries",
    ):
        op.drop_table(table)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _make_log() -> None:
    op.create_table(
        "log_entries",
        sa.Column("index", sa.Integer(), autoincrement=False, nullable=False),
        _text("entry_id"),
        _text("trial_id"),
        _text("leaf_hash"),
        _text("leaf"),
        sa.PrimaryKeyConstraint("index"),
        sa.UniqueConstraint("entry_id"),
    )
    op.create_index("ix_log_entries_trial_id", "log_entries", ["trial_id"])
    op.create_table(
        "checkpoints",
        sa.Column("number", sa.Integer(), nullable=False),
        _text("origin"),
        sa.Column("size", sa.Integer(), nullable=False),
        _text("root"),
        _text("note"),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("note"),
    )


def _make_records() -> None:
    op.create_table(
        "documents",
        sa.Column("number", sa.Integer(), nullable=False),
        _text("trial_id"),
        _text("name"),
        _text("digest"),
        _text("body"),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("ix_documents_trial_id_name", "documents", ["trial_id", "name"])
    op.create_table(
        "rulebooks",
        _text("rulebook"),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        _text("digest"),
        _text("body"),
        sa.PrimaryKeyConstraint("rulebook", "version"),
    )
    op.create_table(
        "cases",
        _text("trial_id"),
        _text("state"),
        _text("updated_at"),
        _text("summary"),
        sa.PrimaryKeyConstraint("trial_id"),
    )
    op.create_table(
        "tokens",
        _text("token_digest"),
        _text("trial_id"),
        _text("producer"),
        sa.Column("is_revoked", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("token_digest"),
    )
    op.create_index("ix_tokens_trial_id", "tokens", ["trial_id"])
