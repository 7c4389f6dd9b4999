"""What a connection that dies in the midst of a statement may leave behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy.exc import ResourceClosedError

from adapters.persistence.sql import SqlUnit, create_engine
from application.errors import ConflictError
from domain.ids import OrderId, ProductId


class Mute:
    """A result without rows, as asyncpg hands it over where the server died between describing and sending them."""

    returns_rows = False

    def one_or_none(self) -> None:
        raise ResourceClosedError("This result object does not return rows. It has been closed automatically.")


class Dying:
    async def execute(self, *_: object) -> Mute:
        return Mute()


@pytest.mark.parametrize("asks", ["select", "returning"])
async def test_an_answer_without_the_rows_that_were_asked_for_is_a_lost_connection(asks: str, tmp_path: Path) -> None:
    engine = create_engine(f"sqlite+aiosqlite:///{tmp_path / 'gyeolje.db'}")
    unit = SqlUnit(engine, writes=True, turn=None, seconds=5)
    unit._connection = cast("Any", Dying())
    unit._open = True
    with pytest.raises(ConflictError):
        await (unit.orders.by_id(OrderId("1")) if asks == "select" else unit.catalog.hold(ProductId("seat"), 1))
    await engine.dispose()
