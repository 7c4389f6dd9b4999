"""Money that an operator gives back, or keeps after all."""

from __future__ import annotations

import secrets

import rich_click as click

from adapters.cli.orders import OPERATOR, refund_json
from adapters.cli.printing import print_json, remark, say, shown
from application.ports import RefundAccount
from application.refund_order import RefundOrderCommand, WithdrawRefundCommand
from application.use_cases import UseCases
from domain.ids import OrderId, RefundId
from domain.money import Money
from domain.refund import Refund


async def request_refund(
    use_cases: UseCases,
    order_id: str,
    *,
    amount: int | None,
    reason: str,
    account: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Ask money back. Raises OrderNotFoundError, RefundNotPossibleError and IdempotencyKeyReusedError."""
    record = await use_cases.show_order(OrderId(order_id))
    key = key or secrets.token_hex(16)
    remark(f"to ask for this very refund again, say --key {key}")
    command = RefundOrderCommand(
        order_id=record.order.id,
        amount=None if amount is None else Money(amount, record.order.refundable.currency),
        reason=reason,
        requested_by=OPERATOR,
        idempotency_key=key,
        account=None if account is None else _account(account),
    )
    _print(await use_cases.refund_order(command), as_json=as_json)


async def withdraw(use_cases: UseCases, order_id: str, refund_id: str, *, as_json: bool) -> None:
    """Withdraw a refund. Raises OrderNotFoundError, RefundNotFoundError and RefundNotPossibleError."""
    command = WithdrawRefundCommand(order_id=OrderId(order_id), refund_id=RefundId(refund_id), by=OPERATOR)
    _print(await use_cases.withdraw_refund(command), as_json=as_json)


def _account(said: str) -> RefundAccount:
    parts = [part.strip() for part in said.split(":")]
    if len(parts) != len(("bank", "number", "holder")) or not all(parts):
        raise click.BadParameter("write BANK:NUMBER:HOLDER, such as KAKAO:3333012345678:홍길동", param_hint="--to")
    return RefundAccount(bank=parts[0], number=parts[1], holder=parts[2])


def _print(refund: Refund, *, as_json: bool) -> None:
    if as_json:
        print_json(refund_json(refund))
        return
    say(
        f"refund {refund.id} of {shown(refund.amount)}: {refund.status}"
        + (f", {refund.failure}" if refund.failure else "")
    )
