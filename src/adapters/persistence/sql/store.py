"""The store, and its unit of work with everything that is kept in it."""

from __future__ import annotations

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.persistence.engine import READS, check_schema
from adapters.persistence.sql.api_keys import SqlApiKeys
from adapters.persistence.sql.catalog import SqlCatalog
from adapters.persistence.sql.history import SqlHistory
from adapters.persistence.sql.inbox import SqlInbox
from adapters.persistence.sql.orders import SqlOrders
from adapters.persistence.sql.placements import SqlPlacements
from adapters.persistence.sql.refunds import SqlRefunds
from adapters.persistence.sql.sweeps import SqlOrphans, SqlSweeps
from adapters.persistence.sql.transaction import SqlTransaction
from adapters.persistence.unit import SECONDS
from application.ports import Store


class SqlStore(Store):
    """All of it in one database. ``engine`` comes from ``create_engine`` and stays the caller's to dispose."""

    def __init__(self, engine: AsyncEngine, *, seconds: float = SECONDS) -> None:
        self._engine = engine
        self._seconds = seconds
        self._is_sqlite = engine.dialect.name == "sqlite"
        self._reads = engine.execution_options(
            **({READS: True} if self._is_sqlite else {"isolation_level": "AUTOCOMMIT"})
        )
        # SQLite has one writer: those of this process line up here, fairly, and only other processes' are polled for
        self._turn = asyncio.Lock() if self._is_sqlite else None

    def reading(self) -> SqlUnit:
        """A new unit that only reads: each statement by itself, without a transaction around them."""
        return SqlUnit(self._reads, writes=False, turn=None, seconds=self._seconds)

    def writing(self) -> SqlUnit:
        """A new unit that may write."""
        return SqlUnit(self._engine, writes=True, turn=self._turn, seconds=self._seconds)

    async def check(self) -> None:
        """Raise StoreUnavailableError unless the database answers with this version's schema."""
        await check_schema(self._reads)


class SqlUnit(SqlTransaction):
    """One unit of work."""

    def __init__(self, engine: AsyncEngine, *, writes: bool, turn: asyncio.Lock | None, seconds: float) -> None:
        super().__init__(engine, writes=writes, turn=turn, seconds=seconds)
        self.orders = SqlOrders(self)
        self.refunds = SqlRefunds(self)
        self.history = SqlHistory(self)
        self.inbox = SqlInbox(self)
        self.catalog = SqlCatalog(self)
        self.placements = SqlPlacements(self)
        self.orphans = SqlOrphans(self)
        self.sweeps = SqlSweeps(self)
        self.api_keys = SqlApiKeys(self)
