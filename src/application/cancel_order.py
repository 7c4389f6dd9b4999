"""The buyer gives up an order that was not paid. The gateway is asked first: it may have been."""

from __future__ import annotations

from contextlib import suppress

from application.errors import GatewayError
from application.ports import PaymentGateway
from application.read_order import ReadOrder
from application.reconcile_order import ReconcileOrder
from domain.errors import OrderNotCancellableError
from domain.ids import OrderId
from domain.lifecycle import OrderStatus
from domain.order import Order


class CancelOrder:
    """Cancel a buyer's PENDING order; cancelling a CANCELLED one again changes nothing.

    Raises OrderNotFoundError, OrderNotCancellableError where it is paid or may be about to be, and
    GatewayUnavailableError where the gateway cannot say.
    """

    def __init__(self, read_order: ReadOrder, gateway: PaymentGateway, reconcile: ReconcileOrder) -> None:
        self._read_order = read_order
        self._gateway = gateway
        self._reconcile = reconcile

    async def __call__(self, order_id: OrderId, token: str) -> Order:
        """The order, CANCELLED."""
        order = await self._read_order(order_id, token)
        if order.status is OrderStatus.PENDING:
            payment = await self._gateway.get(order.payment_id)
            reconciled = await self._reconcile(order, payment, give_up=True)
            order = reconciled.order
            if reconciled.close_account and payment is not None:
                with suppress(GatewayError):  # later checks see the open account and close it
                    await self._gateway.close_virtual_account(order.payment_id, payment.store_id)
        if order.status is OrderStatus.CANCELLED:
            return order
        if order.status is OrderStatus.COMPLETED:
            raise OrderNotCancellableError("this order is paid; ask the shop for a refund")
        raise OrderNotCancellableError("a payment for this order is being worked on; try again in a minute")
