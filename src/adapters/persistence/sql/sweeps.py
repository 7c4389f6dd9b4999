"""Where the sweep has got to, and the orphans it met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Executable, bindparam, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from adapters.persistence.sql.transaction import SqlTransaction
from adapters.persistence.sql.values import cursor
from adapters.persistence.tables import orphans, sweeps
from application.ports import Orphans, Sweeps
from domain.money import Money
from domain.sweep import Orphan, Sweep

_KNOWN_ORPHANS = select(orphans.c.payment_id).where(orphans.c.payment_id.in_(bindparam("keys", expanding=True)))


def _keep_orphans(module: Any) -> Executable:
    statement = module.insert(orphans)
    names = [name for name in orphans.c.keys() if name not in {"payment_id", "first_seen_at"}]  # noqa: SIM118 - a column collection
    set_ = {name: statement.excluded[name] for name in names}
    kept: Executable = statement.on_conflict_do_update(index_elements=["payment_id"], set_=set_)
    return kept


_KEEP_ORPHANS = {"sqlite": _keep_orphans(sqlite), "postgresql": _keep_orphans(postgresql)}


class SqlOrphans(Orphans):
    """Payments without an order in the database."""

    def __init__(self, unit: SqlTransaction) -> None:
        self._unit = unit

    async def keep(self, orphans: Sequence[Orphan]) -> int:
        """Keep them."""
        self._unit.must_write()
        if not orphans:
            return 0
        names = [orphan.payment_id for orphan in orphans]
        known = len((await self._unit.run(_KNOWN_ORPHANS, {"keys": names})).all())
        values = [
            {
                "payment_id": orphan.payment_id,
                "store_id": orphan.store_id,
                "said": orphan.said,
                "currency": orphan.captured.currency,
                "captured_minor": orphan.captured.minor,
                "cancelled_minor": orphan.cancelled.minor,
                "changed_at": orphan.changed_at,
                "first_seen_at": orphan.first_seen_at,
                "last_seen_at": orphan.last_seen_at,
            }
            for orphan in orphans
        ]
        await self._unit.run(_KEEP_ORPHANS[self._unit.dialect], values)
        return len(set(names)) - known

    async def page(self, *, before: tuple[datetime, str] | None = None, limit: int = 50) -> Sequence[Orphan]:
        """The ones seen first last."""
        newest = (orphans.c.first_seen_at.desc(), orphans.c.payment_id.desc())
        statement = select(orphans).order_by(*newest).limit(limit)
        if before is not None:
            statement = statement.where(tuple_(orphans.c.first_seen_at, orphans.c.payment_id) < cursor(*before))
        return [
            Orphan(
                payment_id=row.payment_id,
                store_id=row.store_id,
                said=row.said,
                captured=Money(row.captured_minor, row.currency),
                cancelled=Money(row.cancelled_minor, row.currency),
                changed_at=row.changed_at,
                first_seen_at=row.first_seen_at,
                last_seen_at=row.last_seen_at,
            )
            for row in (await self._unit.run(statement)).all()
        ]


_SWEEP = select(sweeps)
_SAVE_SWEEP = (
    update(sweeps)
    .where(sweeps.c.version == bindparam("its_version"))
    .values(
        {name: bindparam(name) for name in ("reached", "again_at", "holder", "held_until")}
        | {"version": bindparam("its_version") + 1}
    )
)


class SqlSweeps(Sweeps):
    """The sweep in the database: one row, which the migration makes."""

    def __init__(self, unit: SqlTransaction) -> None:
        self._unit = unit

    async def read(self) -> Sweep:
        """The sweep as it stands."""
        row = (await self._unit.run(_SWEEP)).one()
        return Sweep(
            reached=row.reached,
            again_at=row.again_at,
            holder=row.holder,
            held_until=row.held_until,
            version=row.version,
        )

    async def save(self, sweep: Sweep) -> Sweep:
        """Keep it, if nobody changed it since."""
        self._unit.must_write()
        values = {
            "reached": sweep.reached,
            "again_at": sweep.again_at,
            "holder": sweep.holder,
            "held_until": sweep.held_until,
            "its_version": sweep.version,
        }
        if (await self._unit.run(_SAVE_SWEEP, values)).rowcount != 1:
            raise self._unit.conflict("somebody else is sweeping")
        return replace(sweep, version=sweep.version + 1)
