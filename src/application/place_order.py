"""Place an order: the server prices it, holds what it needs, and says what the payment window must be given."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from application.errors import GatewayError, IdempotencyKeyReusedError, OrderNotPlaceableError
from application.ports import (
    Checkout,
    Clock,
    Customer,
    NewId,
    PaymentGateway,
    PaymentWindow,
    PlacedBefore,
    Store,
    UnitOfWork,
)
from application.tickets import return_ticket
from application.transact import retrying
from domain.catalog import Product
from domain.ids import OrderId, PaymentId, ProductId
from domain.lifecycle import OrderStatus
from domain.limits import Limits
from domain.order import Order, OrderLine, hash_token
from domain.policy import Policy
from domain.reconciliation import place

_PRE_REGISTER_BUDGET = 2.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOrderCommand:
    """``items``: products and how many of each, at least one. ``idempotency_key``: the client's own, hard to guess."""

    items: tuple[tuple[ProductId, int], ...]
    customer: Customer | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """The order, the buyer's token for it, and the payment window's arguments. ``replayed``: it was placed before.

    ``checkout`` is None where there is nothing to pay, or nothing any more: nobody is led to pay for what is over.
    """

    order: Order
    token: str
    checkout: Checkout | None
    replayed: bool = False


class PlaceOrder:
    """Place an order once for each Idempotency-Key.

    Raises ProductNotFoundError, SoldOutError, OrderNotPlaceableError, BeyondLimitsError, IdempotencyKeyReusedError.
    """

    def __init__(
        self,
        *,
        store: Store,
        gateway: PaymentGateway,
        window: PaymentWindow,
        clock: Clock,
        new_id: NewId,
        ttl: timedelta,
        limits: Limits | None = None,
        policy: Policy | None = None,
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._window = window
        self._clock = clock
        self._new_id = new_id
        self._ttl = ttl
        self._limits = limits or Limits()
        self._policy = policy or Policy()

    async def __call__(self, command: PlaceOrderCommand) -> Placed:
        """Commit the order, then tell the gateway which sum to expect, if it listens."""
        placed = await retrying(lambda: self._place(command))
        if placed.checkout is not None and not placed.replayed:
            await self._pre_register(placed.order)
        return placed

    async def _place(self, command: PlaceOrderCommand) -> Placed:
        async with self._store.writing() as unit:
            key = command.idempotency_key
            if key is not None and (before := await unit.placements.by_key(_hash(key))) is not None:
                return await self._replay(unit, before, key, command)
            salt = self._new_id()
            token = _token(salt, key) if key is not None else self._new_id() + self._new_id()
            now = self._clock()
            reconciliation = place(
                order_id=OrderId(self._new_id()),
                payment_id=PaymentId(self._new_id()),
                token_hash=hash_token(token),
                lines=await self._hold(unit, command),
                now=now,
                expires_at=now + self._ttl,
                policy=self._policy,
            )
            order = reconciliation.order
            self._limits.check_amount(order.price, "an order")
            await unit.history.append(reconciliation.entries)
            await unit.orders.add(order)
            if key is not None:
                fingerprint = _fingerprint(key, command)
                remembered = PlacedBefore(key_hash=_hash(key), order_id=order.id, fingerprint=fingerprint, salt=salt)
                await unit.placements.add(remembered)
            await unit.commit()
        return Placed(order=order, token=token, checkout=self._checkout(order, command.customer, now))

    async def _hold(self, unit: UnitOfWork, command: PlaceOrderCommand) -> list[OrderLine]:
        wanted: dict[ProductId, int] = {}
        for product_id, quantity in command.items:
            wanted[product_id] = wanted.get(product_id, 0) + quantity
        self._limits.check_units(wanted.items())
        held = {product_id: await unit.catalog.hold(product_id, wanted[product_id]) for product_id in sorted(wanted)}
        lines = [_line(held[product_id], quantity) for product_id, quantity in wanted.items()]
        if len({line.price.currency for line in lines}) > 1:
            raise OrderNotPlaceableError("these products are priced in different currencies; order them one by one")
        return lines

    async def _replay(self, unit: UnitOfWork, before: PlacedBefore, key: str, command: PlaceOrderCommand) -> Placed:
        if not hmac.compare_digest(before.fingerprint, _fingerprint(key, command)):
            raise IdempotencyKeyReusedError("this Idempotency-Key placed another order; use a new key for a new order")
        order = await unit.orders.by_id(before.order_id)
        assert order is not None, "an order is never deleted"  # noqa: S101 - a foreign key holds it
        token = _token(before.salt, key)
        checkout = self._checkout(order, command.customer, self._clock())
        return Placed(order=order, token=token, checkout=checkout, replayed=True)

    def _checkout(self, order: Order, customer: Customer | None, now: datetime) -> Checkout | None:
        if order.status is not OrderStatus.PENDING or now >= order.expires_at:
            return None
        return self._window(order, customer, return_ticket(order))

    async def _pre_register(self, order: Order) -> None:
        """A second lock on the sum, not the first: whatever was paid is compared again when it is paid."""
        with suppress(TimeoutError, GatewayError):
            async with asyncio.timeout(_PRE_REGISTER_BUDGET):
                await self._gateway.pre_register(order.payment_id, order.price, order.tax_free)


def _line(product: Product, quantity: int) -> OrderLine:
    return OrderLine(
        product_id=product.id,
        name=product.name,
        quantity=quantity,
        price=product.price,
        held=quantity if product.is_counted else 0,
        tax_free=product.tax_free,
    )


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _token(salt: str, key: str) -> str:
    """The buyer's token, which only the key's holder can be told again: neither the key nor the token is kept."""
    return hmac.new(salt.encode(), key.encode(), hashlib.sha256).hexdigest()


def _fingerprint(key: str, command: PlaceOrderCommand) -> str:
    return hmac.new(key.encode(), repr((command.items, command.customer)).encode(), hashlib.sha256).hexdigest()
