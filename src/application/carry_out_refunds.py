"""Where money really goes back: each refund is asked for in words that were written down first, and at most once."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from application.errors import GatewayDeniedError, GatewayError, GatewayRefusedError, OrderNotFoundError, Refusal
from application.ports import CancelPayment, Clock, PaymentGateway, RefundAccount, Store, UnitOfWork
from application.reconcile_order import ReconcileOrder
from application.transact import keep, retrying
from domain.ids import OrderId
from domain.order import Order
from domain.payment import CancellationStatus, Payment
from domain.reconciliation import doubt_refund, refuse_refund
from domain.refund import Need, Refund, RefundStatus, known_names
from domain.revision import Reconciliation

_Decide = Callable[[Order, Refund, Collection[Refund]], Reconciliation]
"""What becomes of an order and one of its refunds, and which are the others."""

_NEEDS = {Refusal.TAX_PART: Need.TAX_PART, Refusal.NEVER: Need.NOTHING}


class CarryOutRefunds:
    """Ask the gateway for every refund that is owed and that its record does not show yet, one after the other.

    What will be asked is committed before it is asked: whoever goes on after a death asks the very same, under the
    same Idempotency-Key. The answer to a cancellation is never believed on its own, but for the name it gives: the
    gateway's record is read again and reconciled by. Raises GatewayError where the outcome is not known; the next
    check starts from the record again.
    """

    def __init__(self, store: Store, gateway: PaymentGateway, reconcile: ReconcileOrder, clock: Clock) -> None:
        self._store = store
        self._gateway = gateway
        self._reconcile = reconcile
        self._clock = clock

    async def __call__(self, order: Order, payment: Payment, *, account: RefundAccount | None = None) -> None:
        """Carry out what ``order`` owes, as far as ``payment``, the gateway's record, has it left.

        ``account`` is where the money of a refund that needs an account goes back to.
        """
        failure: GatewayError | None = None
        for refund in await self._requested(order):
            if refund.needs is Need.WORD or (refund.needs is Need.ACCOUNT and account is None):
                continue  # a person has to say; or whoever asked has the account, which is kept nowhere
            if refund.found_in(payment) is not None or not payment.has_left(refund.amount):
                continue  # the record shows it, or is an old one, or a later check will find it impossible
            try:
                named = account if refund.needs is Need.ACCOUNT else None
                read = await self._carry_out(order, refund, payment, named)
            except GatewayDeniedError:
                raise
            except GatewayError as error:  # another time it may work; the refunds behind it need not wait
                failure = error
                continue
            if read is None:
                return
            payment = read
            current = await self._current(order)
            reconciled = await self._reconcile(current, payment, on_schedule=current.check_at == order.check_at)
            if reconciled.is_stale:
                return
            order = reconciled.order
        if failure is not None:
            raise failure

    async def _carry_out(
        self, order: Order, refund: Refund, payment: Payment, account: RefundAccount | None
    ) -> Payment | None:
        """The gateway's record after one refund was asked for; None where it cannot be gone on."""
        try:
            return await self._ask(order, refund, payment, account)
        except GatewayRefusedError as refused:
            if refused.kind is Refusal.MOVED:
                return await self._ask_anew(order, refund, account)
            await self._refused(order, refund, payment, refused)
            return await self._gateway.get(order.payment_id)

    async def _ask(
        self, order: Order, refund: Refund, payment: Payment, account: RefundAccount | None, *, moved: bool = False
    ) -> Payment | None:
        sent = await self._write_down(order, refund, payment, moved=moved)
        if sent is None:
            return payment
        done = await self._gateway.cancel(_request(order, sent, payment, account))
        await self._note(order.id, lambda current, kept, _: _answered(current, kept, done.id), refund)
        read = await self._gateway.get(order.payment_id)
        if read is not None and done.status is CancellationStatus.FAILED:
            return read.including(done)
        return read

    async def _ask_anew(self, order: Order, refund: Refund, account: RefundAccount | None) -> Payment | None:
        """What is left is another sum than we said: read it, and ask once more, by what is left now."""
        read = await self._gateway.get(order.payment_id)
        if read is None or refund.found_in(read) is not None or not read.has_left(refund.amount):
            return read
        return await self._ask(order, refund, read, account, moved=True)

    async def _refused(self, order: Order, refund: Refund, payment: Payment, refused: GatewayRefusedError) -> None:
        """End a refund that can never be done as it is. Raises the refusal where another time it may work."""
        needs = _NEEDS.get(refused.kind)
        if refused.kind is Refusal.MALFORMED:
            needs = Need.ACCOUNT if payment.by_account else Need.NOTHING
        if needs is None:
            raise refused
        why, now = refused.code, self._clock()
        await self._note(order.id, lambda current, kept, _: refuse_refund(current, kept, why, needs, now), refund)

    async def _write_down(self, order: Order, refund: Refund, payment: Payment, *, moved: bool) -> Refund | None:
        """Commit what will be asked; None where nobody can tell whether it was done already, and a person is asked."""
        sent: Refund | None = None

        def decide(current: Order, kept: Refund, others: Collection[Refund]) -> Reconciliation:
            nonlocal sent
            now = self._clock()
            request = kept.next_request(payment, _key(kept), now, taken=known_names(others), moved=moved)
            if request is None:
                sent = None
                return doubt_refund(current, kept, now)
            sent = replace(kept, sent=request)
            return Reconciliation(order=current, refunds=(sent,))

        await self._note(order.id, decide, refund)
        return sent

    async def _note(self, order_id: OrderId, decide: _Decide, refund: Refund) -> None:
        """Commit what ``decide`` makes of the refund as it stands, unless it has come to its end meanwhile."""

        async def once() -> None:
            async with self._store.writing() as unit:
                order = await _order(unit, order_id)
                refunds = {kept.id: kept for kept in await unit.refunds.of_order(order_id)}
                kept = refunds.pop(refund.id)
                if kept.status is RefundStatus.REQUESTED:
                    await keep(unit, order, decide(order, kept, refunds.values()))
                    await unit.commit()

        await retrying(once)

    async def _current(self, order: Order) -> Order:
        """The order as it is stored by now: each refund that is written down gives it another version."""
        async with self._store.reading() as unit:
            return await _order(unit, order.id)

    async def _requested(self, order: Order) -> list[Refund]:
        async with self._store.reading() as unit:
            refunds = await unit.refunds.of_order(order.id)
        return [refund for refund in refunds if refund.status is RefundStatus.REQUESTED]


async def _order(unit: UnitOfWork, order_id: OrderId) -> Order:
    order = await unit.orders.by_id(order_id)
    if order is None:
        raise OrderNotFoundError(f"there is no order {order_id}")
    return order


def _key(refund: Refund) -> str:
    """An Idempotency-Key that no other request has: the refund's own name, and a number from the second one on."""
    return f"{refund.id}-{refund.sent.times + 1}" if refund.sent else refund.id


def _answered(order: Order, refund: Refund, cancellation_id: str) -> Reconciliation:
    return Reconciliation(order=order, refunds=(refund.answered(cancellation_id),))


def _request(order: Order, refund: Refund, payment: Payment, account: RefundAccount | None) -> CancelPayment:
    sent = refund.sent
    assert sent is not None  # noqa: S101 - narrowing: it was just written down
    return CancelPayment(
        payment_id=order.payment_id,
        store_id=payment.store_id,
        refund_id=refund.id,
        key=sent.key,
        amount=sent.amount,
        tax_free=sent.tax_free,
        left=sent.left,
        reason=refund.reason,
        account=account,
    )
