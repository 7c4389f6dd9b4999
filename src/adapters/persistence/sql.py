"""Everything in SQLite or PostgreSQL: one adapter on SQLAlchemy Core, its rows mapped by hand to frozen values."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Executable,
    Row,
    Tuple,
    bindparam,
    func,
    insert,
    literal,
    literal_column,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import CursorResult
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from adapters.persistence.engine import READS, check_schema, create_engine, migrate
from adapters.persistence.tables import (
    Moment,
    Words,
    history,
    orders,
    orphans,
    placements,
    products,
    refunds,
    sweeps,
    webhooks,
)
from adapters.persistence.unit import SECONDS, Unit
from application.errors import ConflictError, ProductNotFoundError, SoldOutError, StoreUnavailableError
from application.ports import (
    Catalog,
    History,
    Inbox,
    Orders,
    Orphans,
    PlacedBefore,
    Placements,
    Refunds,
    Store,
    Sweeps,
)
from domain.catalog import Product
from domain.history import HistoryEntry, HistoryKind
from domain.ids import OrderId, PaymentId, ProductId, RefundId, WebhookId
from domain.lifecycle import CancelReason, OrderStatus
from domain.money import Money
from domain.order import Observed, Order, OrderLine
from domain.refund import Refund, RefundStatus
from domain.sweep import Orphan, Sweep
from domain.webhook_event import WebhookEvent

__all__ = ["SqlStore", "create_engine", "migrate"]


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


class SqlUnit(Unit):
    """One unit on one connection."""

    def __init__(self, engine: AsyncEngine, *, writes: bool, turn: asyncio.Lock | None, seconds: float) -> None:
        super().__init__(writes=writes, seconds=seconds)
        self._engine = engine
        self._turn = turn
        self._has_turn = False
        self._connection: AsyncConnection | None = None
        self.dialect = engine.dialect.name
        self.orders = SqlOrders(self)
        self.refunds = SqlRefunds(self)
        self.history = SqlHistory(self)
        self.inbox = SqlInbox(self)
        self.catalog = SqlCatalog(self)
        self.placements = SqlPlacements(self)
        self.orphans = SqlOrphans(self)
        self.sweeps = SqlSweeps(self)

    async def run(
        self, statement: Executable, values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> CursorResult[Any]:
        """Execute one statement; its errors in the port's words."""
        assert self._connection is not None, "the unit was begun"  # noqa: S101 - narrowing
        try:
            return await self._connection.execute(statement, values)
        except (SQLAlchemyError, OSError) as error:
            raise self.failed(_translated(error)) from error

    async def _begin(self) -> None:
        if self._turn is not None:
            self._has_turn = await self._turn.acquire()
        try:
            self._connection = await self._engine.connect()  # its first statement begins the transaction
        except (SQLAlchemyError, OSError) as error:
            raise self.failed(_translated(error)) from error

    async def _commit(self) -> None:
        assert self._connection is not None, "the unit was begun"  # noqa: S101 - narrowing
        try:
            await self._connection.commit()
        except (SQLAlchemyError, OSError) as error:
            await _discard(self._connection)  # SQLite keeps a transaction open whose commit it refused
            if not isinstance(error, DBAPIError) or error.connection_invalidated:
                unknown = StoreUnavailableError("the commit was not confirmed; whether it was done is not known")
                raise self.failed(unknown) from error
            raise self.failed(_translated(error)) from error

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


# --- orders -----------------------------------------------------------------------------------------------------

