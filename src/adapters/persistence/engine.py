"""How the databases are reached: pools, pragmas, time limits, and the schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from application.errors import StoreUnavailableError

REVISION = "0001"  # the newest revision in ``migrations``; a test holds them together
READS = "gyeolje_reads"  # an execution option: this connection reads, so begin nothing

_POOL = {"pool_size": 8, "max_overflow": 0, "pool_timeout": 3}
_MIGRATION_LOCK = 0x6779656F  # any number that nobody else locks in this database
_POSTGRESQL_LIMITS = {
    "application_name": "gyeolje",
    "lock_timeout": "2s",
    "statement_timeout": "5s",
    "idle_in_transaction_session_timeout": "10s",
    "jit": "off",
}


def create_engine(url: str) -> AsyncEngine:
    """An engine for ``sqlite+aiosqlite`` or ``postgresql+asyncpg``; opens nothing yet; ``dispose`` closes it all."""
    if make_url(url).get_backend_name() == "sqlite":
        return _sqlite(url)
    return create_async_engine(url, **_POOL, connect_args={"timeout": 5, "server_settings": dict(_POSTGRESQL_LIMITS)})


async def migrate(engine: AsyncEngine, revision: str = "head") -> None:
    """Bring the schema to ``revision``, all of the way or not at all; several processes may do so at once.

    Raises StoreUnavailableError where the database cannot be reached.
    """
    try:
        async with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                await connection.execute(text("SET LOCAL lock_timeout = '60s'"))
                await connection.execute(text("SET LOCAL statement_timeout = 0"))
                await connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
            await connection.run_sync(_run_migrations, revision)
    except (OSError, SQLAlchemyError) as error:
        raise StoreUnavailableError(f"the schema could not be brought up to date: {type(error).__name__}") from error


async def check_schema(engine: AsyncEngine) -> None:
    """Raise StoreUnavailableError unless the database answers and its schema is at REVISION."""
    try:
        async with engine.connect() as connection:
            found = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar_one_or_none()
    except DBAPIError as error:
        if error.connection_invalidated:
            raise StoreUnavailableError("the database does not answer") from error
        raise StoreUnavailableError("the database has no schema of ours yet") from error
    except (OSError, SQLAlchemyError, TimeoutError) as error:
        raise StoreUnavailableError(f"the database does not answer ({type(error).__name__})") from error
    if found != REVISION:
        raise StoreUnavailableError(f"the database's schema is at {found}, and this version needs {REVISION}")


def _sqlite(url: str) -> AsyncEngine:
    path = make_url(url).database
    if path and path != ":memory:" and not Path(path).exists():
        Path(path).touch(mode=0o600)
    engine = create_async_engine(url, **_POOL, connect_args={"timeout": 5})

    @event.listens_for(engine.sync_engine, "connect")
    def set_up(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we begin by ourselves; the driver would begin too late and too weakly
        cursor = connection.cursor()
        for pragma in (
            "busy_timeout = 5000",
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "recursive_triggers = ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        if not connection.get_execution_options().get(READS):
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


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
