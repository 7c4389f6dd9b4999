"""Which Idempotency-Keys placed which orders."""

from __future__ import annotations

from sqlalchemy import bindparam, insert, select

from adapters.persistence.sql.transaction import SqlTransaction
from adapters.persistence.tables import placements
from application.ports import PlacedBefore, Placements
from domain.ids import OrderId

_BY_KEY = select(placements).where(placements.c.key_hash == bindparam("key"))
_REMEMBER = insert(placements)


class SqlPlacements(Placements):
    """The Idempotency-Keys in the database."""

    def __init__(self, unit: SqlTransaction) -> None:
        self._unit = unit

    async def by_key(self, key_hash: str) -> PlacedBefore | None:
        """What this key placed."""
        row = (await self._unit.run(_BY_KEY, {"key": key_hash})).one_or_none()
        if row is None:
            return None
        return PlacedBefore(
            key_hash=row.key_hash, order_id=OrderId(row.order_id), fingerprint=row.fingerprint, salt=row.salt
        )

    async def add(self, placed: PlacedBefore) -> None:
        """Remember a key."""
        self._unit.must_write()
        values = {
            "key_hash": placed.key_hash,
            "order_id": placed.order_id,
            "fingerprint": placed.fingerprint,
            "salt": placed.salt,
        }
        await self._unit.run(_REMEMBER, values)
