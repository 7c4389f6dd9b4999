"""How a migration changes what stands already: a constraint, a rule, rows that their rules would not let change."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text


def is_sqlite() -> bool:
    """Whether it is SQLite that is migrated; else it is PostgreSQL."""
    return bool(op.get_bind().dialect.name == "sqlite")


def change_check(table: str, before: tuple[str, str], after: tuple[str, str]) -> None:
    """Put another constraint in the place of one.

    SQLite has no statement for that. What it documents instead, for a change that no stored row has to follow, is to
    write the table's own text anew (sqlite.org, "Making Other Kinds Of Table Schema Changes").
    """
    if not is_sqlite():
        op.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{before[0]}"')
        op.execute(f'ALTER TABLE {table} ADD CONSTRAINT "{after[0]}" CHECK ({after[1]})')
        return
    connection = op.get_bind()
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    [made] = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).one()
    written = made.replace(f'"{before[0]}"', f'"{after[0]}"').replace(f"({before[1]})", f"({after[1]})")
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    connection.exec_driver_sql("UPDATE sqlite_master SET sql = ? WHERE type = 'table' AND name = ?", (written, table))
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = RESET")


def change_rule(table: str, moment: str, before: str, after: str) -> None:
    """Put another condition in the place of one in the trigger ``table_moment``."""
    connection, name = op.get_bind(), f"{table}_{moment}"
    if is_sqlite():
        [made] = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).one()
        connection.exec_driver_sql(f"DROP TRIGGER {name}")
    else:
        query = (  # by name: a statement that was prepared before may know an older one of this name
            "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname = :name "
            "AND pronamespace = current_schema()::regnamespace"
        )
        made = connection.execute(text(query), {"name": name}).scalar_one()
    connection.exec_driver_sql(made.replace(before, after))


class without_rules:  # noqa: N801 - a context, written as one
    """While this lasts, the tables' triggers say nothing: words of rows change, and nothing has happened to them."""

    def __init__(self, *tables: str) -> None:
        self._tables = tables
        self._made: list[str] = []

    def __enter__(self) -> None:
        connection = op.get_bind()
        for table in self._tables:
            if not is_sqlite():
                op.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
                continue
            query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?"
            for name, made in connection.exec_driver_sql(query, (table,)).all():
                self._made.append(made)
                connection.exec_driver_sql(f"DROP TRIGGER {name}")

    def __exit__(self, *_: object) -> None:
        for made in self._made:
            op.get_bind().exec_driver_sql(made)
        if not is_sqlite():
            for table in self._tables:
                op.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
