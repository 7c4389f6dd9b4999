"""Bring one order in line with what the gateway said. Every way into the lifecycle ends here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from application.errors import OrderNotFoundError
from application.ports import Clock, NewId, OrderNotifier, Store, UnitOfWork
from application.transact import record, retrying
from domain.ids import OrderId, RefundId
from domain.order import Order
from domain.payment import Payment, PaymentStatus, Shop
from domain.policy import Policy
from domain.reconciliation import check_failed, reconcile
from domain.revision import Reconciliation
from domain.schedule import LAGGING
from domain.webhook_event import WebhookEvent

_Decide = Callable[[UnitOfWork, Order], Awaitable[Reconciliation]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """How reconciling ended. ``duplicate``: the webhook event was there before, so nothing was done.

    ``is_stale``: the record knew less than the order, so nothing may be concluded from it.
    """

    order: Order
    close_account: bool = False
    duplicate: bool = False
    is_stale: bool = False


class ReconcileOrder:
    """Commit what an observation, or the lack of one, makes of an order: all of it at once, or nothing.

    ``order`` may have been read long before: it is saved only if nobody changed it since, else read and decided again.
    """

    def __init__(
        self,
        store: Store,
        notifier: OrderNotifier,
        clock: Clock,
        new_id: NewId,
        shop: Shop,
        *,
        policy: Policy | None = None,
    ) -> None:
        self._store = store
        self._notifier = notifier
        self._clock = clock
        self._new_id = new_id
        self._shop = shop
        self._policy = policy or Policy()

    async def __call__(
        self,
        order: Order,
        payment: Payment | None,
        *,
        give_up: bool = False,
        on_schedule: bool = False,
        event: WebhookEvent | None = None,
    ) -> Reconciled:
        """Reconcile ``order`` by the gateway's record; with ``event``, keep that webhook event in the same commit.

        ``on_schedule`` marks the check that ``order`` was due for; any other finds the next one where it was, or
        nearer. What somebody planned since ``order`` was read stands: it may know what this record does not show.
        """

        async def decide(unit: UnitOfWork, current: Order) -> Reconciliation:
            refunds = await unit.refunds.of_order(current.id) if current.owed else ()
            reconciliation = reconcile(
                current,
                payment,
                shop=self._shop,
                now=self._clock(),
                refund_id=RefundId(self._new_id()),
                policy=self._policy,
                announces_more=_announces_more(event, payment),
                refunds=refunds,
                give_up=give_up,
                on_schedule=on_schedule and current.check_at == order.check_at,
            )
            return self._check_again_if_lagging(reconciliation, payment, event)

        return await self._commit(order, decide, event, outcome="reconciled")

    async def later(self, order: Order, *, event: WebhookEvent) -> Reconciled:
        """Keep ``event`` and have the order checked now, by whoever checks due orders."""

        async def decide(_: UnitOfWork, current: Order) -> Reconciliation:
            now = self._clock()
            announced = (
                current if not _tells_of_money(event) else replace(current, announced_at=current.announced_at or now)
            )
            return Reconciliation(order=announced.check_by(now))

        return await self._commit(order, decide, event, outcome="stored")

    async def failed(self, order: Order, why: str) -> Reconciled:
        """Remember that checking ``order`` failed, so that it is checked again, less and less often.

        An order that came to rest since stays at rest.
        """

        async def decide(_: UnitOfWork, current: Order) -> Reconciliation:
            now = self._clock()
            failed, plan = check_failed(current, why, now), current.check_at
            if plan is None or plan <= now or plan == order.check_at:
                return failed
            return replace(failed, order=failed.order.check_by(plan))  # somebody knows more, and planned it meanwhile

        return await self._commit(order, decide, None, outcome="")

    async def _commit(self, order: Order, decide: _Decide, event: WebhookEvent | None, *, outcome: str) -> Reconciled:
        known: list[Order] = [order]

        async def once() -> tuple[Reconciled, bool]:
            current = known.pop() if known else await self._read(order.id)
            async with self._store.writing() as unit:
                if event is not None and not await unit.inbox.add(event, outcome=outcome, received_at=self._clock()):
                    return Reconciled(order=current, duplicate=True), False
                reconciliation = await decide(unit, current)
                stored = await record(unit, current, reconciliation)
                if event is not None or stored is not current:
                    await unit.commit()
            reconciled = Reconciled(
                order=stored, close_account=reconciliation.close_account, is_stale=reconciliation.is_stale
            )
            return reconciled, bool(reconciliation.entries)

        reconciled, is_news = await retrying(once)
        if is_news:
            await self._notifier.publish(order.id)
        return reconciled

    async def _read(self, order_id: OrderId) -> Order:
        async with self._store.reading() as unit:
            order = await unit.orders.by_id(order_id)
        if order is None:
            raise OrderNotFoundError(f"there is no order {order_id}")
        return order

    def _check_again_if_lagging(
        self, reconciliation: Reconciliation, payment: Payment | None, event: WebhookEvent | None
    ) -> Reconciliation:
        if event is None or event.is_shown_by(payment):
            return reconciliation
        soon = self._clock() + LAGGING  # no sooner either: a check that is due now would read the same, and be the last
        return replace(reconciliation, order=replace(reconciliation.order, check_at=soon))


_MONEY = frozenset(
    {
        PaymentStatus.PAY_PENDING,
        PaymentStatus.VIRTUAL_ACCOUNT_ISSUED,
        PaymentStatus.PAID,
        PaymentStatus.PARTIAL_CANCELLED,
    }
)
"""What a webhook may tell of that keeps an order from expiring until the record shows it."""


def _tells_of_money(event: WebhookEvent) -> bool:
    return bool(event.implies & _MONEY)


def _announces_more(event: WebhookEvent | None, payment: Payment | None) -> bool | None:
    """Whether ``event`` tells of money that the record does not show; None where it says nothing of money."""
    if payment is not None and payment.captured is not None:
        return False
    if event is None or not _tells_of_money(event):
        return None
    return payment is None or payment.status not in event.implies