_ORDER_COLUMNS = tuple(orders.c[name] for name in orders.c.keys())  # noqa: SIM118 - a column collection, not a dict
_ORDERS = select(*_ORDER_COLUMNS)
_BY_ID = _ORDERS.where(orders.c.id == bindparam("key"))
_BY_PAYMENT = _ORDERS.where(orders.c.payment_id == bindparam("key"))
_BY_PAYMENTS = _ORDERS.where(orders.c.payment_id.in_(bindparam("keys", expanding=True)))
_BY_ID_HELD = _BY_ID.with_for_update(key_share=True)  # which says nothing on SQLite: there the unit is alone
_BY_PAYMENT_HELD = _BY_PAYMENT.with_for_update(key_share=True)
_ADD_ORDER = insert(orders)
_SAVED = tuple(name for name in orders.c.keys() if name not in {"id", "version"})  # noqa: SIM118 - a column collection
_SAVE_ORDER = (
    update(orders)
    .where(orders.c.id == bindparam("its_id"), orders.c.version == bindparam("its_version"))
    .values({name: bindparam(name) for name in _SAVED} | {"version": bindparam("its_version") + 1})
)
_MOVED_AT = func.coalesce(orders.c.observed_changed_at, orders.c.created_at, type_=Moment)
_CAPTURED_BETWEEN = (
    _ORDERS.where(orders.c.captured_minor.is_not(None), _MOVED_AT.between(bindparam("since"), bindparam("until")))
    .order_by(_MOVED_AT, orders.c.id)
    .limit(bindparam("most"))
)
_DUE = orders.c.look_at <= bindparam("now")
_COUNT_DUE = select(func.count()).select_from(orders).where(_DUE)
_FIND_DUE = (
    _ORDERS.where(_DUE)
    .order_by(orders.c.look_at, orders.c.id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True, key_share=True)
)
_LEASE = (
    update(orders)
    .where(orders.c.id.in_(bindparam("ids", expanding=True)))
    .values(look_at=bindparam("until"), version=orders.c.version + 1)
)


class SqlOrders(Orders):
    """Orders in the database; each is one row."""

    def __init__(self, unit: SqlUnit) -> None:
        self._unit = unit

    async def add(self, order: Order) -> None:
        """Keep a new order."""
        self._unit.must_write()
        await self._unit.run(_ADD_ORDER, _order_values(order))

    async def save(self, order: Order) -> None:
        """Keep a changed order, if nobody changed it since."""
        self._unit.must_write()
        values = _order_values(order)
        its = {"its_id": values.pop("id"), "its_version": values.pop("version")}
        result = await self._unit.run(_SAVE_ORDER, values | its)
        if result.rowcount != 1:
            raise self._unit.conflict("somebody else has changed this order")

    async def by_id(self, order_id: OrderId) -> Order | None:
        """The order with this id."""
        return await self._one(_BY_ID_HELD if self._unit.writes else _BY_ID, order_id)

    async def by_payment(self, payment_id: str) -> Order | None:
        """The order with this payment."""
        return await self._one(_BY_PAYMENT_HELD if self._unit.writes else _BY_PAYMENT, payment_id)

    async def by_payments(self, payment_ids: Sequence[str]) -> Mapping[str, Order]:
        """The orders of these payments."""
        rows = (await self._unit.run(_BY_PAYMENTS, {"keys": list(payment_ids)})).all()
        return {row.payment_id: _order(row) for row in rows}

    async def captured_between(
        self, since: datetime, until: datetime, *, after: tuple[datetime, OrderId] | None = None, limit: int = 50
    ) -> Sequence[Order]:
        """Orders of which anything was captured, by when they moved."""
        statement = _CAPTURED_BETWEEN
        if after is not None:
            statement = statement.where(tuple_(_MOVED_AT, orders.c.id) > _cursor(*after))
        rows = (await self._unit.run(statement, {"since": since, "until": until, "most": limit})).all()
        return [_order(row) for row in rows]

    async def lease_due(self, now: datetime, until: datetime, limit: int) -> Sequence[Order]:
        """Orders to look at, the longest due first."""
        self._unit.must_write()
        due = [_order(row) for row in (await self._unit.run(_FIND_DUE, {"now": now, "most": limit})).all()]
        if due:
            await self._unit.run(_LEASE, {"until": until, "ids": [order.id for order in due]})
        return [replace(order, look_at=until, version=order.version + 1) for order in due]

    async def due_count(self, now: datetime) -> int:
        """How many orders are due."""
        return int((await self._unit.run(_COUNT_DUE, {"now": now})).scalar_one())

    async def page(
        self,
        *,
        status: OrderStatus | None = None,
        attention: bool = False,
        before: tuple[datetime, OrderId] | None = None,
        limit: int = 50,
    ) -> Sequence[Order]:
        """The newest orders that match."""
        statement = _ORDERS.order_by(orders.c.created_at.desc(), orders.c.id.desc()).limit(limit)
        if status is not None:
            statement = statement.where(orders.c.status == status.value)
        if attention:
            statement = statement.where(orders.c.attention.is_not(None))
        if before is not None:
            statement = statement.where(tuple_(orders.c.created_at, orders.c.id) < _cursor(*before))
        return [_order(row) for row in (await self._unit.run(statement)).all()]

    async def _one(self, statement: Executable, key: str) -> Order | None:
        row = (await self._unit.run(statement, {"key": key})).one_or_none()
        return None if row is None else _order(row)


