"""Everything in SQLite or PostgreSQL: one adapter on SQLAlchemy Core, its rows mapped by hand to frozen values."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Executable, Row, bindparam, func, insert, literal_column, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import CursorResult
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from adapters.persistence.engine import READS, check_schema, create_engine, migrate
from adapters.persistence.tables import history, orders, placements, products, refunds, webhooks
from adapters.persistence.unit import SECONDS, Unit
from application.errors import ConflictError, ProductNotFoundError, SoldOutError, StoreUnavailableError
from application.ports import Catalog, History, Inbox, Orders, PlacedBefore, Placements, Refunds, Store
from domain.catalog import Product
from domain.history import HistoryEntry, HistoryKind
from domain.ids import OrderId, PaymentId, ProductId, RefundId, WebhookId
from domain.lifecycle import CancelReason, OrderStatus
from domain.money import Money
from domain.order import Observed, Order, OrderLine
from domain.refund import Refund, RefundStatus
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
        await check_schema(self._engine)


class SqlUnit(Unit):
    """One unit on one connection."""

    def __init__(self, engine: AsyncEngine, *, writes: bool, turn: asyncio.Lock | None, seconds: float) -> None:
        super().__init__(writes=writes, seconds=seconds)
        self._engine = engine
        self._turn = turn
        self._has_turn = False
        self._connection: AsyncConnection | None = None
        self.locks = writes and engine.dialect.name == "postgresql"
        self.orders = SqlOrders(self)
        self.refunds = SqlRefunds(self)
        self.history = SqlHistory(self)
        self.inbox = SqlInbox(self)
        self.catalog = SqlCatalog(self)
        self.placements = SqlPlacements(self)

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
            self._connection = await self._engine.connect()
            if self.writes:
                await self._connection.begin()
        except (SQLAlchemyError, OSError) as error:
            raise self.failed(_translated(error)) from error

    async def _commit(self) -> None:
        assert self._connection is not None, "the unit was begun"  # noqa: S101 - narrowing
        try:
            await self._connection.commit()
        except (SQLAlchemyError, OSError) as error:
            found = _translated(error)
            if not isinstance(found, ConflictError) or _is_disconnect(error):
                found = StoreUnavailableError("the commit was not confirmed; whether it was done is not known")
            raise self.failed(found) from error

    async def _end(self) -> None:
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                await asyncio.shield(_close(connection))
        finally:
            if self._turn is not None and self._has_turn:
                self._has_turn = False
                self._turn.release()


async def _close(connection: AsyncConnection) -> None:
    try:
        await connection.close()
    except (SQLAlchemyError, OSError):
        await connection.invalidate()


# --- orders -----------------------------------------------------------------------------------------------------

_ORDER_COLUMNS = tuple(orders.c[name] for name in orders.c.keys())  # noqa: SIM118 - a column collection, not a dict
_ORDERS = select(*_ORDER_COLUMNS)
_BY_ID = _ORDERS.where(orders.c.id == bindparam("key"))
_BY_PAYMENT = _ORDERS.where(orders.c.payment_id == bindparam("key"))
_BY_ID_HELD, _BY_PAYMENT_HELD = _BY_ID.with_for_update(), _BY_PAYMENT.with_for_update()
_ADD_ORDER = insert(orders)
_CHANGING = (
    "status",
    "reason",
    "captured_minor",
    "captured_currency",
    "refunded_minor",
    "refunded_currency",
    "owed_minor",
    "observed_said",
    "observed_attempt",
    "observed_changed_at",
    "observed_updated_at",
    "attention",
    "seq",
    "look_at",
    "looks",
    "failures",
)
_SAVE_ORDER = (
    update(orders)
    .where(orders.c.id == bindparam("its_id"), orders.c.version == bindparam("its_version"))
    .values({name: bindparam(name) for name in _CHANGING} | {"version": bindparam("its_version") + 1})
)
_DUE = orders.c.look_at <= bindparam("now")
_COUNT_DUE = select(func.count()).select_from(orders).where(_DUE)
_DUE_IDS = select(orders.c.id).where(_DUE).order_by(orders.c.look_at, orders.c.id).limit(bindparam("most"))
_LEASE = update(orders).values(look_at=bindparam("until"), version=orders.c.version + 1).returning(*_ORDER_COLUMNS)
_LEASE_ON_SQLITE = _LEASE.where(orders.c.id.in_(_DUE_IDS.scalar_subquery()))
_LEASE_ON_POSTGRESQL = _LEASE.where(orders.c.id.in_(_DUE_IDS.with_for_update(skip_locked=True).scalar_subquery()))


class SqlOrders(Orders):
    """Orders in the database; each is one row."""

    def __init__(self, unit: SqlUnit) -> None:
        self._unit = unit

    async def add(self, order: Order) -> None:
        """Keep a new order."""
        self._unit.must_write()
        await self._unit.run(_ADD_ORDER, _order_values(order) | {"version": order.version})

    async def save(self, order: Order) -> None:
        """Keep a changed order, if nobody changed it since."""
        self._unit.must_write()
        values = _order_values(order)
        changing = {name: values[name] for name in _CHANGING}
        result = await self._unit.run(_SAVE_ORDER, changing | {"its_id": order.id, "its_version": order.version})
        if result.rowcount != 1:
            raise self._unit.conflict("somebody else has changed this order")

    async def by_id(self, order_id: OrderId) -> Order | None:
        """The order with this id."""
        return await self._one(_BY_ID_HELD if self._unit.locks else _BY_ID, order_id)

    async def by_payment(self, payment_id: str) -> Order | None:
        """The order with this payment."""
        return await self._one(_BY_PAYMENT_HELD if self._unit.locks else _BY_PAYMENT, payment_id)

    async def lease_due(self, now: datetime, until: datetime, limit: int) -> Sequence[Order]:
        """Orders to look at, the longest due first."""
        self._unit.must_write()
        statement = _LEASE_ON_POSTGRESQL if self._unit.locks else _LEASE_ON_SQLITE
        values = {"now": _micros(now), "until": _micros(until), "most": limit}
        rows = (await self._unit.run(statement, values)).all()
        return [_order(row) for row in rows]

    async def due_count(self, now: datetime) -> int:
        """How many orders are due."""
        return int((await self._unit.run(_COUNT_DUE, {"now": _micros(now)})).scalar_one())

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
            statement = statement.where(tuple_(orders.c.created_at, orders.c.id) < (_micros(before[0]), before[1]))
        return [_order(row) for row in (await self._unit.run(statement)).all()]

    async def _one(self, statement: Executable, key: str) -> Order | None:
        if not _is_storable(key):
            return None
        row = (await self._unit.run(statement, {"key": key})).one_or_none()
        return None if row is None else _order(row)


class _Line(msgspec.Struct, frozen=True):
    product: str
    name: str
    quantity: int
    minor: int
    currency: str


_LINES = msgspec.json.Decoder(tuple[_Line, ...])


def _order_values(order: Order) -> dict[str, Any]:
    seen = order.observed
    lines = [_Line(n.product_id, n.name, n.quantity, n.price.minor, n.price.currency) for n in order.lines]
    return {
        "id": order.id,
        "payment_id": str(order.payment_id),
        "token_hash": order.token_hash,
        "name": order.name,
        "lines": msgspec.json.encode(lines).decode(),
        "price_minor": order.price.minor,
        "price_currency": order.price.currency,
        "created_at": _micros(order.created_at),
        "expires_at": _micros(order.expires_at),
        "status": order.status.value,
        "reason": order.reason.value if order.reason else None,
        "captured_minor": order.captured.minor if order.captured else None,
        "captured_currency": order.captured.currency if order.captured else None,
        "refunded_minor": order.refunded.minor,
        "refunded_currency": order.refunded.currency,
        "owed_minor": order.owed.minor,
        "observed_said": seen.said if seen else None,
        "observed_attempt": seen.attempt if seen else None,
        "observed_changed_at": _micros_or_none(seen.changed_at) if seen else None,
        "observed_updated_at": _micros_or_none(seen.updated_at) if seen else None,
        "attention": order.attention,
        "seq": order.seq,
        "look_at": _micros_or_none(order.look_at),
        "looks": order.looks,
        "failures": order.failures,
    }


def _order(row: Row[Any]) -> Order:
    lines = _LINES.decode(row.lines)
    observed = None
    if row.observed_said is not None:
        observed = Observed(
            said=row.observed_said,
            attempt=row.observed_attempt,
            changed_at=_instant_or_none(row.observed_changed_at),
            updated_at=_instant_or_none(row.observed_updated_at),
        )
    captured = row.captured_minor
    return Order(
        id=OrderId(row.id),
        payment_id=PaymentId(row.payment_id),
        token_hash=row.token_hash,
        name=row.name,
        lines=tuple(
            OrderLine(
                product_id=ProductId(line.product),
                name=line.name,
                quantity=line.quantity,
                price=Money(line.minor, line.currency),
            )
            for line in lines
        ),
        price=Money(row.price_minor, row.price_currency),
        created_at=_instant(row.created_at),
        expires_at=_instant(row.expires_at),
        status=OrderStatus(row.status),
        reason=CancelReason(row.reason) if row.reason is not None else None,
        captured=Money(captured, row.captured_currency) if captured is not None else None,
        refunded=Money(row.refunded_minor, row.refunded_currency),
        owed=Money(row.owed_minor, row.refunded_currency),
        observed=observed,
        attention=row.attention,
        seq=row.seq,
        version=row.version,
        look_at=_instant_or_none(row.look_at),
        looks=row.looks,
        failures=row.failures,
    )


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
            "requested_at": _micros(refund.requested_at),
            "status": refund.status.value,
            "settled_at": _micros_or_none(refund.settled_at),
            "failure": refund.failure,
        }
        await self._unit.run(_KEEP_REFUND[_dialect(self._unit)], values)

    async def of_order(self, order_id: OrderId) -> Sequence[Refund]:
        """Every refund of this order."""
        return [
            Refund(
                id=RefundId(row.id),
                order_id=OrderId(row.order_id),
                amount=Money(row.minor, row.currency),
                reason=row.reason,
                requested_by=row.requested_by,
                requested_at=_instant(row.requested_at),
                status=RefundStatus(row.status),
                settled_at=_instant_or_none(row.settled_at),
                failure=row.failure,
            )
            for row in (await self._unit.run(_REFUNDS_OF_ORDER, {"key": order_id})).all()
        ]


# --- history ----------------------------------------------------------------------------------------------------

_APPEND = insert(history)
_HISTORY_OF_ORDER = (
    select(history)
    .where(history.c.order_id == bindparam("key"), history.c.seq > bindparam("after"))
    .order_by(history.c.seq)
)
_DATA = msgspec.json.Decoder(dict[str, Any])


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
                "at": _micros(entry.at),
                "status": entry.status.value,
                "reason": entry.reason.value if entry.reason else None,
                "refunded_minor": entry.refunded.minor,
                "refunded_currency": entry.refunded.currency,
                "data": msgspec.json.encode(dict(entry.data)).decode(),
            }
            for entry in entries
        ]
        if values:
            await self._unit.run(_APPEND, values)

    async def of_order(self, order_id: OrderId, *, after: int = 0) -> Sequence[HistoryEntry]:
        """The entries of this order."""
        rows = (await self._unit.run(_HISTORY_OF_ORDER, {"key": order_id, "after": after})).all()
        return [
            HistoryEntry(
                order_id=OrderId(row.order_id),
                seq=row.seq,
                kind=HistoryKind(row.kind),
                at=_instant(row.at),
                status=OrderStatus(row.status),
                reason=CancelReason(row.reason) if row.reason is not None else None,
                refunded=Money(row.refunded_minor, row.refunded_currency),
                data=_DATA.decode(row.data),
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
            "occurred_at": _micros_or_none(event.occurred_at),
            "received_at": _micros(received_at),
            "outcome": outcome,
        }
        return (await self._unit.run(_RECEIVE[_dialect(self._unit)], values)).rowcount == 1


# --- catalogue --------------------------------------------------------------------------------------------------

_PRODUCTS = select(products).order_by(products.c.name, products.c.id)
_PRODUCT = select(products).where(products.c.id == bindparam("key"))
_HOLD = (
    update(products)
    .where(products.c.id == bindparam("key"))
    .where((products.c.available.is_(None)) | (products.c.available >= bindparam("quantity")))
    .values(available=products.c.available - bindparam("quantity"))
    .returning(*products.c)
)
_RELEASE = (
    update(products)
    .where(products.c.id == bindparam("key"))
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
        await self._unit.run(_KEEP_PRODUCT[_dialect(self._unit)], values)

    async def products(self) -> Sequence[Product]:
        """Every product, by name."""
        found = [_product(row) for row in (await self._unit.run(_PRODUCTS)).all()]
        return sorted(found, key=lambda product: (product.name, product.id))

    async def hold(self, product_id: ProductId, quantity: int) -> Product:
        """Take some off what is available."""
        self._unit.must_write()
        row = None
        if _is_storable(product_id):
            row = (await self._unit.run(_HOLD, {"key": product_id, "quantity": quantity})).one_or_none()
            if row is None:
                await self._raise_if_sold_out(product_id, quantity)
        if row is None:
            raise ProductNotFoundError(f"there is no product {product_id!r}")
        return _product(row)

    async def release(self, product_id: ProductId, quantity: int) -> None:
        """Put some back."""
        self._unit.must_write()
        await self._unit.run(_RELEASE, {"key": product_id, "quantity": quantity})

    async def _raise_if_sold_out(self, product_id: ProductId, quantity: int) -> None:
        row = (await self._unit.run(_PRODUCT, {"key": product_id})).one_or_none()
        if row is not None:
            raise SoldOutError(f"less than {quantity} of {row.name} is left")


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


# --- values and errors ------------------------------------------------------------------------------------------

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _micros_or_none(moment: datetime | None) -> int | None:
    return None if moment is None else _micros(moment)


def _instant(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def _instant_or_none(micros: int | None) -> datetime | None:
    return None if micros is None else _instant(micros)


def _is_storable(text: str) -> bool:
    """Whether both databases can hold ``text`` at all; what they cannot hold they do not contain."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _dialect(unit: SqlUnit) -> str:
    return "postgresql" if unit.locks else "sqlite"


