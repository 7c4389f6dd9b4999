"""One way to write: a unit of work that is run again where somebody else was faster, and what one writes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from application.errors import ConflictError
from application.ports import UnitOfWork
from domain.order import Order
from domain.revision import Reconciliation

T = TypeVar("T")

_ATTEMPTS = 8
_PAUSE = 0.01  # seconds, doubled each time and spread over its whole length


async def retrying(work: Callable[[], Awaitable[T]]) -> T:
    """Run ``work``, a whole unit of work, again while it raises ConflictError; the last one is raised as it is."""
    for attempt in range(_ATTEMPTS - 1):
        try:
            return await work()
        except ConflictError:
            await asyncio.sleep(random.random() * _PAUSE * 2**attempt)  # noqa: S311 - a spread, not a secret
    return await work()


async def record(unit: UnitOfWork, before: Order, reconciliation: Reconciliation) -> Order:
    """Write all that ``reconciliation`` changed of ``before``; the order as it is stored then.

    That is ``before`` itself, and nothing is written, where nothing changed.
    """
    return before if reconciliation.order == before else await keep(unit, before, reconciliation)


async def keep(unit: UnitOfWork, before: Order, reconciliation: Reconciliation) -> Order:
    """The same, and the order is saved even where nothing of it changed: so only one of two who do this at once may.

    History goes first: the database takes no changed order without the entry that tells of it.
    """
    order = reconciliation.order
    if reconciliation.entries:
        await unit.history.append(reconciliation.entries)
    await unit.orders.save(order)
    for refund in reconciliation.refunds:
        await unit.refunds.save(refund)
    if reconciliation.restock:
        for line in sorted(order.lines, key=lambda line: line.product_id):
            if line.held:
                await unit.catalog.release(line.product_id, line.held)
    return replace(order, version=before.version + 1)