def _cursor(moment: datetime, name: str) -> Tuple:
    return tuple_(literal(moment, Moment), literal(name, Words))


def _order_values(order: Order) -> dict[str, Any]:
    seen = order.observed
    lines = [[n.product_id, n.name, n.quantity, n.price.minor, n.price.currency] for n in order.lines]
    return {
        "id": order.id,
        "payment_id": order.payment_id,
        "token_hash": order.token_hash,
        "name": order.name,
        "lines": _json(lines),
        "price_minor": order.price.minor,
        "price_currency": order.price.currency,
        "created_at": order.created_at,
        "expires_at": order.expires_at,
        "status": order.status.value,
        "reason": order.reason.value if order.reason else None,
        "captured_minor": order.captured.minor if order.captured else None,
        "captured_currency": order.captured.currency if order.captured else None,
        "refunded_minor": order.refunded.minor,
        "refunded_currency": order.refunded.currency,
        "owed_minor": order.owed.minor,
        "observed_said": seen.said if seen else None,
        "observed_attempt": seen.attempt if seen else None,
        "observed_changed_at": seen.changed_at if seen else None,
        "observed_updated_at": seen.updated_at if seen else None,
        "attention": order.attention,
        "seq": order.seq,
        "version": order.version,
        "look_at": order.look_at,
        "looks": order.looks,
        "failures": order.failures,
    }


def _order(row: Row[Any]) -> Order:
    observed = None
    if row.observed_said is not None:
        observed = Observed(
            said=row.observed_said,
            attempt=row.observed_attempt,
            changed_at=row.observed_changed_at,
            updated_at=row.observed_updated_at,
        )
    captured = row.captured_minor
    return Order(
        id=OrderId(row.id),
        payment_id=PaymentId(row.payment_id),
        token_hash=row.token_hash,
        name=row.name,
        lines=tuple(_line(*line) for line in json.loads(row.lines)),
        price=Money(row.price_minor, row.price_currency),
        created_at=row.created_at,
        expires_at=row.expires_at,
        status=OrderStatus(row.status),
        reason=CancelReason(row.reason) if row.reason is not None else None,
        captured=Money(captured, row.captured_currency) if captured is not None else None,
        refunded=Money(row.refunded_minor, row.refunded_currency),
        owed=Money(row.owed_minor, row.refunded_currency),
        observed=observed,
        attention=row.attention,
        seq=row.seq,
        version=row.version,
        look_at=row.look_at,
        looks=row.looks,
        failures=row.failures,
    )


def _line(product_id: str, name: str, quantity: int, minor: int, currency: str) -> OrderLine:
    return OrderLine(product_id=ProductId(product_id), name=name, quantity=quantity, price=Money(minor, currency))


# --- refunds ----------------------------------------------------------------------------------------------------

