"""What the command line does about the gateway's records: sweep, list orphans, audit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import datetime

import click

from adapters.cli.operator import counted, money_json, print_json, print_table, shown, time_text
from application.audit_payments import Audit, AuditProgress
from application.errors import GatewayError, StoreUnavailableError
from application.sweep_payments import SweepProgress, Swept
from application.use_cases import UseCases
from bootstrap.container import Container
from bootstrap.settings import Settings
from domain.audit import Balance, Finding, FindingKind
from domain.ids import OrderId
from domain.sweep import Orphan

_NAMED_MOST = 1_000  # in JSON
_SHOWN_MOST = 20  # on a screen
_COLUMNS = {
    "captured": "captured",
    "completed": "on completed orders",
    "refunded": "refunded",
    "owed": "refund owed",
    "unreconciled": "not reconciled yet",
    "orphaned": "orphaned",
    "unexplained": "unexplained",
}


async def run_sweep(settings: Settings, *, since: datetime | None, as_json: bool) -> None:
    """Sweep, and print what was found. Raises RuntimeError where it could not be done, or not to its end."""
    differing: list[OrderId] = []
    orphans: list[Orphan] = []
    so_far: Swept | None = None

    def progress(told: SweepProgress) -> None:
        nonlocal so_far
        so_far = told.so_far
        differing.extend(told.differing[: _NAMED_MOST - len(differing)])
        orphans.extend(told.orphans[: _NAMED_MOST - len(orphans)])
        said.tell(_got_to(so_far))

    said = _Progress("sweeping")
    async with _opened(settings) as use_cases:
        try:
            swept = await use_cases.sweep_payments(since, progress)
        except (GatewayError, StoreUnavailableError) as error:
            raise RuntimeError(f"{error}; {_stays(so_far)}") from error
        except asyncio.CancelledError:
            click.echo(f"stopped; {_stays(so_far)}", err=True)
            raise
    if swept is None:
        raise RuntimeError("another sweep is under way; let it finish, or wait two minutes if it has died")
    if as_json:
        print_json(_swept_json(swept, differing, orphans))
    else:
        _print_swept(swept, differing, orphans)


async def run_audit(settings: Settings, *, since: datetime | None, until: datetime | None, as_json: bool) -> bool:
    """Audit, and print the balance; whether nothing is unexplained. Raises RuntimeError where it could not be done."""
    said = _Progress("auditing")
    at: AuditProgress | None = None

    def progress(told: AuditProgress) -> None:
        nonlocal at
        at = told
        said.tell(_got_to(told))

    async with _opened(settings) as use_cases:
        try:
            audit = await use_cases.audit_payments(since, until, progress)
        except (GatewayError, StoreUnavailableError) as error:
            got_to = f"it had got to {_got_to(at)}" if at is not None else "it had not got to anything"
            raise RuntimeError(f"{error}; {got_to}") from error
    if as_json:
        print_json(_audit_json(audit))
    else:
        _print_audit(audit)
    return audit.is_clean


async def print_orphans(settings: Settings, *, limit: int, as_json: bool) -> None:
    """Print the payments that no order is for."""
    async with _opened(settings) as use_cases:
        orphans = await use_cases.list_orphans(limit=limit)
    if as_json:
        print_json({"items": [_orphan_json(orphan) for orphan in orphans]})
        return
    columns = ("payment", "said", "captured", "left", "changed", "first seen", "last seen")
    print_table(columns, (_orphan_row(orphan) for orphan in orphans))


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[UseCases]:
    """The use cases over a database that is left as it is, schema and all."""
    container = Container(settings=settings)
    try:
        await container.store().check()
        yield container.use_cases()
    finally:
        await container.gateway_client().aclose()
        await container.engine().dispose()


class _Progress:
    """Says on standard error how far it is: on a screen in one line, elsewhere in one every few seconds."""

    _APART = 2.0

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._last = time.monotonic()

    def tell(self, got_to: str) -> None:
        now = time.monotonic()
        if now - self._last < self._APART:
            return
        self._last = now
        click.echo(f"{self._doing}: {got_to}", err=True)


def _got_to(so_far: Swept | AuditProgress) -> str:
    up_to = f", up to {time_text(so_far.at)}" if so_far.at is not None else ""
    return f"{counted(so_far.payments, 'payment')}{up_to}"


def _stays(so_far: Swept | None) -> str:
    if so_far is None:
        return "nothing was swept yet, and the next sweep begins where this one did"
    return f"{_got_to(so_far)}, swept; that stays done, and the next sweep goes on from there"


def _print_swept(swept: Swept, differing: list[OrderId], orphans: list[Orphan]) -> None:
    click.echo(f"swept {_got_to(swept)}, from {time_text(swept.since)} on")
    if swept.differing:
        differing_orders = counted(swept.differing, "order")
        click.echo(f"{differing_orders} not in line with the gateway, and due now for the worker to check")
    else:
        click.echo("every order is in line with its payment")
    for order_id in differing[:_SHOWN_MOST]:
        click.echo(f"  order {order_id}")
    met = swept.orphans + swept.known_orphans
    if met:
        strangers = counted(met, "payment")
        click.echo(f"{strangers} without an order, {swept.orphans:,} of them new: `gyeolje orphans list` has them all")
    for orphan in orphans[:_SHOWN_MOST]:
        click.echo(f"  payment {orphan.payment_id}: {orphan.said}, {shown(orphan.left)} left")


def _swept_json(swept: Swept, differing: list[OrderId], orphans: list[Orphan]) -> dict[str, object]:
    return {
        "since": time_text(swept.since),
        "at": time_text(swept.at) if swept.at else None,
        "payments": swept.payments,
        "differing": swept.differing,
        "orphans": swept.orphans,
        "knownOrphans": swept.known_orphans,
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


def _audit_json(audit: Audit) -> dict[str, object]:
    return {
        "since": time_text(audit.since),
        "until": time_text(audit.until),
        "payments": audit.payments,
        "balances": {currency: asdict(balance) for currency, balance in audit.balances.items()},
        "counts": {kind.value: count for kind, count in audit.counts.items()},
        "findings": [_finding_json(finding) for finding in audit.findings],
    }


def _finding_json(finding: Finding) -> dict[str, object]:
    return {
        "kind": finding.kind.value,
        "paymentId": finding.payment_id,
        "orderId": finding.order_id,
        "amount": money_json(finding.amount),
        "why": finding.why,
    }


def _print_audit(audit: Audit) -> None:
    payments = counted(audit.payments, "payment")
    click.echo(f"{payments} that last changed from {time_text(audit.since)} to {time_text(audit.until)}")
    if audit.balances:
        print_table(("", *audit.balances), _rows(audit.balances))
    heads = {
        FindingKind.UNEXPLAINED: "UNEXPLAINED: what the gateway and the orders do not both bear out",
        FindingKind.ORPHANED: "ORPHANED: payments that no order is for; whose are they?",
        FindingKind.UNRECONCILED: "not reconciled yet: moved minutes ago, and still to be checked",
    }
    for kind, head in heads.items():
        if audit.counts[kind]:
            click.echo(f"{head} ({audit.counts[kind]:,})")
            _print_findings([finding for finding in audit.findings if finding.kind is kind])
    click.echo("nothing is unexplained" if audit.is_clean else "something is unexplained")


def _rows(balances: Mapping[str, Balance]) -> list[tuple[str, ...]]:
    return [
        (shown_as, *(f"{getattr(balance, name):,}" for balance in balances.values()))
        for name, shown_as in _COLUMNS.items()
    ]


def _print_findings(findings: list[Finding]) -> None:
    for finding in findings[:_SHOWN_MOST]:
        of = f", order {finding.order_id}" if finding.order_id else ""
        click.echo(f"  {shown(finding.amount)}, payment {finding.payment_id}{of}: {finding.why}")
    if len(findings) > _SHOWN_MOST:
        click.echo(f"  … and {len(findings) - _SHOWN_MOST:,} more: --json names them")
