"""What the command line shows of a sweep, and of the payments that it found without an order."""

from __future__ import annotations

import asyncio
from datetime import datetime

from adapters.cli.printing import (
    SHOWN_MOST,
    Progress,
    counted,
    got_to,
    money_json,
    print_json,
    print_table,
    remark,
    say,
    shown,
    time_text,
)
from application.errors import GatewayError, StoreUnavailableError
from application.sweep_payments import SweepProgress, Swept
from application.use_cases import UseCases
from domain.ids import OrderId
from domain.sweep import Orphan

_NAMED_MOST = 1_000  # in JSON


async def run_sweep(use_cases: UseCases, *, since: datetime | None, as_json: bool) -> None:
    """Sweep, and print what was found. Raises RuntimeError where it could not be done, or not to its end."""
    differing: list[OrderId] = []
    orphans: list[Orphan] = []
    so_far: Swept | None = None

    def progress(told: SweepProgress) -> None:
        nonlocal so_far
        so_far = told.so_far
        differing.extend(told.differing[: _NAMED_MOST - len(differing)])
        orphans.extend(told.orphans[: _NAMED_MOST - len(orphans)])
        said.tell(got_to(so_far.payments, so_far.at))

    said = Progress("sweeping")
    try:
        swept = await use_cases.sweep_payments(since, progress)
    except (GatewayError, StoreUnavailableError) as error:
        raise RuntimeError(f"{error}; {_stays(so_far)}") from error
    except asyncio.CancelledError:
        remark(f"stopped; {_stays(so_far)}")
        raise
    if swept is None:
        raise RuntimeError("another sweep is under way; let it finish, or wait two minutes if it has died")
    if as_json:
        print_json(_swept_json(swept, differing, orphans))
    else:
        _print_swept(swept, differing, orphans)


async def print_orphans(use_cases: UseCases, *, limit: int, as_json: bool) -> None:
    """Print the payments that no order is for."""
    orphans = await use_cases.list_orphans(limit=limit)
    if as_json:
        print_json({"items": [_orphan_json(orphan) for orphan in orphans]})
        return
    columns = ("payment", "said", "captured", "left", "changed", "first seen", "last seen")
    print_table(columns, (_orphan_row(orphan) for orphan in orphans))


def _stays(so_far: Swept | None) -> str:
    if so_far is None:
        return "nothing was swept yet, and the next sweep begins where this one did"
    return f"{got_to(so_far.payments, so_far.at)}, swept; that stays done, and the next sweep goes on from there"


def _print_swept(swept: Swept, differing: list[OrderId], orphans: list[Orphan]) -> None:
    say(f"swept {got_to(swept.payments, swept.at)}, from {time_text(swept.since)} on")
    if swept.differing:
        differing_orders = counted(swept.differing, "order")
        say(f"{differing_orders} not in line with the gateway, and due now for the worker to check")
    else:
        say("every order is in line with its payment")
    for order_id in differing[:SHOWN_MOST]:
        say(f"  order {order_id}")
    if swept.unlisted:
        paid = counted(swept.unlisted, "order")
        say(f"{paid} paid in the last days the gateway did not list; they are checked by themselves, so many at a time")
    met = swept.orphans + swept.known_orphans
    if met:
        strangers = counted(met, "payment")
        say(f"{strangers} without an order, {swept.orphans:,} of them new: `gyeolje orphans list` has them all")
    for orphan in orphans[:SHOWN_MOST]:
        say(f"  payment {orphan.payment_id}: {orphan.said}, {shown(orphan.left)} left")


def _swept_json(swept: Swept, differing: list[OrderId], orphans: list[Orphan]) -> dict[str, object]:
    return {
        "since": time_text(swept.since),
        "at": time_text(swept.at) if swept.at else None,
        "payments": swept.payments,
        "differing": swept.differing,
        "orphans": swept.orphans,
        "knownOrphans": swept.known_orphans,
        "again": swept.again,
        "unlisted": swept.unlisted,
        "orders": list(differing),
        "items": [_orphan_json(orphan) for orphan in orphans],
    }


def _orphan_json(orphan: Orphan) -> dict[str, object]:
    return {
        "paymentId": orphan.payment_id,
        "storeId": orphan.store_id,
        "said": orphan.said,
        "captured": money_json(orphan.captured),
        "cancelled": money_json(orphan.cancelled),
        "changedAt": time_text(orphan.changed_at) if orphan.changed_at else None,
        "firstSeenAt": time_text(orphan.first_seen_at),
        "lastSeenAt": time_text(orphan.last_seen_at),
    }


def _orphan_row(orphan: Orphan) -> tuple[str, ...]:
    changed = time_text(orphan.changed_at) if orphan.changed_at else ""
    money = (shown(orphan.captured), shown(orphan.left))
    return (
        orphan.payment_id,
        orphan.said,
        *money,
        changed,
        *map(time_text, (orphan.first_seen_at, orphan.last_seen_at)),
    )
