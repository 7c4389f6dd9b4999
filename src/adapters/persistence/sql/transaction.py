"""One transaction on one connection: its beginning, its end, and each of its statements."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Executable
from sqlalchemy.engine import CursorResult
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from adapters.persistence.sql.values import translated
from adapters.persistence.unit import Unit
from application.errors import StoreUnavailableError


class SqlTransaction(Unit):
    """A unit on one connection, and the way in which everything that is kept speaks to it."""

    def __init__(self, engine: AsyncEngine, *, writes: bool, turn: asyncio.Lock | None, seconds: float) -> None:
        super().__init__(writes=writes, seconds=seconds)
        self._engine = engine
        self._turn = turn
        self._has_turn = False
        self._connection: AsyncConnection | None = None
        self.dialect = engine.dialect.name

    async def run(
        self, statement: Executable, values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> CursorResult[Any]:
        """Execute one statement; its errors in the port's words."""
        assert self._connection is not None, "the unit was begun"  # noqa: S101 - narrowing
        try:
            return await self._connection.execute(statement, values)
        except (SQLAlchemyError, OSError) as error:
            raise self.failed(translated(error)) from error

    async def _begin(self) -> None:
        if self._turn is not None:
            self._has_turn = await self._turn.acquire()
        try:
            self._connection = await self._engine.connect()  # its first statement begins the transaction
        except (SQLAlchemyError, OSError) as error:
            raise self.failed(translated(error)) from error

    async def _commit(self) -> None:
        assert self._connection is not None, "the unit was begun"  # noqa: S101 - narrowing
        try:
            await self._connection.commit()
        except (SQLAlchemyError, OSError) as error:
            await _discard(self._connection)  # SQLite keeps a transaction open whose commit it refused
            if not isinstance(error, DBAPIError) or error.connection_invalidated:
                unknown = StoreUnavailableError("the commit was not confirmed; whether it was done is not known")
                raise self.failed(unknown) from error
            raise self.failed(translated(error)) from error

    async def _end(self) -> None:
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                await _close(connection)
        finally:
            if self._turn is not None and self._has_turn:
                self._has_turn = False
                self._turn.release()


async def _close(connection: AsyncConnection) -> None:
    try:
        await connection.close()
    except (SQLAlchemyError, OSError):
        await _discard(connection)


async def _discard(connection: AsyncConnection) -> None:
    """Never use what is under ``connection`` again. One whose server died in the midst of its end is closed by then."""
    if not connection.closed:
        await connection.invalidate()
