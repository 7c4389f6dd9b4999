"""The worker: checks due orders, and sweeps now and then, for as long as it is let."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Any

import structlog

from application.check_due_orders import CheckDueOrders
from application.errors import GatewayError, StoreUnavailableError
from application.sweep_payments import SweepPayments

_IDLE = 1.0  # seconds between two questions whether anything is due
_TROUBLED = 5.0  # seconds after the database could not be asked
_SOON = 30.0  # seconds before the first sweep: whoever was down has most to find
_GRACE = 1.5  # seconds that a check may still take once the worker is stopped

_log = structlog.get_logger("gyeolje.worker")


async def work(
    check_due_orders: CheckDueOrders, stopping: asyncio.Event, *, idle: float = _IDLE, troubled: float = _TROUBLED
) -> None:
    """Check due orders until ``stopping`` is set; checks that are under way then get a moment to finish.

    One that does not finish is cancelled, which loses nothing: its order is due again when its lease ends.
    """
    while not stopping.is_set():
        checking = asyncio.create_task(_check_once(check_due_orders, idle, troubled))
        await _either(checking, stopping)
        if not checking.done():
            await asyncio.wait((checking,), timeout=_GRACE)
            checking.cancel()
            await asyncio.wait((checking,))
        if not checking.cancelled() and (pause := checking.result()):
            await _is_set_within(stopping, pause)
    await check_due_orders.finish(_GRACE)


async def keep_sweeping(sweep_payments: SweepPayments, stopping: asyncio.Event, *, every: float) -> None:
    """Sweep about every ``every`` seconds until ``stopping`` is set, never twice at once; the first time, soon.

    A sweep under way is then cancelled, which loses nothing: the next one goes on from there.
    """
    pause = min(every, _SOON)
    while not await _is_set_within(stopping, pause * random.uniform(0.9, 1.1)):  # noqa: S311 - a spread, not a secret
        sweeping = asyncio.create_task(_sweep_once(sweep_payments))
        await _either(sweeping, stopping)
        sweeping.cancel()
        await asyncio.wait((sweeping,))
        pause = every


async def _sweep_once(sweep_payments: SweepPayments) -> None:
    try:
        swept = await sweep_payments()
    except (GatewayError, StoreUnavailableError) as error:
        _log.warning("a sweep failed and will be gone on with", error=str(error))
    except Exception:  # noqa: BLE001 - whatever it was, the next sweep may work
        _log.exception("a sweep broke")
    else:
        if swept is None:
            _log.info("another process is sweeping")
            return
        tell = _log.warning if swept.orphans or swept.unlisted else _log.info
        tell(
            "swept",
            payments=swept.payments,
            differing=swept.differing,
            orphans=swept.orphans,
            known_orphans=swept.known_orphans,
            again=swept.again,
            unlisted=swept.unlisted,
        )


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()


async def _check_once(check_due_orders: CheckDueOrders, idle: float, troubled: float) -> float:
    """Check what is due; how many seconds to wait before the next time."""
    try:
        checked = await check_due_orders()
    except StoreUnavailableError as error:
        _log.warning("could not lease due orders", error=str(error))
        return troubled
    except Exception:  # noqa: BLE001 - the service beside us must not end with what nobody foresaw
        _log.exception("leasing due orders broke")
        return troubled
    for check in checked:
        if check.error is not None:
            _log.error("a check broke", order=check.order_id, exc_info=check.error)
        elif check.failure is not None:
            _log.warning("a check failed and will be repeated", order=check.order_id, why=check.failure)
        else:
            _log.info("checked", order=check.order_id)
    return 0.0 if checked else idle


async def _either(task: asyncio.Task[Any], stopping: asyncio.Event) -> None:
    waiting = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