_REFUNDS_OF_ORDER = (
    select(refunds).where(refunds.c.order_id == bindparam("key")).order_by(refunds.c.requested_at, refunds.c.id)
)


def _keep_refund(module: Any) -> Executable:
    statement = module.insert(refunds)
    names = [name for name in refunds.c.keys() if name != "id"]  # noqa: SIM118 - a column collection
    set_ = {name: statement.excluded[name] for name in names}
    kept: Executable = statement.on_conflict_do_update(index_elements=["id"], set_=set_)
    return kept


_KEEP_REFUND = {"sqlite": _keep_refund(sqlite), "postgresql": _keep_refund(postgresql)}


class SqlRefunds(Refunds):
    """Refunds in the database."""

    def __init__(self, unit: SqlUnit) -> None:
        self._unit = unit

    async def save(self, refund: Refund) -> None:
        """Keep a new or changed refund."""
        self._unit.must_write()
        values = {
            "id": refund.id,
            "order_id": refund.order_id,
            "minor": refund.amount.minor,
            "currency": refund.amount.currency,
            "reason": refund.reason,
            "requested_by": refund.requested_by,
            "requested_at": refund.requested_at,
            "status": refund.status.value,
            "settled_at": refund.settled_at,
            "failure": refund.failure,
        }
        await self._unit.run(_KEEP_REFUND[self._unit.dialect], values)

    async def of_order(self, order_id: OrderId) -> Sequence[Refund]:
        """Every refund of this order."""
        return [
            Refund(
                id=RefundId(row.id),
                order_id=OrderId(row.order_id),
                amount=Money(row.minor, row.currency),
                reason=row.reason,
                requested_by=row.requested_by,
                requested_at=row.requested_at,
                status=RefundStatus(row.status),
                settled_at=row.settled_at,
                failure=row.failure,
            )
            for row in (await self._unit.run(_REFUNDS_OF_ORDER, {"key": order_id})).all()
        ]


# --- history ----------------------------------------------------------------------------------------------------

_APPEND: Executable = insert(history).returning(
    literal_column("1")
)  # returning makes many rows one statement, not many
_HISTORY_OF_ORDER = (
    select(history)
    .where(history.c.order_id == bindparam("key"), history.c.seq > bindparam("after"))
    .order_by(history.c.seq)
)


class SqlHistory(History):
    """The history in the database."""

    def __init__(self, unit: SqlUnit) -> None:
        self._unit = unit

    async def append(self, entries: Sequence[HistoryEntry]) -> None:
        """Add entries, in one statement."""
        self._unit.must_write()
        values = [
            {
                "order_id": entry.order_id,
                "seq": entry.seq,
                "kind": entry.kind.value,
                "at": entry.at,
                "status": entry.status.value,
                "reason": entry.reason.value if entry.reason else None,
                "refunded_minor": entry.refunded.minor,
                "refunded_currency": entry.refunded.currency,
                "data": _json(dict(entry.data)),
            }
            for entry in entries
        ]
        if values:
            await self._unit.run(_APPEND, values)

    async def of_order(self, order_id: OrderId, *, after: int = 0) -> Sequence[HistoryEntry]:
        """The entries of this order."""
        rows = (await self._unit.run(_HISTORY_OF_ORDER, {"key": order_id, "after": min(after, _MOST)})).all()
        return [
            HistoryEntry(
                order_id=OrderId(row.order_id),
                seq=row.seq,
                kind=HistoryKind(row.kind),
                at=row.at,
                status=OrderStatus(row.status),
                reason=CancelReason(row.reason) if row.reason is not None else None,
                refunded=Money(row.refunded_minor, row.refunded_currency),
                data=json.loads(row.data),
            )
            for row in rows
        ]


# --- inbox ------------------------------------------------------------------------------------------------------

_SEEN: Executable = select(literal_column("1")).select_from(webhooks).where(webhooks.c.id == bindparam("key"))
_RECEIVE = {
    "sqlite": sqlite.insert(webhooks).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(webhooks).on_conflict_do_nothing(),
}


