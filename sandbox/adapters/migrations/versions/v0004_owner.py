"""The trial of an entry is read from what is hashed of it.

Until here `trial_id` was a copy beside the leaf, by which entries are found and which
no hash covers: whoever changed it could hide an entry. Now it is computed.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_INDEX, _TABLE = "ix_log_entries_trial_id", "log_entries"
_OWNER = "CASE WHEN json_valid(leaf) THEN json_extract(leaf, '$.trial_id') END"


def upgrade() -> None:
    """Put a computed column in the place of the copy."""
    op.drop_index(_INDEX, _TABLE)
    op.drop_column(_TABLE, "trial_id")
    computed = sa.Computed(_OWNER, persisted=False)
    op.add_column(_TABLE, sa.Column("trial_id", sa.Text(), computed))
    op.create_index(_INDEX, _TABLE, ["trial_id"])


def downgrade() -> None:
    """Put copies back; what the column allows while they are filled is undone."""
    op.drop_index(_INDEX, _TABLE)
    op.drop_column(_TABLE, "trial_id")
    empty = sa.Column("trial_id", sa.Text(), nullable=False, server_default="")
    op.add_column(_TABLE, empty)
    op.execute("DROP TRIGGER log_entries_no_update")
    op.execute(f"UPDATE log_entries SET trial_id = coalesce({_OWNER}, '')")
    op.execute(
        "CREATE TRIGGER log_entries_no_update BEFORE UPDATE ON log_entries "
        "BEGIN SELECT RAISE(ABORT, 'log_entries is append-only'); END"
    )
    op.create_index(_INDEX, _TABLE, ["trial_id"])
