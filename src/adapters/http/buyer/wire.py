"""What goes over the wire between a buyer and us: request bodies, read strictly, and answers, in camelCase."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from litestar.exceptions import HTTPException
from msgspec import UNSET, Meta, UnsetType

from adapters.http.problems import BadRequestError, FieldError
from adapters.http.sizes import Headers, header_values
from application.follow_order import OrderEvent
from application.place_order import Placed, PlaceOrderCommand
from application.ports import Checkout, Customer
from domain.catalog import ID_MOST, Product
from domain.ids import ProductId
from domain.lifecycle import OrderStatus
from domain.money import Money
from domain.order import Order, OrderLine

_PLAIN = r"^[^\x00-\x1f\x7f]+(?![\s\S])"  # no control characters; NUL is one that PostgreSQL cannot keep
_IDEMPOTENCY_KEY = re.compile(rb"[\x21-\x7e]{16,256}")
_BEARER = re.compile(rb"(?i:bearer) ([A-Za-z0-9._~+/-]{16,256}=*)")
_AT = re.compile(r"(?P<what>.*) - at `\$\.?(?P<path>.*)`", re.DOTALL)
_FIELD = re.compile(r"Object (?:contains unknown|missing required) field `(?P<name>.*)`", re.DOTALL)


# --- what we are sent -------------------------------------------------------------------------------------------


class ItemBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """So many of one product."""

    product_id: Annotated[str, Meta(min_length=1, max_length=ID_MOST, pattern=_PLAIN)]
    quantity: Annotated[int, Meta(ge=1, le=100)]


class CustomerBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the payment window may be told about the buyer; it is passed on and not kept."""

    name: Annotated[str, Meta(min_length=1, max_length=100, pattern=_PLAIN)] | UnsetType = UNSET
    email: Annotated[str, Meta(min_length=1, max_length=254, pattern=_PLAIN)] | UnsetType = UNSET
    phone: Annotated[str, Meta(min_length=1, max_length=40, pattern=_PLAIN)] | UnsetType = UNSET


class PlaceOrderBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to buy. Prices are ours and are not among what can be said."""

    items: Annotated[list[ItemBody], Meta(min_length=1, max_length=20)]
    customer: CustomerBody | UnsetType = UNSET


_PLACE_ORDER = msgspec.json.Decoder(PlaceOrderBody, strict=True)


def place_order_command(headers: Headers, body: bytes) -> PlaceOrderCommand:
    """What a request to place an order asks for. Raises BadRequestError naming the field, or 415."""
    if _media_type(headers) != b"application/json":
        raise HTTPException(status_code=415)
    read = _read_strictly(_PLACE_ORDER, body)
    return PlaceOrderCommand(
        items=tuple((ProductId(item.product_id), item.quantity) for item in read.items),
        customer=_customer(read.customer),
        idempotency_key=_idempotency_key(headers),
    )


def token_of(headers: Headers) -> str:
    """The buyer's token in ``Authorization: Bearer``; empty, which fits no order, where there is not exactly one."""
    found = header_values(headers, b"authorization")
    match = _BEARER.fullmatch(found[0]) if len(found) == 1 else None
    return match[1].decode("ascii") if match else ""


def last_event_id(headers: Headers) -> int | None:
    """The number of the last event that the client has seen; None unless it is one."""
    found = header_values(headers, b"last-event-id")
    if len(found) != 1 or not re.fullmatch(rb"[1-9][0-9]{0,9}", found[0]):
        return None
    return int(found[0])


