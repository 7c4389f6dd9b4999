"""What a connection that dies in the midst of its end may leave behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from sqlalchemy.exc import OperationalError, ResourceClosedError

from adapters.persistence.engine import create_engine
from adapters.persistence.sql import SqlUnit


class Dying:
    """A connection whose server died while it was being closed: closed it is, and it says that it could not be."""

    closed = False

    async def close(self) -> None:
        self.closed = True
        raise OperationalError("ROLLBACK", None, OSError("the server is gone"))

    async def invalidate(self) -> None:
        if self.closed:
            raise ResourceClosedError("This Connection is closed")


async def test_a_connection_that_dies_while_it_is_closed_is_no_error_of_the_unit(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite+aiosqlite:///{tmp_path / 'gyeolje.db'}")
    unit = SqlUnit(engine, writes=False, turn=None, seconds=5)
    unit._connection = cast("Any", Dying())
    await unit._end()
    await engine.dispose()
