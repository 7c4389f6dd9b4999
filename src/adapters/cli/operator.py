"""What the command line shows an operator: orders and products, as tables or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime

from rich.console import Console
from rich.table import Column, Table

from adapters.persistence.engine import create_engine
from adapters.persistence.sql import SqlStore
from application.read_order import ListOrders, ListProducts, OrderRecord, ShowOrder
from bootstrap.settings import Settings
from domain.catalog import Product
from domain.ids import OrderId, ProductId
from domain.lifecycle import OrderStatus
from domain.money import Money
from domain.order import Order
from domain.refund import Refund

_UNBOUNDED = 100_000  # characters: as wide as its content needs


async def print_orders(settings: Settings, *, status: str | None, attention: bool, limit: int, as_json: bool) -> None:
    """Print the newest orders."""
    async with _store(settings) as store:
        wanted = OrderStatus(status) if status else None
        orders = await ListOrders(store)(status=wanted, attention=attention, limit=limit)
    if as_json:
        print_json({"items": [order_json(order) for order in orders]})
        return
    columns = ("id", "status", "reason", "price", "refunded", "placed", "attention")
    print_table(columns, (_row(order) for order in orders))


async def print_order(settings: Settings, order_id: str, *, as_json: bool) -> None:
    """Print one order with its history and refunds. Raises OrderNotFoundError."""
    async with _store(settings) as store:
        record = await ShowOrder(store)(OrderId(order_id))
    if as_json:
        print_json(record_json(record))
        return
    print_record(record)


async def print_products(settings: Settings, *, as_json: bool) -> None:
    """Print what can be bought."""
    async with _store(settings) as store:
        products = await ListProducts(store)()
    if as_json:
        print_json({"items": [_product_json(product) for product in products]})
        return
    rows = ((p.id, p.name, shown(p.price), "∞" if p.available is None else str(p.available)) for p in products)
    print_table(("id", "name", "price", "available"), rows)


async def put_product(
    settings: Settings, product_id: str, *, name: str, price: int, currency: str, stock: int | None
) -> None:
    """Add or replace one product. Raises InvalidMoneyError."""
    product = Product(id=ProductId(product_id), name=name, price=Money(price, currency), available=stock)
    async with _store(settings) as store, store.writing() as unit:
        await unit.catalog.put(product)
        await unit.commit()


def print_record(record: OrderRecord) -> None:
    """Print an order's state, then its history, then its refunds."""
    names = ("order", "status", "reason", "price", "refunded", "placed", "attention")
    console = Console(highlight=False)
    for name, value in zip(names, _row(record.order), strict=True):
        if value:
            console.print(f"{name:>9}  {value}")
    print_table(
        ("seq", "kind", "at", "data"),
        (
            (str(e.seq), e.kind.value, time_text(e.at), json.dumps(dict(e.data), ensure_ascii=False))
            for e in record.history
        ),
    )
    if record.refunds:
        print_table(
            ("refund", "status", "amount", "reason", "asked by", "failure"),
            (
                (r.id, r.status.value, shown(r.amount), r.reason, r.requested_by, r.failure or "")
                for r in record.refunds
            ),
        )


def order_json(order: Order) -> dict[str, object]:
    """An order as the API shows it, and what only an operator sees of it."""
    return {
        "id": order.id,
        "paymentId": order.payment_id,
        "name": order.name,
        "status": order.status.value,
        "reason": order.reason.value if order.reason else None,
        "price": money_json(order.price),
        "refunded": money_json(order.refunded),
        "items": [
            {
                "productId": line.product_id,
                "name": line.name,
                "quantity": line.quantity,
                "price": money_json(line.price),
            }
            for line in order.lines
        ],
        "createdAt": time_text(order.created_at),
        "expiresAt": time_text(order.expires_at),
        "captured": money_json(order.captured) if order.captured else None,
        "owed": money_json(order.owed),
        "attention": order.attention,
        "checkAt": time_text(order.check_at) if order.check_at else None,
    }


def record_json(record: OrderRecord) -> dict[str, object]:
    """An order with its history and refunds, as ``orders show --json`` prints it."""
    return {
        "order": order_json(record.order),
        "history": [
            {"seq": e.seq, "kind": e.kind.value, "at": time_text(e.at), "data": dict(e.data)} for e in record.history
        ],
        "refunds": [_refund_json(refund) for refund in record.refunds],
    }


@asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[SqlStore]:
    engine = create_engine(settings.database_url)
    try:
        store = SqlStore(engine)
        await store.check()
        yield store
    finally:
        await engine.dispose()


def _refund_json(refund: Refund) -> dict[str, object]:
    return {
        "id": refund.id,
        "status": refund.status.value,
        "amount": money_json(refund.amount),
        "reason": refund.reason,
        "requestedBy": refund.requested_by,
        "requestedAt": time_text(refund.requested_at),
        "endedAt": time_text(refund.ended_at) if refund.ended_at else None,
        "failure": refund.failure,
    }


def _product_json(product: Product) -> dict[str, object]:
    return {
        "id": product.id,
        "name": product.name,
        "price": money_json(product.price),
        "available": product.available,
    }


def money_json(money: Money) -> dict[str, object]:
    """Money as JSON has it."""
    return {"amount": money.minor, "currency": money.currency}


def _row(order: Order) -> tuple[str, ...]:
    reason = order.reason.value if order.reason else ""
    told = (order.status.value, reason, shown(order.price), shown(order.refunded))
    return (order.id, *told, time_text(order.created_at), order.attention or "")


def shown(money: Money) -> str:
    """Money as a person reads it."""
    return f"{money.minor:,} {money.currency}"


def time_text(moment: datetime) -> str:
    """A moment in UTC, to the millisecond."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def counted(number: int, what: str) -> str:
    """``1 order``, ``2,000 orders``."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def print_json(value: Mapping[str, object]) -> None:
    """Print JSON."""
    print(json.dumps(value, ensure_ascii=False, indent=2))  # noqa: T201 - what was asked for, to standard output


def print_table(columns: Iterable[str], rows: Iterable[tuple[str, ...]]) -> None:
    """Print a table. What a row is about, its first column, is never folded; off a screen nothing is."""
    table = Table(*(Column(name, overflow="fold", no_wrap=not n) for n, name in enumerate(columns)))
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else _UNBOUNDED).print(table)