def _read_strictly(decoder: msgspec.json.Decoder[PlaceOrderBody], body: bytes) -> PlaceOrderBody:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise BadRequestError("The body has a field that cannot be taken.", _field_error(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequestError("The body is not valid JSON in UTF-8.", FieldError("", "not valid JSON")) from None


def _field_error(said: str) -> FieldError:
    """What msgspec says, as field and reason."""
    at = _AT.fullmatch(said)
    what, path = (at["what"], at["path"]) if at else (said, "")
    if named := _FIELD.fullmatch(what):
        path = f"{path}.{named['name'][:64]}" if path else named["name"][:64]
        what = "unknown field" if "unknown" in what else "missing"
    if "matching regex" in what:
        what = "must not contain control characters"
    return FieldError(path, what)


def _customer(body: CustomerBody | UnsetType) -> Customer | None:
    if body is UNSET:
        return None
    return Customer(name=body.name or None, email=body.email or None, phone=body.phone or None)


def _idempotency_key(headers: Headers) -> str | None:
    found = header_values(headers, b"idempotency-key")
    if not found:
        return None
    if len(found) > 1 or not _IDEMPOTENCY_KEY.fullmatch(found[0]):
        error = FieldError("Idempotency-Key", "must be given once, as 16 to 256 visible ASCII characters")
        raise BadRequestError("A header cannot be taken.", error)
    return found[0].decode("ascii")


def _media_type(headers: Headers) -> bytes:
    found = header_values(headers, b"content-type")
    return found[0].partition(b";")[0].strip().lower() if len(found) == 1 else b""


# --- what we answer ---------------------------------------------------------------------------------------------


class MoneyOut(msgspec.Struct, frozen=True):
    """``amount`` minor units of ``currency``: 1 KRW is 1, 1.00 USD is 100."""

    amount: int
    currency: str


class ProductOut(msgspec.Struct, frozen=True):
    """Something that can be bought; ``available`` null means without limit."""

    id: str
    name: str
    price: MoneyOut
    available: int | None


class ProductsOut(msgspec.Struct, frozen=True):
    """What can be bought."""

    items: list[ProductOut]


class ItemOut(msgspec.Struct, frozen=True, rename="camel"):
    """So many of one product; ``price`` is that of one."""

    product_id: str
    name: str
    quantity: int
    price: MoneyOut


class OrderOut(msgspec.Struct, frozen=True, rename="camel"):
    """An order, as its buyer may see it. ``lastAttempt`` null: none was made, or none has failed since."""

    id: str
    payment_id: str
    name: str
    status: str
    reason: str | None
    price: MoneyOut
    refunded: MoneyOut
    items: list[ItemOut]
    created_at: datetime
    expires_at: datetime
    last_attempt: Literal["failed"] | None


class CheckoutOut(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The arguments of ``PortOne.requestPayment``."""

    store_id: str
    channel_key: str
    payment_id: str
    order_name: str
    total_amount: int
    currency: str
    pay_method: str
    redirect_url: str
    tax_free_amount: int | UnsetType = UNSET
    customer: dict[str, str] | UnsetType = UNSET


class PlacedOut(msgspec.Struct, frozen=True):
    """A placed order. Its token is told here only. ``checkout`` null: there is nothing to pay, or nothing any more."""

    order: OrderOut
    token: str
    checkout: CheckoutOut | None


class ReturnOut(msgspec.Struct, frozen=True):
    """Whether the order is paid; ``open``: it may still be."""

    status: Literal["paid", "not_paid", "open"]


class TicketOut(msgspec.Struct, frozen=True, rename="camel"):
    """A ticket for the event stream, and for how many seconds it is good."""

    ticket: str
    expires_in: int


class EventOut(msgspec.Struct, frozen=True):
    """The data of one server-sent event."""

    order: OrderOut
    kind: str
    at: datetime


_RETURNED: dict[OrderStatus, Literal["paid", "not_paid", "open"]] = {
    OrderStatus.COMPLETED: "paid",
    OrderStatus.CANCELLED: "not_paid",
    OrderStatus.PENDING: "open",
}


def products_out(products: Sequence[Product]) -> ProductsOut:
    """Products on the wire."""
    return ProductsOut([ProductOut(p.id, p.name, _money(p.price), p.available) for p in products])


def order_out(order: Order) -> OrderOut:
    """An order on the wire."""
    return OrderOut(
        id=order.id,
        payment_id=str(order.payment_id),
        name=order.name,
        status=order.status.value,
        reason=order.reason.value if order.reason is not None else None,
        price=_money(order.price),
        refunded=_money(order.refunded),
        items=[_item(line) for line in order.lines],
        created_at=order.created_at,
        expires_at=order.expires_at,
        last_attempt="failed" if order.observed is not None and order.observed.has_failed else None,
    )


def placed_out(placed: Placed) -> PlacedOut:
    """A placed order on the wire."""
    checkout = None if placed.checkout is None else _checkout(placed.checkout)
    return PlacedOut(order_out(placed.order), placed.token, checkout)


def return_out(status: OrderStatus) -> ReturnOut:
    """What whoever comes back from the payment window is told."""
    return ReturnOut(_RETURNED[status])


def event_out(event: OrderEvent) -> EventOut:
    """One event's data on the wire."""
    return EventOut(order_out(event.order), event.kind, event.at)


def _item(line: OrderLine) -> ItemOut:
    return ItemOut(line.product_id, line.name, line.quantity, _money(line.price))


def _checkout(checkout: Checkout) -> CheckoutOut:
    return CheckoutOut(
        store_id=checkout.store_id,
        channel_key=checkout.channel_key,
        payment_id=str(checkout.payment_id),
        order_name=checkout.order_name,
        total_amount=checkout.total_amount,
        currency=checkout.currency,
        pay_method=checkout.pay_method,
        redirect_url=checkout.redirect_url,
        tax_free_amount=UNSET if checkout.tax_free_amount is None else checkout.tax_free_amount,
        customer=UNSET if checkout.customer is None else dict(checkout.customer),
    )


def _money(money: Money) -> MoneyOut:
    return MoneyOut(money.minor, money.currency)