class SqlInbox(Inbox):
    """The webhook events in the database."""

    def __init__(self, unit: SqlUnit) -> None:
        self._unit = unit

    async def seen(self, webhook_id: WebhookId) -> bool:
        """Whether an event of this id was kept."""
        return (await self._unit.run(_SEEN, {"key": webhook_id})).first() is not None

    async def add(self, event: WebhookEvent, *, outcome: str, received_at: datetime) -> bool:
        """Keep the event, once."""
        self._unit.must_write()
        values = {
            "id": event.id,
            "type": event.type,
            "payment_id": event.payment_id,
            "store_id": event.store_id,
            "occurred_at": event.occurred_at,
            "received_at": received_at,
            "outcome": outcome,
        }
        return (await self._unit.run(_RECEIVE[self._unit.dialect], values)).rowcount == 1


# --- catalogue --------------------------------------------------------------------------------------------------

_PRODUCTS = select(products).order_by(products.c.name, products.c.id)
_PRODUCT = select(products).where(products.c.id == bindparam("key"))
_HOLD = (
    update(products)
    .where(products.c.id == bindparam("key"), products.c.available >= bindparam("quantity"))
    .values(available=products.c.available - bindparam("quantity"))
    .returning(*products.c)
)
_RELEASE = (
    update(products)
    .where(products.c.id == bindparam("key"), products.c.available.is_not(None))
    .values(available=products.c.available + bindparam("quantity"))
)


def _keep_product(module: Any) -> Executable:
    statement = module.insert(products)
    set_ = {name: statement.excluded[name] for name in ("name", "minor", "currency", "available")}
    kept: Executable = statement.on_conflict_do_update(index_elements=["id"], set_=set_)
    return kept


_KEEP_PRODUCT = {"sqlite": _keep_product(sqlite), "postgresql": _keep_product(postgresql)}


class SqlCatalog(Catalog):
    """The products in the database."""

    def __init__(self, unit: SqlUnit) -> None:
        self._unit = unit

    async def put(self, product: Product) -> None:
        """Keep this product."""
        self._unit.must_write()
        values = {
            "id": product.id,
            "name": product.name,
            "minor": product.price.minor,
            "currency": product.price.currency,
            "available": product.available,
        }
        await self._unit.run(_KEEP_PRODUCT[self._unit.dialect], values)

    async def products(self) -> Sequence[Product]:
        """Every product, by name."""
        return [_product(row) for row in (await self._unit.run(_PRODUCTS)).all()]

    async def hold(self, product_id: ProductId, quantity: int) -> Product:
        """Take some off what is available."""
        self._unit.must_write()
        row = (await self._unit.run(_HOLD, {"key": product_id, "quantity": min(quantity, _MOST)})).one_or_none()
        return _product(row) if row is not None else await self._not_counted(product_id, quantity)

    async def release(self, product_id: ProductId, quantity: int) -> None:
        """Put some back."""
        self._unit.must_write()
        await self._unit.run(_RELEASE, {"key": product_id, "quantity": quantity})

    async def _not_counted(self, product_id: ProductId, quantity: int) -> Product:
        """The product, if it is without limit: nothing is taken off it, and so no buyer waits for another."""
        row = (await self._unit.run(_PRODUCT, {"key": product_id})).one_or_none()
        if row is None:
            raise ProductNotFoundError(f"there is no product {product_id!r}")
        if row.available is not None:
            raise SoldOutError(f"less than {quantity} of {row.name} is left")
        return _product(row)


def _product(row: Row[Any]) -> Product:
    price = Money(row.minor, row.currency)
    return Product(id=ProductId(row.id), name=row.name, price=price, available=row.available)


# --- placements -------------------------------------------------------------------------------------------------

_BY_KEY = select(placements).where(placements.c.key_hash == bindparam("key"))
_REMEMBER = insert(placements)


