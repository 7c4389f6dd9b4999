"""The worker: looks at due orders, and sweeps now and then, for as long as it is let."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Any

import structlog

from application.errors import GatewayError, StoreUnavailableError
from application.look_at_due_orders import LookAtDueOrders
from application.sweep_payments import SweepPayments

_IDLE = 1.0  # seconds between two questions whether anything is due
_TROUBLED = 5.0  # seconds after the database could not be asked
_SOON = 30.0  # seconds before the first sweep: whoever was down has most to find
_GRACE = 1.5  # seconds that a look may still take once the worker is stopped

_log = structlog.get_logger("gyeolje.worker")


async def work(
    look_at_due_orders: LookAtDueOrders, stopping: asyncio.Event, *, idle: float = _IDLE, troubled: float = _TROUBLED
) -> None:
    """Look at due orders until ``stopping`` is set; looks that are under way then get a moment to finish.

    One that does not finish is cancelled, which loses nothing: its order is due again when its lease ends.
    """
    while not stopping.is_set():
        looking = asyncio.create_task(_look_once(look_at_due_orders, idle, troubled))
        await _either(looking, stopping)
        if not looking.done():
            await asyncio.wait((looking,), timeout=_GRACE)
            looking.cancel()
            await asyncio.wait((looking,))
        if not looking.cancelled() and (pause := looking.result()):
            await _is_set_within(stopping, pause)


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
        tell = _log.warning if swept.orphans else _log.info
        tell(
            "swept",
            payments=swept.payments,
            differing=swept.differing,
            orphans=swept.orphans,
            known_orphans=swept.known_orphans,
        )


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()


async def _look_once(look_at_due_orders: LookAtDueOrders, idle: float, troubled: float) -> float:
    """Look at what is due; how many seconds to wait before the next time."""
    try:
        looked = await look_at_due_orders()
    except StoreUnavailableError as error:
        _log.warning("could not lease due orders", error=str(error))
        return troubled
    except Exception:  # noqa: BLE001 - the service beside us must not end with what nobody foresaw
        _log.exception("leasing due orders broke")
        return troubled
    for look in looked:
        if look.error is not None:
            _log.error("a look broke", order=look.order_id, exc_info=look.error)
        elif look.failure is not None:
            _log.warning("a look failed and will be repeated", order=look.order_id, why=look.failure)
        else:
            _log.info("looked", order=look.order_id)
    return 0.0 if looked else idle


async def _either(task: asyncio.Task[Any], stopping: asyncio.Event) -> None:
    waiting = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
