"""A person has seen to what an order asked about."""

from __future__ import annotations

from dataclasses import dataclass

from application.errors import OrderNotFoundError
from application.ports import Clock, OrderNotifier, Store
from application.transact import record, retrying
from domain.ids import OrderId
from domain.order import Order
from domain.reconciliation import end_attention


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerAttentionCommand:
    """``by`` names whoever has seen to it, ``note`` says how; both stand in the history for good."""

    order_id: OrderId
    by: str
    note: str


class AnswerAttention:
    """End what an order asks a person about; it is checked at once, and asks again if it still has to.

    Raises OrderNotFoundError, and NothingToAnswerError where it asks for nobody.
    """

    def __init__(self, store: Store, notifier: OrderNotifier, clock: Clock) -> None:
        self._store = store
        self._notifier = notifier
        self._clock = clock

    async def __call__(self, command: AnswerAttentionCommand) -> Order:
        """The order as it is stored then."""
        order = await retrying(lambda: self._answer(command))
        await self._notifier.publish(order.id)
        return order

    async def _answer(self, command: AnswerAttentionCommand) -> Order:
        async with self._store.reading() as unit:
            order = await unit.orders.by_id(command.order_id)
        if order is None:
            raise OrderNotFoundError(f"there is no order {command.order_id!r}")
        answered = end_attention(order, by=command.by, note=command.note, now=self._clock())
        async with self._store.writing() as unit:
            stored = await record(unit, order, answered)
            await unit.commit()
        return stored
