"""The API keys of the shop's servers: of each its SHA-256, and what it may do."""

from __future__ import annotations

from alembic import op

from adapters.persistence.migrating import is_sqlite

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_SQLITE = {"int": "INTEGER", "text": "TEXT", "strict": "STRICT"}
_POSTGRESQL = {"int": "BIGINT", "text": 'TEXT COLLATE "C"', "strict": ""}

_TABLE = """
    CREATE TABLE api_keys (
      id {text} NOT NULL PRIMARY KEY,
      name {text} NOT NULL,
      kind {text} NOT NULL,
      hash {text} NOT NULL,
      scopes {text} NOT NULL,
      created_at {int} NOT NULL,
      expires_at {int},
      revoked_at {int},
      last_used_at {int},
      CONSTRAINT "an API key is of a known kind" CHECK (kind IN ('test', 'live')),
      CONSTRAINT "of an API key its SHA-256 is kept" CHECK (length(hash) = 64),
      CONSTRAINT "an API key may do something" CHECK (scopes <> ''),
      CONSTRAINT "an API key expires after it was made" CHECK (expires_at > created_at)
    ) {strict}
"""


def upgrade() -> None:
    """Make the table."""
    op.execute(_TABLE.format(**(_SQLITE if is_sqlite() else _POSTGRESQL)))


def downgrade() -> None:
    """Drop it: an older version lets nobody in by a key."""
    op.execute("DROP TABLE api_keys")
