"""The schema goes up, down and up again on both databases, whole or not at all, whoever else is at it."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.persistence import tables
from adapters.persistence.engine import REVISION, create_engine, migrate
from adapters.persistence.sql import SqlStore
from application.errors import StoreUnavailableError

OURS = {"orders", "refunds", "history", "webhooks", "products", "placements", "orphans", "sweeps", "api_keys"}
TYPES = {
    "sqlite": {"Moment": "INTEGER", "BigInteger": "INTEGER", "Words": "TEXT"},
    "postgresql": {"Moment": "BIGINT", "BigInteger": "BIGINT", "Words": "TEXT"},
}


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """On each migrated database."""
    engine = create_engine(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def empty(empty_database_url: str) -> AsyncIterator[AsyncEngine]:
    """On each database without a schema."""
    engine = create_engine(empty_database_url)
    yield engine
    await engine.dispose()


def revisions() -> list[str]:
    """Every revision, the oldest first."""
    config = Config()
    config.set_main_option("script_location", str(Path(tables.__file__).with_name("migrations")))
    return [script.revision for script in reversed(list(ScriptDirectory.from_config(config).walk_revisions()))]


async def everything(engine: AsyncEngine) -> set[str]:
    """All that the schema is made of, down to the text of each rule."""
    sources = {
        "sqlite": "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL",
        "postgresql": """
            SELECT attrelid::regclass || '.' || attname || ' ' || format_type(atttypid, atttypmod) || ' ' || attnotnull
              FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
              WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped
            UNION SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
              WHERE connamespace = 'public'::regnamespace
            UNION SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
            UNION SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
            UNION SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        """,
    }
    async with engine.connect() as connection:
        rows = await connection.execute(text(sources[engine.dialect.name]))
        return {row[0] for row in rows if "alembic_version" not in row[0]}


async def test_the_schema_goes_up_down_and_up_through_each_revision(empty: AsyncEngine) -> None:
    steps = ["base", *revisions()]
    seen = {}
    for step in steps:
        await migrate(empty, step)
        seen[step] = await everything(empty)
    for step in reversed(steps[:-1]):
        await migrate(empty, step)
        assert await everything(empty) == seen[step]
    for step in steps:
        await migrate(empty, step)
        assert await everything(empty) == seen[step]

    assert seen["base"] == set()
    assert len({frozenset(found) for found in seen.values()}) == len(steps)
    await SqlStore(empty).check()


def test_the_revision_this_version_needs_is_the_newest() -> None:
    assert revisions()[-1] == REVISION


async def test_the_queries_know_every_table_and_column_as_it_is(engine: AsyncEngine) -> None:
    def found(connection: Connection) -> dict[str, dict[str, str]]:
        inspector = inspect(connection)
        names = [name for name in inspector.get_table_names() if name != "alembic_version"]
        return {
            name: {c["name"]: str(c["type"]).partition(" ")[0] for c in inspector.get_columns(name)} for name in names
        }

    types = TYPES[engine.dialect.name]
    expected = {
        name: {column.name: types[type(column.type).__name__] for column in getattr(tables, name).c} for name in OURS
    }
    async with engine.connect() as connection:
        assert await connection.run_sync(found) == expected


async def test_migrating_twice_is_migrating_once(engine: AsyncEngine) -> None:
    before = await everything(engine)
    await migrate(engine)

    assert await everything(engine) == before


_MIGRATE = """
import asyncio, sys
from adapters.persistence.engine import create_engine, migrate

async def main(url: str) -> None:
    engine = create_engine(url)
    print("ready", flush=True)
    sys.stdin.readline()
    await migrate(engine)
    await engine.dispose()

asyncio.run(main(sys.argv[1]))
"""


async def test_several_processes_may_migrate_at_once(empty: AsyncEngine) -> None:
    pipe, url = asyncio.subprocess.PIPE, empty.url.render_as_string(hide_password=False)
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", _MIGRATE, url, stdin=pipe, stdout=pipe, stderr=pipe, env=_environment()
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    ended = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))

    assert [(process.returncode, said[1]) for process, said in zip(processes, ended, strict=True)] == [(0, b"")] * 3
    await SqlStore(empty).check()


async def test_a_migration_that_fails_leaves_nothing_behind(empty: AsyncEngine) -> None:
    async with empty.begin() as connection:
        await connection.execute(text("CREATE TABLE placements (in_the_way INTEGER)"))
    before = await everything(empty)
    with pytest.raises(StoreUnavailableError, match="could not be brought up to date"):
        await migrate(empty)

    assert await everything(empty) == before
    with pytest.raises(StoreUnavailableError, match="no schema"):
        await SqlStore(empty).check()


async def test_a_database_that_cannot_be_reached_cannot_be_migrated() -> None:
    with pytest.raises(StoreUnavailableError):
        await migrate(create_engine("postgresql+asyncpg://nobody@127.0.0.1:1/nothing"))


async def test_no_column_takes_a_value_of_another_type(engine: AsyncEngine) -> None:
    async with SqlStore(engine).writing() as unit:
        with pytest.raises(StoreUnavailableError):
            await unit.run(text("INSERT INTO products VALUES ('p', 'p', 'much', 'KRW', 1, 0, 0)"))


async def test_migrating_leaves_logging_alone(empty: AsyncEngine) -> None:
    before = (logging.root.level, list(logging.root.handlers), logging.getLogger("gyeolje").disabled)
    await migrate(empty)

    assert (logging.root.level, list(logging.root.handlers), logging.getLogger("gyeolje").disabled) == before


async def test_only_migrating_loads_alembic() -> None:
    code = "import sys, adapters.persistence.sql; sys.exit('alembic' in sys.modules)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, env=_environment())

    assert await process.wait() == 0


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(tables.__file__).parents[2])}
