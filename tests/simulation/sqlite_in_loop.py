"""SQLite for simulated time: the real adapter on real files, its statements run in the loop and not in threads.

A thread would finish when the machine likes, and no history could be run twice. A connection that finds the database
locked by another one waits in simulated time, as the database itself would in a thread of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.persistence.engine import create_engine, migrate
from adapters.persistence.sql import SqlStore
from application.ports import Store

T = TypeVar("T")
_BUSY = 5.0  # seconds, as the engine's own busy_timeout
_ENGINES = 6  # kept for their compiled statements; a history with more processes lets two share one


class Connection(aiosqlite.Connection):
    """A connection that works in the loop's own thread, between two of its awaits."""

    def __await__(self) -> Generator[Any, None, aiosqlite.Connection]:
        """Open it."""
        return self._opened().__await__()

    async def close(self) -> None:
        """Close it; what was not committed is undone."""
        self.stop()

    def stop(self) -> None:
        """Close it at once."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _opened(self) -> aiosqlite.Connection:
        self._connection = self._connector()
        return self

    async def _execute(self, fn: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        await asyncio.sleep(0)
        clock = asyncio.get_running_loop().time
        until = clock() + _BUSY
        while True:
            if self._connection is None:
                raise ValueError("Connection closed")
            try:
                return fn(*args, **kwargs)
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or clock() >= until:
                    raise
            await asyncio.sleep(0.01)


class Databases:
    """A fresh database for each history, in ``folder``, all through the same few engines."""

    def __init__(self, folder: Path) -> None:
        self._template = folder / "template.db"
        self._current = folder / "current.db"
        asyncio.run(_migrated(self._template))
        self._engines = [self._engine() for _ in range(_ENGINES)]

    def fresh(self) -> Callable[[], Store]:
        """An empty database; each call opens it as another process would."""
        for leftover in self._current.parent.glob("current.db*"):
            leftover.unlink()
        shutil.copy(self._template, self._current)
        numbers = itertools.cycle(self._engines)
        return lambda: SqlStore(next(numbers))

    async def close(self) -> None:
        """Let go of this history's database."""
        for engine in self._engines:
            await engine.dispose()

    def _engine(self) -> AsyncEngine:
        engine = create_engine(f"sqlite+aiosqlite:///{self._template}")

        @event.listens_for(engine.sync_engine, "do_connect")
        def in_loop(_dialect: object, _record: object, _args: object, settings: dict[str, Any]) -> None:
            settings["async_creator_fn"] = self._connect

        @event.listens_for(engine.sync_engine, "connect")
        def wait_in_the_loop(connection: Any, _record: object) -> None:
            cursor = connection.cursor()
            cursor.execute("PRAGMA busy_timeout = 0")
            cursor.close()

        return engine

    def _connect(self, _database: str, **settings: Any) -> Awaitable[aiosqlite.Connection]:
        return Connection(lambda: sqlite3.connect(self._current, **settings), 64)


async def _migrated(path: Path) -> None:
    engine = create_engine(f"sqlite+aiosqlite:///{path}")
    await migrate(engine)
    await engine.dispose()
