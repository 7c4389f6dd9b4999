"""What the command line shows of an audit: where each captured won is."""

from __future__ import annotations

import asyncio
import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import rich_click as click

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
from application.audit_payments import Audit, AuditCursor, AuditProgress
from application.errors import GatewayError, StoreUnavailableError
from application.use_cases import UseCases
from domain.audit import Balance, Finding, FindingKind

_CURSOR_MOST = 100_000  # characters of what stands in a cursor
_CURSOR_APART = 60.0  # seconds

_COLUMNS = {
    "captured": "captured",
    "completed": "on completed orders",
    "refunded": "refunded",
    "owed": "refund owed",
    "by_hand": "to be given back by hand",
    "unreconciled": "not reconciled yet",
    "orphaned": "orphaned",
    "unexplained": "unexplained",
}


def read_cursor(text: str | None) -> AuditCursor | None:
    """Where an audit that was broken off goes on, by what it printed. Raises BadParameter."""
    try:
        return _read_cursor(text) if text is not None else None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        why = "this is no cursor: copy all of what the audit that was broken off has printed"
        raise click.BadParameter(why, param_hint="--resume") from error


async def run_audit(
    use_cases: UseCases,
    *,
    since: datetime | None,
    until: datetime | None,
    full: bool,
    resume: AuditCursor | None,
    as_json: bool,
) -> bool:
    """Audit, and print the balance; whether nothing is wrong. Raises RuntimeError where it could not be done."""
    said, said_where = Progress("auditing"), Progress("to go on from here", apart=_CURSOR_APART)
    at: AuditProgress | None = None

    def progress(told: AuditProgress) -> None:
        nonlocal at
        at = told
        said.tell(got_to(told.payments, told.at))
        said_where.tell(_how_to_go_on(told.cursor))

    try:
        audit = await use_cases.audit_payments(since, until, progress, full=full, resume=resume)
    except (GatewayError, StoreUnavailableError) as error:
        raise RuntimeError(f"{error}; {_break_off(at, as_json=as_json)}") from error
    except asyncio.CancelledError:
        remark(f"stopped; {_break_off(at, as_json=as_json)}")
        raise
    if as_json:
        print_json(_audit_json(audit))
    else:
        _print_audit(audit)
    return audit.is_clean


def _break_off(at: AuditProgress | None, *, as_json: bool) -> str:
    """Print what was found until then, and say how to go on."""
    if at is None:
        return "it had not got to anything"
    if as_json:
        print_json(_audit_json(at.so_far) | {"resume": _cursor_text(at.cursor)})
    else:
        say("so far, and no further:")
        _print_audit(at.so_far)
    return f"it had got to {got_to(at.payments, at.at)}; to go on from there: {_how_to_go_on(at.cursor)}"


def _how_to_go_on(cursor: AuditCursor) -> str:
    return f"gyeolje audit --resume {_cursor_text(cursor)}"


def _cursor_text(cursor: AuditCursor) -> str:
    told = {
        "since": cursor.since.isoformat(),
        "until": cursor.until.isoformat() if cursor.until is not None else None,
        "full": cursor.full,
        "store": cursor.store,
        "at": cursor.at.isoformat() if cursor.at is not None else None,
        "payments": cursor.payments,
        "unlisted": cursor.unlisted,
        "balances": {currency: asdict(balance) for currency, balance in cursor.balances.items()},
        "counts": {kind.value: count for kind, count in cursor.counts.items() if count},
    }
    packed = zlib.compress(json.dumps(told, separators=(",", ":")).encode())
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def _read_cursor(text: str) -> AuditCursor:
    """What ``_cursor_text`` made. Raises ValueError, KeyError, TypeError or AttributeError for anything else."""
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        told = json.loads(zlib.decompressobj().decompress(packed, _CURSOR_MOST))
    except zlib.error as error:
        raise ValueError("not packed") from error
    moments = [datetime.fromisoformat(told[name]) if told[name] else None for name in ("since", "until", "at")]
    since, until, at = (moment.astimezone(UTC) if moment is not None else None for moment in moments)
    if since is None:
        raise ValueError("no beginning")
    return AuditCursor(
        since=since,
        until=until,
        full=bool(told["full"]),
        store=int(told["store"]),
        at=at,
        payments=int(told["payments"]),
        unlisted=int(told["unlisted"]),
        balances={
            currency: Balance(**{name: int(sum_) for name, sum_ in sums.items()})
            for currency, sums in told["balances"].items()
        },
        counts={FindingKind(kind): int(count) for kind, count in told["counts"].items()},
    )


