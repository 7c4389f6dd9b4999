"""Everything in SQLite or PostgreSQL, one file for each thing that is kept."""

from adapters.persistence.sql.store import SqlStore, SqlUnit

__all__ = ["SqlStore", "SqlUnit"]