_RUN_AGAIN = frozenset({"40001", "40P01", "55P03", "23505"})  # serialization, deadlock, lock time-out, unique
_STALE_PLAN = "0A000"  # asyncpg after an ALTER TABLE under a live pool
_BROKEN_RULES = "23"
_SQLITE_AGAIN = (5, 6)  # SQLITE_BUSY, SQLITE_LOCKED
_SQLITE_UNIQUE = (1555, 2067)  # SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE
_SQLITE_CONSTRAINT = 19


def _translated(error: BaseException) -> StoreUnavailableError:
    if isinstance(error, PoolTimeoutError):
        return StoreUnavailableError("no database connection was free in time")
    if not isinstance(error, DBAPIError):
        return StoreUnavailableError(f"the database cannot be reached ({type(error).__name__})")
    if _is_disconnect(error):
        return ConflictError("the connection to the database was lost before anything was committed")
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return _translated_postgresql(str(state), error)
    return _translated_sqlite(error)


def _translated_postgresql(state: str, error: DBAPIError) -> StoreUnavailableError:
    if state in _RUN_AGAIN:
        return ConflictError("somebody else was working on the same rows")
    if state == _STALE_PLAN and "cached" in str(error.orig):
        return ConflictError("the schema changed under this connection")
    if state.startswith(_BROKEN_RULES):
        return StoreUnavailableError(f"refused: {_rule(error)}")
    return StoreUnavailableError(f"the database failed (SQLSTATE {state})")


def _translated_sqlite(error: DBAPIError) -> StoreUnavailableError:
    code = getattr(error.orig, "sqlite_errorcode", 0)
    if code & 0xFF in _SQLITE_AGAIN or code in _SQLITE_UNIQUE:
        return ConflictError("somebody else was working on the same rows")
    if code & 0xFF == _SQLITE_CONSTRAINT:
        return StoreUnavailableError(f"refused: {_rule(error)}")
    return StoreUnavailableError(f"the database failed ({getattr(error.orig, 'sqlite_errorname', 'unknown')})")


def _rule(error: DBAPIError) -> str:
    """The broken rule's own sentence or name; never the row, which may hold what logs must not."""
    said = str(error.orig).splitlines()[0]
    _, found, sentence = said.partition("rule: ")
    if found:
        return sentence
    return str(
        getattr(error.orig, "constraint_name", None) or said.rpartition("constraint")[2].strip(' :"') or "a rule"
    )


def _is_disconnect(error: BaseException) -> bool:
    return isinstance(error, DBAPIError) and error.connection_invalidated