def _audit_json(audit: Audit) -> dict[str, object]:
    return {
        "since": time_text(audit.since),
        "until": time_text(audit.until),
        "payments": audit.payments,
        "unlisted": audit.unlisted,
        "balances": {currency: _balance_json(balance) for currency, balance in audit.balances.items()},
        "counts": {kind.value: count for kind, count in audit.counts.items()},
        "findings": [_finding_json(finding) for finding in audit.findings],
    }


def _balance_json(balance: Balance) -> dict[str, int]:
    sums: dict[str, int] = asdict(balance)
    return {"byHand" if name == "by_hand" else name: sum_ for name, sum_ in sums.items()}


def _finding_json(finding: Finding) -> dict[str, object]:
    return {
        "kind": finding.kind.value,
        "paymentId": finding.payment_id,
        "orderId": finding.order_id,
        "amount": money_json(finding.amount) if finding.amount is not None else None,
        "why": finding.why,
    }


def _print_audit(audit: Audit) -> None:
    payments = counted(audit.payments, "payment")
    say(f"{payments} that last changed from {time_text(audit.since)} to {time_text(audit.until)}")
    if audit.unlisted:
        say(f"{counted(audit.unlisted, 'payment')} of our orders the gateway did not list, and told of when asked")
    if audit.balances:
        print_table(("", *audit.balances), _rows(audit.balances))
    for kind, head in _HEADS.items():
        if audit.counts[kind]:
            say(f"{head} ({audit.counts[kind]:,})")
            _print_findings([finding for finding in audit.findings if finding.kind is kind])
    if audit.is_clean:
        say("nothing is unexplained")
    elif audit.counts[FindingKind.UNEXPLAINED]:
        say("something is unexplained")
    else:
        say("nothing is unexplained, and something is to be seen to")


_HEADS = {
    FindingKind.UNEXPLAINED: "UNEXPLAINED: what the gateway and the orders do not both bear out",
    FindingKind.UNREADABLE: "UNREADABLE: the gateway has a record, and nobody can read it",
    FindingKind.INCOMPLETE: "INCOMPLETE: the gateway counts other payments than it lists",
    FindingKind.UNMATCHED: "UNMATCHED: refunds and cancellations that are not each other's",
    FindingKind.OWED_LATE: "OWED LATE: refunds that are not done after a day",
    FindingKind.UNANSWERED: "UNANSWERED: refunds that wait for a person",
    FindingKind.ORPHANED: "ORPHANED: payments that no order is for; whose are they?",
    FindingKind.UNRECONCILED: "not reconciled yet: about to be checked",
}


def _rows(balances: Mapping[str, Balance]) -> list[tuple[str, ...]]:
    return [
        (shown_as, *(f"{getattr(balance, name):,}" for balance in balances.values()))
        for name, shown_as in _COLUMNS.items()
    ]


def _print_findings(findings: Sequence[Finding]) -> None:
    for finding in findings[:SHOWN_MOST]:
        amount = f"{shown(finding.amount)}, " if finding.amount is not None else ""
        of = f", order {finding.order_id}" if finding.order_id else ""
        about = f"{amount}payment {finding.payment_id}{of}: " if finding.payment_id is not None else ""
        say(f"  {about}{finding.why}")
    if len(findings) > SHOWN_MOST:
        say(f"  … and {len(findings) - SHOWN_MOST:,} more: --json names them")
