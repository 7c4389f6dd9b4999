"""What the command line shows of orders, as tables or JSON."""

from __future__ import annotations

import json

from adapters.cli.printing import money_json, print_json, print_pairs, print_table, say, shown, time_text
from application.answer_attention import AnswerAttentionCommand
from application.read_order import OrderRecord
from application.use_cases import UseCases
from domain.ids import OrderId
from domain.lifecycle import OrderStatus
from domain.order import Order
from domain.refund import Refund

OPERATOR = "operator"
"""Who acts, for the record, where a command is run by hand."""

_COLUMNS = ("status", "reason", "price", "refunded", "placed", "attention")


async def print_orders(use_cases: UseCases, *, status: str | None, attention: bool, limit: int, as_json: bool) -> None:
    """Print the newest orders."""
    wanted = OrderStatus(status) if status else None
    orders = await use_cases.list_orders(status=wanted, attention=attention, limit=limit)
    if as_json:
        print_json({"items": [order_json(order) for order in orders]})
        return
    print_table(("id", *_COLUMNS), (_row(order) for order in orders))


async def print_order(use_cases: UseCases, order_id: str, *, as_json: bool) -> None:
    """Print one order with its history and refunds. Raises OrderNotFoundError."""
    record = await use_cases.show_order(OrderId(order_id))
    if as_json:
        print_json(record_json(record))
        return
    print_record(record)


async def answer(use_cases: UseCases, order_id: str, *, note: str) -> None:
    """End what an order asks a person about. Raises OrderNotFoundError and NothingToAnswerError."""
    await use_cases.answer_attention(AnswerAttentionCommand(order_id=OrderId(order_id), by=OPERATOR, note=note))
    say("answered; the order is checked once more")


def print_record(record: OrderRecord) -> None:
    """Print an order's state, then its history, then its refunds."""
    print_pairs(("order", *_COLUMNS), _row(record.order))
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
        "attention": order.attention.why if order.attention else None,
        "attentionKind": order.attention.kind.value if order.attention else None,
        "attentionSince": time_text(order.attention.since) if order.attention else None,
        "checkAt": time_text(order.check_at) if order.check_at else None,
    }


def record_json(record: OrderRecord) -> dict[str, object]:
    """An order with its history and refunds, as ``orders show --json`` prints it."""
    return {
        "order": order_json(record.order),
        "history": [
            {"seq": e.seq, "kind": e.kind.value, "at": time_text(e.at), "data": dict(e.data)} for e in record.history
        ],
        "refunds": [refund_json(refund) for refund in record.refunds],
    }


def refund_json(refund: Refund) -> dict[str, object]:
    """A refund, and how far it is."""
    return {
        "id": refund.id,
        "status": refund.status.value,
        "amount": money_json(refund.amount),
        "reason": refund.reason,
        "requestedBy": refund.requested_by,
        "requestedAt": time_text(refund.requested_at),
        "endedAt": time_text(refund.ended_at) if refund.ended_at else None,
        "failure": refund.failure,
        "needs": refund.needs.value if refund.needs else None,
        "cancellationId": refund.cancellation_id,
    }


def _row(order: Order) -> tuple[str, ...]:
    reason = order.reason.value if order.reason else ""
    told = (order.status.value, reason, shown(order.price), shown(order.refunded))
    return (order.id, *told, time_text(order.created_at), order.attention.why if order.attention else "")
