"""`gyeolje audit`: what it prints of what was found, how it is broken off and gone on with, and how it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import pytest
from click.testing import CliRunner, Result

from adapters.cli.commands import gyeolje
from application.audit_payments import Audit, AuditCursor, AuditProgress
from application.errors import GatewayUnavailableError
from application.use_cases import UseCases
from domain.audit import Balance, Finding, FindingKind
from domain.ids import OrderId
from domain.money import Money

T = TypeVar("T")
SINCE = datetime(2026, 11, 1, tzinfo=UTC)
UNTIL = datetime(2026, 11, 25, 9, tzinfo=UTC)
CURSOR = AuditCursor(
    since=SINCE,
    until=None,
    full=True,
    store=1,
    at=UNTIL - timedelta(days=3, microseconds=1),
    payments=1_234,
    unlisted=2,
    balances={"KRW": Balance(captured=5, unexplained=5), "USD": Balance(captured=1, completed=1)},
    counts={FindingKind.UNEXPLAINED: 1, FindingKind.OWED_LATE: 0},
)


def told(*findings: Finding, unlisted: int = 0) -> Audit:
    counts = {kind: sum(finding.kind is kind for finding in findings) for kind in FindingKind}
    balances = {"KRW": Balance(captured=30_000, completed=30_000)}
    return Audit(
        since=SINCE,
        until=UNTIL,
        payments=3,
        unlisted=unlisted,
        balances=balances,
        counts=counts,
        findings=findings,
    )


def finding(kind: FindingKind, *, payment: str | None = "p1", amount: Money | None = None) -> Finding:
    order_id = OrderId("o1") if payment else None
    return Finding(kind=kind, payment_id=payment, order_id=order_id, amount=amount, why="so it is")


class Auditor:
    """Answers as it was told to, and notes what it was asked."""

    def __init__(self, answer: Audit | GatewayUnavailableError, *progress: AuditProgress) -> None:
        self._answer = answer
        self._progress = progress
        self.asked: list[tuple[Any, ...]] = []

    async def __call__(
        self, since: Any, until: Any, progress: Callable[[AuditProgress], None], *, full: bool, resume: Any
    ) -> Audit:
        self.asked.append((since, until, full, resume))
        for step in self._progress:
            progress(step)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    def ask(self, work: Callable[[UseCases], Coroutine[Any, Any, T]], *, quiet: bool = False) -> T:
        assert quiet
        return asyncio.run(work(cast("UseCases", SimpleNamespace(audit_payments=self))))


def run(auditor: Auditor, *arguments: str) -> Result:
    return CliRunner().invoke(gyeolje, ["audit", *arguments], obj=auditor)


def test_nothing_wrong_ends_with_0_and_says_so() -> None:
    auditor = Auditor(told(finding(FindingKind.ORPHANED, amount=Money(5_000, "KRW"))))
    ended = run(auditor)
    assert ended.exit_code == 0
    assert auditor.asked == [(None, None, False, None)]
    assert "ORPHANED" in ended.stdout
    assert "5,000 KRW, payment p1, order o1: so it is" in ended.stdout
    assert ended.stdout.endswith("nothing is unexplained\n")


@pytest.mark.parametrize("kind", [kind for kind in FindingKind if kind.is_wrong])
def test_whatever_is_wrong_ends_with_1_and_is_named(kind: FindingKind) -> None:
    ended = run(Auditor(told(finding(kind))))
    assert ended.exit_code == 1
    assert "payment p1, order o1: so it is" in ended.stdout
    last = ended.stdout.splitlines()[-1]
    assert last == (
        "something is unexplained"
        if kind is FindingKind.UNEXPLAINED
        else "nothing is unexplained, and something is to be seen to"
    )


def test_a_finding_about_no_single_payment_is_its_sentence() -> None:
    ended = run(Auditor(told(finding(FindingKind.INCOMPLETE, payment=None))))
    assert "\n  so it is\n" in ended.stdout


def test_payments_that_were_in_no_list_are_counted() -> None:
    assert "2 payments of our orders the gateway did not list" in run(Auditor(told(unlisted=2))).stdout


def test_as_json_everything_is_there() -> None:
    ended = run(Auditor(told(finding(FindingKind.UNREADABLE), finding(FindingKind.INCOMPLETE, payment=None))), "--json")
    assert ended.exit_code == 1
    said = json.loads(ended.stdout)
    assert said["findings"] == [
        {"kind": "unreadable", "paymentId": "p1", "orderId": "o1", "amount": None, "why": "so it is"},
        {"kind": "incomplete", "paymentId": None, "orderId": None, "amount": None, "why": "so it is"},
    ]
    assert (said["payments"], said["unlisted"], said["counts"]["unreadable"]) == (3, 0, 1)


def test_in_full_and_from_a_given_date() -> None:
    auditor = Auditor(told())
    run(auditor, "--full", "--since", "2026-11-01")
    assert auditor.asked == [(SINCE, None, True, None)]


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_one_that_is_broken_off_tells_what_it_found_and_how_to_go_on(as_json: list[str]) -> None:
    so_far = told(finding(FindingKind.UNEXPLAINED, amount=Money(7, "KRW")))
    step = AuditProgress(payments=1_234, at=CURSOR.at, so_far=so_far, cursor=CURSOR)
    ended = run(Auditor(GatewayUnavailableError("the gateway is gone"), step), *as_json)
    assert ended.exit_code != 0
    assert "7" in ended.stdout
    said = str(ended.exception)
    assert said.startswith("the gateway is gone; it had got to 1,234 payments, up to 2026-11-22T08:59:59.999Z; ")
    cursor = said.rpartition("gyeolje audit --resume ")[2]
    if as_json:
        assert json.loads(ended.stdout)["resume"] == cursor

    again = Auditor(told())
    assert run(again, "--resume", cursor).exit_code == 0
    ((_, _, _, resumed),) = again.asked
    assert resumed == CURSOR or resumed.counts == {FindingKind.UNEXPLAINED: 1}
    assert resumed.since == CURSOR.since
    assert (resumed.at, resumed.balances, resumed.full, resumed.store) == (CURSOR.at, CURSOR.balances, True, 1)


def test_one_that_got_to_nothing_prints_nothing_but_why() -> None:
    ended = run(Auditor(GatewayUnavailableError("the gateway is gone")))
    assert (ended.stdout, str(ended.exception)) == ("", "the gateway is gone; it had not got to anything")


@pytest.mark.parametrize(
    "text", ["", "nonsense", "eJw", "eJyrVkrLz1eyUkpKLFKqBQAdegQ0", "홍길동", "A" * 9_000, "../../etc"]
)
def test_what_is_no_cursor_is_refused_in_a_sentence(text: str) -> None:
    ended = run(Auditor(told()), "--resume", text)
    assert ended.exit_code == 2
    assert "this is no cursor" in ended.output


def test_a_period_of_its_own_and_one_that_was_broken_off_are_not_for_one_audit() -> None:
    for more in (["--full"], ["--since", "1d"], ["--until", "1d"]):
        assert run(Auditor(told()), "--resume", "x", *more).exit_code == 2
