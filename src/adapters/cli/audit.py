"""What the command line shows of an audit: where each captured won is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime

from adapters.cli.printing import (
    SHOWN_MOST,
    Progress,
    counted,
    got_to,
    money_json,
    print_json,
    print_table,
    say,
    shown,
    time_text,
)
from application.audit_payments import Audit, AuditProgress
from application.errors import GatewayError, StoreUnavailableError
from application.use_cases import UseCases
from domain.audit import Balance, Finding, FindingKind

_COLUMNS = {
    "captured": "captured",
    "completed": "on completed orders",
    "refunded": "refunded",
    "owed": "refund owed",
    "unreconciled": "not reconciled yet",
    "orphaned": "orphaned",
    "unexplained": "unexplained",
}


async def run_audit(use_cases: UseCases, *, since: datetime | None, until: datetime | None, as_json: bool) -> bool:
    """Audit, and print the balance; whether nothing is unexplained. Raises RuntimeError where it could not be done."""
    said = Progress("auditing")
    at: AuditProgress | None = None

    def progress(told: AuditProgress) -> None:
        nonlocal at
        at = told
        said.tell(got_to(told.payments, told.at))

    try:
        audit = await use_cases.audit_payments(since, until, progress)
    except (GatewayError, StoreUnavailableError) as error:
        so_far = f"it had got to {got_to(at.payments, at.at)}" if at is not None else "it had not got to anything"
        raise RuntimeError(f"{error}; {so_far}") from error
    if as_json:
        print_json(_audit_json(audit))
    else:
        _print_audit(audit)
    return audit.is_clean


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
    say(f"{payments} that last changed from {time_text(audit.since)} to {time_text(audit.until)}")
    if audit.balances:
        print_table(("", *audit.balances), _rows(audit.balances))
    heads = {
        FindingKind.UNEXPLAINED: "UNEXPLAINED: what the gateway and the orders do not both bear out",
        FindingKind.ORPHANED: "ORPHANED: payments that no order is for; whose are they?",
        FindingKind.UNRECONCILED: "not reconciled yet: moved minutes ago, and still to be checked",
    }
    for kind, head in heads.items():
        if audit.counts[kind]:
            say(f"{head} ({audit.counts[kind]:,})")
            _print_findings([finding for finding in audit.findings if finding.kind is kind])
    say("nothing is unexplained" if audit.is_clean else "something is unexplained")


def _rows(balances: Mapping[str, Balance]) -> list[tuple[str, ...]]:
    return [
        (shown_as, *(f"{getattr(balance, name):,}" for balance in balances.values()))
        for name, shown_as in _COLUMNS.items()
    ]


def _print_findings(findings: Sequence[Finding]) -> None:
    for finding in findings[:SHOWN_MOST]:
        of = f", order {finding.order_id}" if finding.order_id else ""
        say(f"  {shown(finding.amount)}, payment {finding.payment_id}{of}: {finding.why}")
    if len(findings) > SHOWN_MOST:
        say(f"  … and {len(findings) - SHOWN_MOST:,} more: --json names them")
