"""SQLAlchemy Core on SQLite and PostgreSQL, and a memory of the same manners."""
