"""The tables of the records database.

Rules of this module:

* `body`, `leaf` and `summary` hold canonical JSON, byte for byte what was hashed.
* Nothing is updated in place but the list of cases and the revocation of a token.
* A change here needs a migration; a contract test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Computed,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

METADATA = MetaData()
OWNER = "CASE WHEN json_valid(leaf) THEN json_extract(leaf, '$.trial_id') END"
"""SQL for the trial that a leaf names."""

LOG_ENTRIES = Table(
    "log_entries",
    METADATA,
    Column("index", Integer, primary_key=True, autoincrement=False),
    Column("entry_id", Text, nullable=False, unique=True),
    Column("leaf_hash", Text, nullable=False),
    Column("leaf", Text, nullable=False),
    Column("trial_id", Text, Computed(OWNER, persisted=False), index=True),
)
"""Entries of the transparency log; `index` counts from 0 without holes.

By `trial_id` entries are found. It is computed, so that it cannot say another trial
than what was hashed.
"""

LOG_HASHES = Table(
    "log_hashes",
    METADATA,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
)
"""Hashes over 256 full hashes of the level below; they follow from the entries."""

CHECKPOINTS = Table(
    "checkpoints",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("origin", Text, nullable=False),
    Column("size", Integer, nullable=False, index=True),
    Column("root", Text, nullable=False),
    Column("note", Text, nullable=False, unique=True),
)
"""Signed checkpoints, in the order of signing."""

COSIGNED = Table(
    "cosigned_checkpoints",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("origin", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("root", Text, nullable=False),
    Column("note", Text, nullable=False, unique=True),
)
"""Checkpoints with cosignatures of witnesses, in the order of keeping."""

TIMESTAMPS = Table(
    "timestamps",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("size", Integer, nullable=False, index=True),
    Column("token", Text, nullable=False, unique=True),
    Column("body", Text, nullable=False),
)
"""Timestamps of checkpoints, in the order of keeping; `body` is the whole record."""

DOCUMENTS = Table(
    "documents",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("trial_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("body", Text, nullable=False),
    Index("ix_documents_trial_id_name", "trial_id", "name"),
)
"""Every version of every document; the highest `number` of a name is the newest."""

RULEBOOKS = Table(
    "rulebooks",
    METADATA,
    Column("rulebook", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
    Column("body", Text, nullable=False),
)
"""Published versions of rulebooks."""

CASES = Table(
    "cases",
    METADATA,
    Column("trial_id", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    Column("summary", Text, nullable=False),
)
"""The projection that lists show."""

TOKENS = Table(
    "tokens",
    METADATA,
    Column("token_digest", Text, primary_key=True),
    Column("trial_id", Text, nullable=False, index=True),
    Column("producer", Text, nullable=False),
    Column("is_revoked", Boolean, nullable=False),
)
"""Telemetry producers' tokens, by their SHA-256; the token itself is not kept."""
