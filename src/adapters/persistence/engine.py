"""How the databases are reached: pools, pragmas, time limits, and the schema."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from application.errors import StoreUnavailableError

REVISION = "0006"  # the newest revision in ``migrations``; a test holds them together
READS = "gyeolje_reads"  # an execution option: this connection reads, so begin nothing

_POOL = {"pool_size": 8, "max_overflow": 0, "pool_timeout": 3}
_SQLITE_POOL = _POOL | {"pool_size": 4}  # each is a thread; one writes, and a read takes microseconds
_MIGRATION_LOCK = 0x6779656F  # any number that nobody else locks in this database
_POSTGRESQL_LIMITS = {
    "application_name": "gyeolje",
    "lock_timeout": "2s",
    "statement_timeout": "5s",
    "idle_in_transaction_session_timeout": "10s",
    "jit": "off",
}
_PRAGMAS = (
    "busy_timeout = 5000",
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "recursive_triggers = ON",  # else REPLACE deletes rows that may not be deleted
)


def create_engine(url: str) -> AsyncEngine:
    """An engine for ``sqlite+aiosqlite`` or ``postgresql+asyncpg``; opens nothing yet; ``dispose`` closes it all.

    Raises ValueError for SQLite without a file: its connections would share neither data nor transactions.
    """
    parsed = make_url(url)
    return _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _postgresql(parsed)


async def migrate(engine: AsyncEngine, revision: str = "head") -> None:
    """Bring the schema to ``revision``, all of the way or not at all; several processes may do so at once.

    Raises StoreUnavailableError where the database cannot be reached or the schema cannot be changed.
    """
    try:
        async with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                await connection.execute(text("SET LOCAL lock_timeout = '60s'"))
                await connection.execute(text("SET LOCAL statement_timeout = 0"))
                await connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
            await connection.run_sync(_run_migrations, revision)
    except (OSError, SQLAlchemyError) as error:
        raise StoreUnavailableError(f"the schema could not be brought up to date ({type(error).__name__})") from error


async def check_schema(engine: AsyncEngine) -> None:
    """Raise StoreUnavailableError unless the database answers and its schema is at REVISION."""
    try:
        async with engine.connect() as connection:
            found = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar_one_or_none()
    except DBAPIError as error:
        if error.connection_invalidated:
            raise StoreUnavailableError("the database does not answer") from error
        raise StoreUnavailableError("the database has no schema of ours yet") from error
    except (OSError, SQLAlchemyError) as error:
        raise StoreUnavailableError(f"the database does not answer ({type(error).__name__})") from error
    if found != REVISION:
        raise StoreUnavailableError(f"the database's schema is at {found}, and this version needs {REVISION}")


def _postgresql(url: URL) -> AsyncEngine:
    engine = create_async_engine(url, **_POOL, connect_args={"timeout": 3, "server_settings": dict(_POSTGRESQL_LIMITS)})

    @event.listens_for(engine.sync_engine, "checkout")
    def replace_the_dead(connection: Any, _record: object, _proxy: object) -> None:
        if connection.driver_connection.is_closed():  # the socket told us already; asking costs nothing
            raise DisconnectionError

    return engine


def _sqlite(url: URL) -> AsyncEngine:
    path = url.database
    if not path or ":memory:" in path or path.startswith("file:"):
        raise ValueError("SQLite needs the path of a file")
    settings = {"timeout": 5, "isolation_level": None, "factory": _Connection}
    engine = create_async_engine(url, **_SQLITE_POOL, connect_args=settings)

    @event.listens_for(engine.sync_engine, "do_connect")
    def keep_private(*_: object) -> None:
        Path(path).touch(mode=0o600)  # a file that is there keeps its mode; WAL and index take over the file's

    @event.listens_for(engine.sync_engine, "connect")
    def set_up(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        for pragma in _PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        if not connection.get_execution_options().get(READS):
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


class _Connection(sqlite3.Connection):
    """A connection that lets go of its locks when it is closed.

    A plain one keeps them for as long as anybody refers to one of its cursors, as the trace of an error does.
    """

    def close(self) -> None:
        try:
            if self.in_transaction:
                self.rollback()
        finally:
            super().close()


def _run_migrations(connection: Connection, revision: str) -> None:
    from alembic import command  # noqa: PLC0415 - a quarter of a second that only migrations should cost
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    if revision == "base" or (revision != "head" and _is_older(connection, revision)):
        command.downgrade(config, revision)
    else:
        command.upgrade(config, revision)


def _is_older(connection: Connection, revision: str) -> bool:
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415

    found = MigrationContext.configure(connection).get_current_revision()
    return found is not None and revision < found
