"""What changed at the gateway, a batch at a time, so that however much there is, little is held."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from application.errors import GatewayError
from application.ports import PaymentGateway
from domain.payment import Payment


class Changes:
    """A listing under way. What was read before the gateway could not go on is handed out before that is raised."""

    def __init__(self, payments: AsyncIterator[Payment], batch: int) -> None:
        self._payments = payments
        self._batch = batch
        self._failure: GatewayError | None = None

    async def next(self) -> list[Payment]:
        """The next batch; fewer payments at the end, and then none. Raises GatewayError."""
        if self._failure is not None:
            raise self._failure
        batch: list[Payment] = []
        try:
            async for payment in self._payments:
                batch.append(payment)
                if len(batch) == self._batch:
                    break
        except GatewayError as error:
            self._failure = error
            if not batch:
                raise
        return batch


@asynccontextmanager
async def changes_at(gateway: PaymentGateway, since: datetime, until: datetime, batch: int) -> AsyncIterator[Changes]:
    """The payments that changed from ``since`` to ``until``, the earliest change first, until the context is left."""
    payments = gateway.changed_since(since, until)
    try:
        yield Changes(payments, batch)
    finally:
        close = getattr(payments, "aclose", None)  # a generator's: it may hold a page, and an open request
        if close is not None:
            await close()