class SqlPlacements(Placements):
    """The Idempotency-Keys in the database."""

    def __init__(self, unit: SqlUnit) -> None:
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


# --- orphans, and the sweep that finds them ---------------------------------------------------------------------

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

    def __init__(self, unit: SqlUnit) -> None:
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
            statement = statement.where(tuple_(orphans.c.first_seen_at, orphans.c.payment_id) < _cursor(*before))
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
        {name: bindparam(name) for name in ("reached", "holder", "held_until")}
        | {"version": bindparam("its_version") + 1}
    )
)


class SqlSweeps(Sweeps):
    """The sweep in the database: one row, which the migration makes."""

    def __init__(self, unit: SqlUnit) -> None:
        self._unit = unit

    async def read(self) -> Sweep:
        """The sweep as it stands."""
        row = (await self._unit.run(_SWEEP)).one()
        return Sweep(reached=row.reached, holder=row.holder, held_until=row.held_until, version=row.version)

    async def save(self, sweep: Sweep) -> Sweep:
        """Keep it, if nobody changed it since."""
        self._unit.must_write()
        values = {
            "reached": sweep.reached,
            "holder": sweep.holder,
            "held_until": sweep.held_until,
            "its_version": sweep.version,
        }
        if (await self._unit.run(_SAVE_SWEEP, values)).rowcount != 1:
            raise self._unit.conflict("somebody else is sweeping")
        return replace(sweep, version=sweep.version + 1)


# --- values and errors ------------------------------------------------------------------------------------------

_MOST = 2**63 - 1  # what a column can be compared with


def _json(data: object) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


_RUN_AGAIN = frozenset({"40001", "40P01", "55P03", "23505"})  # serialization, deadlock, lock time-out, unique
_SQLITE_RUN_AGAIN = frozenset(
    {"SQLITE_BUSY_SNAPSHOT", "SQLITE_BUSY_RECOVERY", "SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE"}
)


def _translated(error: SQLAlchemyError | OSError) -> StoreUnavailableError:
    if isinstance(error, PoolTimeoutError):
        return StoreUnavailableError("no database connection was free in time")
    if not isinstance(error, DBAPIError):
        return StoreUnavailableError(f"the database cannot be reached ({type(error).__name__})")
    if error.connection_invalidated:
        return ConflictError("the connection to the database was lost before anything was committed")
    cause = error.orig.__cause__ if error.orig is not None else None
    state = getattr(cause, "sqlstate", None)
    if state is not None:
        return _translated_postgresql(state, cause)
    return _translated_sqlite(error.orig)


def _translated_postgresql(state: str, error: BaseException | None) -> StoreUnavailableError:
    if state in _RUN_AGAIN:
        return ConflictError("somebody else was working on the same rows")
    if type(error).__name__ == "InvalidCachedStatementError":
        return ConflictError("the schema changed under this connection")
    if state.startswith("23"):
        return StoreUnavailableError(f"refused: {getattr(error, 'constraint_name', None) or _rule(error)}")
    return StoreUnavailableError(f"the database failed (SQLSTATE {state})")


def _translated_sqlite(error: BaseException | None) -> StoreUnavailableError:
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if name in _SQLITE_RUN_AGAIN:
        return ConflictError("somebody else was working on the same rows")
    if name == "SQLITE_CONSTRAINT_FOREIGNKEY":
        return StoreUnavailableError("refused: everything belongs to an order")
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CONSTRAINT:
        return StoreUnavailableError(f"refused: {_rule(error)}")
    return StoreUnavailableError(f"the database failed ({name})")


def _rule(error: BaseException | None) -> str:
    """The broken rule's own sentence; never the row, which may hold what logs must not."""
    said = str(error).splitlines()[0]
    for before in ("rule: ", "constraint failed: "):
        if before in said:
            return said.partition(before)[2]
    return "a rule of the table"
