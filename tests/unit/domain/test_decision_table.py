"""The decision table, cell by cell: order × what the gateway says × match × expired × refund outstanding.

The expectations are data. A row speaks for every cell it names, each cell has exactly one row, and no cell is left out.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from domain.decision import decide
from domain.errors import RefundNotPossibleError
from domain.ids import OrderId, PaymentId, ProductId, RefundId
from domain.lifecycle import CancelReason, OrderStatus
from domain.money import Money
from domain.order import Observed, Order, OrderLine
from domain.payment import Payment, PaymentStatus, Shop
from domain.reconciliation import place, reconcile, request_refund
from domain.refund import Refund, RefundStatus
from domain.revision import Reconciliation

PLACED = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
EXPIRES = PLACED + timedelta(minutes=15)
DEPOSIT_DUE = EXPIRES + timedelta(hours=1)
IN_TIME, TOO_LATE = PLACED + timedelta(minutes=1), DEPOSIT_DUE + timedelta(hours=1)
SHOP = Shop(store_id="store-ours", channel_type="LIVE")
OUTSTANDING = RefundId("0" * 32)
FRESH = RefundId("f" * 32)


@dataclass(frozen=True, kw_only=True)
class Cell:
    order: str
    gateway: str
    match: str
    expired: bool
    outstanding: bool


ORDERS = ("PENDING", "COMPLETED", "EXPIRED", "ABANDONED", "MISMATCH", "REFUNDED", "PAYMENT_CANCELLED")
GATEWAY = (
    "nothing",
    "READY",
    "PAY_PENDING",
    "VIRTUAL_ACCOUNT_ISSUED",
    "PAID",
    "FAILED",
    "PARTIAL_CANCELLED",
    "CANCELLED",
    "SOMETHING_NEW",
)
MATCHES = ("same", "id", "store", "channel", "amount", "currency", "no store", "no channel", "new channel")
CELLS = [
    Cell(order=order, gateway=gateway, match=match, expired=expired, outstanding=outstanding)
    for order, gateway, match, expired, outstanding in itertools.product(
        ORDERS, GATEWAY, MATCHES, (False, True), (False, True)
    )
]


@dataclass(frozen=True, kw_only=True)
class Row:
    """Which cells, and what becomes of the order in them. None in a question means any answer."""

    order: str
    says: str
    match: str | None = None
    expired: bool | None = None
    outstanding: bool | None = None

    status: str
    reason: str | None = None
    writes: str = ""
    refunded: str = "0 KRW"
    owed: str = "0 KRW"
    due: str | None = None
    flag: bool = False
    check: Literal["rest", "later", "now"]
    restock: bool = False
    close: bool = False

    def speaks_for(self, cell: Cell) -> bool:
        return (
            cell.order in self.order.split()
            and cell.gateway in self.says.split()
            and (self.match is None or cell.match in self.match.split(", "))
            and self.expired in (None, cell.expired)
            and self.outstanding in (None, cell.outstanding)
        )


DEFINITE = "id, store, channel, no store, no channel"  # the sum is right, something else is not
WHO = f"{DEFINITE}, new channel"  # or nobody can tell: a type of channel that we do not know
SUM = "amount, currency"
RIGHT_SUM = f"same, {WHO}"
UNPAID = "READY FAILED PAY_PENDING"


def pending() -> list[Row]:
    def row(says: str, **rest: object) -> Row:
        return Row(order="PENDING", says=says, outstanding=False, **rest)  # type: ignore[arg-type]

    cancelled, given_back = {"status": "CANCELLED", "restock": True}, "observed cancelled refund_requested"
    return [
        row("nothing", expired=False, status="PENDING", check="later"),
        row("READY FAILED", expired=False, status="PENDING", check="later", writes="observed"),
        row("nothing", expired=True, **cancelled, reason="EXPIRED", check="later", writes="cancelled"),
        row("READY FAILED", expired=True, **cancelled, reason="EXPIRED", check="later", writes="observed cancelled"),
        row("PAY_PENDING", status="PENDING", check="later", writes="observed"),
        row("VIRTUAL_ACCOUNT_ISSUED", expired=False, status="PENDING", check="later", writes="observed"),
        row(
            "VIRTUAL_ACCOUNT_ISSUED",
            expired=True,
            **cancelled,
            reason="EXPIRED",
            check="later",
            writes="observed cancelled",
            close=True,
        ),
        row("PAID", match="same", status="COMPLETED", check="rest", writes="observed completed"),
        row(
            "PARTIAL_CANCELLED",
            match="same",
            status="COMPLETED",
            check="rest",
            writes="observed completed",
            refunded="400 KRW",
        ),
        *(
            row(
                says,
                match=match,
                **cancelled,
                reason="MISMATCH",
                check="now",
                writes=given_back,
                refunded=refunded,
                owed=due,
                due=due,
            )
            for says, match, refunded, due in (
                ("PAID", DEFINITE, "0 KRW", "1000 KRW"),
                ("PAID", "amount", "0 KRW", "900 KRW"),
                ("PAID", "currency", "0 USD", "1000 USD"),
                ("PARTIAL_CANCELLED", DEFINITE, "400 KRW", "600 KRW"),
                ("PARTIAL_CANCELLED", "amount", "400 KRW", "500 KRW"),
                ("PARTIAL_CANCELLED", "currency", "400 USD", "600 USD"),
            )
        ),
        *(
            row(
                "CANCELLED",
                match=match,
                **cancelled,
                reason="PAYMENT_CANCELLED",
                check="rest",
                writes="observed cancelled",
                refunded=refunded,
                owed=f"0 {refunded[-3:]}",
            )
            for match, refunded in ((RIGHT_SUM, "1000 KRW"), ("amount", "900 KRW"), ("currency", "1000 USD"))
        ),
        *(
            row(
                says,
                match="new channel",
                status="PENDING",
                check="later",
                writes="observed attention",
                refunded=refunded,
                flag=True,
            )
            for says, refunded in (("PAID", "0 KRW"), ("PARTIAL_CANCELLED", "400 KRW"))
        ),
        row("SOMETHING_NEW", status="PENDING", check="later", writes="observed attention", flag=True),
    ]


def completed() -> list[Row]:
    rows: list[Row] = []
    for outstanding, owed, check in ((False, "0 KRW", "rest"), (True, "300 KRW", "later")):

        def row(
            says: str, *, outstanding: bool = outstanding, owed: str = owed, check: str = check, **rest: object
        ) -> Row:
            given = {"status": "COMPLETED", "owed": owed, "check": check} | rest
            return Row(order="COMPLETED", says=says, outstanding=outstanding, **given)  # type: ignore[arg-type]

        ended = "observed refund_failed cancelled" if outstanding else "observed cancelled"
        rows += [
            row("PAID", match="same"),
            row("PAID", match=f"{WHO}, {SUM}", writes="attention", flag=True),
            row("PARTIAL_CANCELLED", match="same", writes="observed", refunded="400 KRW"),
            row("PARTIAL_CANCELLED", match=WHO, writes="observed attention", refunded="400 KRW", flag=True),
            row("PARTIAL_CANCELLED CANCELLED", match=SUM, writes="observed attention", flag=True),
            row(
                "CANCELLED",
                match=RIGHT_SUM,
                status="CANCELLED",
                reason="REFUNDED",
                writes=ended,
                refunded="1000 KRW",
                owed="0 KRW",
                check="rest",
                restock=True,
            ),
            row("nothing", writes="attention", flag=True),
            row(f"{UNPAID} VIRTUAL_ACCOUNT_ISSUED", writes="observed attention", flag=True),
            row("SOMETHING_NEW", writes="observed attention", flag=True, check="later"),
        ]
    return rows


def cancelled_unpaid() -> list[Row]:
    """EXPIRED and ABANDONED as they usually are: nobody had paid."""
    rows: list[Row] = []
    for reason in ("EXPIRED", "ABANDONED"):

        def row(says: str, *, reason: str = reason, **rest: object) -> Row:
            given = {"status": "CANCELLED", "reason": reason, "check": "later"} | rest
            return Row(order=reason, says=says, outstanding=False, **given)  # type: ignore[arg-type]

        rows += [
            row("nothing"),
            row(UNPAID, writes="observed"),
            row("VIRTUAL_ACCOUNT_ISSUED", writes="observed", close=True),
            *(
                row(
                    says,
                    match=match,
                    writes="observed refund_requested",
                    refunded=refunded,
                    owed=due,
                    due=due,
                    check="now",
                )
                for says, match, refunded, due in (
                    ("PAID", RIGHT_SUM, "0 KRW", "1000 KRW"),
                    ("PAID", "amount", "0 KRW", "900 KRW"),
                    ("PAID", "currency", "0 USD", "1000 USD"),
                    ("PARTIAL_CANCELLED", RIGHT_SUM, "400 KRW", "600 KRW"),
                    ("PARTIAL_CANCELLED", "amount", "400 KRW", "500 KRW"),
                    ("PARTIAL_CANCELLED", "currency", "400 USD", "600 USD"),
                )
            ),
            *(
                row(
                    "CANCELLED",
                    match=match,
                    writes="observed",
                    refunded=refunded,
                    owed=f"0 {refunded[-3:]}",
                    check="rest",
                )
                for match, refunded in ((RIGHT_SUM, "1000 KRW"), ("amount", "900 KRW"), ("currency", "1000 USD"))
            ),
            row("SOMETHING_NEW", writes="observed attention", flag=True),
        ]
    return rows


def cancelled_with_all_money_on_its_way_back() -> list[Row]:
    """Late money or a mismatch: 1000 KRW were taken, and 1000 KRW are asked back."""
    rows: list[Row] = []
    for reason in ("EXPIRED", "ABANDONED", "MISMATCH"):

        def row(says: str, *, reason: str = reason, **rest: object) -> Row:
            given = {"status": "CANCELLED", "reason": reason, "owed": "1000 KRW", "check": "later"} | rest
            return Row(order=reason, says=says, outstanding=True, **given)  # type: ignore[arg-type]

        rows += [
            row("nothing"),
            row(UNPAID, writes="observed"),
            row("VIRTUAL_ACCOUNT_ISSUED", writes="observed", close=True),
            row("PAID", match=RIGHT_SUM),
            row("PAID", match=SUM, writes="attention", flag=True),
            row(
                "PARTIAL_CANCELLED",
                match=RIGHT_SUM,
                writes="observed refund_failed refund_requested attention",
                refunded="400 KRW",
                owed="600 KRW",
                due="600 KRW",
                flag=True,
            ),
            row("PARTIAL_CANCELLED CANCELLED", match=SUM, writes="observed attention", flag=True),
            row(
                "CANCELLED",
                match=RIGHT_SUM,
                writes="observed refund_failed",
                refunded="1000 KRW",
                owed="0 KRW",
                check="rest",
            ),
            row("SOMETHING_NEW", writes="observed attention", flag=True),
        ]
    return rows


def cancelled_with_all_money_back() -> list[Row]:
    """1000 KRW were taken, 1000 KRW went back, and one payment is never taken twice: nothing can come any more."""
    rows: list[Row] = []
    for reason in ("MISMATCH", "REFUNDED", "PAYMENT_CANCELLED"):

        def row(says: str, *, reason: str = reason, **rest: object) -> Row:
            given = {"status": "CANCELLED", "reason": reason, "refunded": "1000 KRW", "check": "rest"} | rest
            return Row(order=reason, says=says, outstanding=False, **given)  # type: ignore[arg-type]

        rows += [
            row("nothing"),
            row(UNPAID, writes="observed"),
            row("VIRTUAL_ACCOUNT_ISSUED", writes="observed", close=True),
            row("PAID PARTIAL_CANCELLED", match=RIGHT_SUM, writes="observed"),
            row("PAID PARTIAL_CANCELLED", match=SUM, writes="observed attention", flag=True),
            row("CANCELLED", match=RIGHT_SUM),
            row("CANCELLED", match=SUM, writes="attention", flag=True),
            row("SOMETHING_NEW", writes="observed attention", flag=True, check="later"),
        ]
    return rows


def cancelled_with_a_rest_on_its_way_back() -> list[Row]:
    """Of 1000 KRW, 700 went back and the gateway said CANCELLED; 300 are still asked back."""
    rows: list[Row] = []
    for reason in ("REFUNDED", "PAYMENT_CANCELLED"):

        def row(says: str, *, reason: str = reason, **rest: object) -> Row:
            usual = {
                "status": "CANCELLED",
                "reason": reason,
                "check": "later",
                "refunded": "700 KRW",
                "owed": "300 KRW",
            }
            return Row(order=reason, says=says, outstanding=True, **(usual | rest))  # type: ignore[arg-type]

        rows += [
            row("nothing"),
            row(UNPAID, writes="observed"),
            row("VIRTUAL_ACCOUNT_ISSUED", writes="observed", close=True),
            row("PAID PARTIAL_CANCELLED", match=RIGHT_SUM, writes="observed"),
            row("PAID PARTIAL_CANCELLED", match=SUM, writes="observed attention", flag=True),
            row(
                "CANCELLED",
                match=RIGHT_SUM,
                writes="observed refund_failed",
                refunded="1000 KRW",
                owed="0 KRW",
                check="rest",
            ),
            row("CANCELLED", match=SUM, writes="attention", flag=True),
            row("SOMETHING_NEW", writes="observed attention", flag=True),
        ]
    return rows


TABLE = [
    *pending(),
    *completed(),
    *cancelled_unpaid(),
    *cancelled_with_all_money_on_its_way_back(),
    *cancelled_with_all_money_back(),
    *cancelled_with_a_rest_on_its_way_back(),
]

# --- the cells, made -------------------------------------------------------------------------------------------


def krw(minor: int) -> Money:
    return Money(minor, "KRW")


def order_in(cell: Cell) -> Order:
    placed = place(
        order_id=OrderId("a" * 32),
        payment_id=PaymentId("p" * 32),
        token_hash="0" * 64,
        lines=[OrderLine(product_id=ProductId("seat"), name="VIP 1열 1번", quantity=1, price=krw(1000))],
        now=PLACED,
        expires_at=EXPIRES,
    ).order
    if cell.order == "PENDING":
        return placed
    paid = replace(placed, captured=krw(1000), observed=seen("PAID"), check_at=PLACED if cell.outstanding else None)
    if cell.order == "COMPLETED":
        return replace(paid, status=OrderStatus.COMPLETED, owed=krw(300 if cell.outstanding else 0))
    ended = replace(paid, status=OrderStatus.CANCELLED, reason=CancelReason(cell.order))
    if cell.outstanding and cell.order in ("REFUNDED", "PAYMENT_CANCELLED"):
        return replace(ended, observed=seen("CANCELLED"), refunded=krw(700), owed=krw(300))
    if cell.outstanding:
        return replace(ended, owed=krw(1000))
    if cell.order in ("EXPIRED", "ABANDONED"):
        return replace(ended, captured=None, observed=None, check_at=PLACED)
    return replace(ended, observed=seen("CANCELLED"), refunded=krw(1000))


def seen(said: str) -> Observed:
    return Observed(said=said, attempt="attempt-1", changed_at=PLACED, updated_at=PLACED)


def payment_in(cell: Cell) -> Payment | None:
    if cell.gateway == "nothing":
        return None
    total = Money(900 if cell.match == "amount" else 1000, "USD" if cell.match == "currency" else "KRW")
    cancelled = {"PARTIAL_CANCELLED": 400, "CANCELLED": total.minor}.get(cell.gateway, 0)
    return Payment(
        id="q" * 32 if cell.match == "id" else "p" * 32,
        status=PaymentStatus.UNKNOWN if cell.gateway == "SOMETHING_NEW" else PaymentStatus(cell.gateway),
        said=cell.gateway,
        total=total,
        cancelled=Money(cancelled, total.currency),
        store_id={"store": "store-theirs", "no store": None}.get(cell.match, "store-ours"),
        channel_type={"channel": "TEST", "no channel": None, "new channel": "SANDBOX"}.get(cell.match, "LIVE"),
        attempt="attempt-1",
        changed_at=IN_TIME,
        updated_at=IN_TIME,
        deposit_due=DEPOSIT_DUE if cell.gateway == "VIRTUAL_ACCOUNT_ISSUED" else None,
    )


def differing(cell: Cell) -> str:
    return cell.match.split()[-1]


def reconciled(cell: Cell) -> tuple[Reconciliation, datetime]:
    order, now = order_in(cell), TOO_LATE if cell.expired else IN_TIME
    refund = Refund(
        id=OUTSTANDING,
        order_id=order.id,
        amount=order.owed,
        reason="asked before",
        requested_by="somebody",
        requested_at=PLACED,
    )
    reconciliation = reconcile(
        order, payment_in(cell), shop=SHOP, now=now, refund_id=FRESH, refunds=[refund] if cell.outstanding else []
    )
    return reconciliation, now


def outcome(cell: Cell, row: Row) -> tuple[Row, dict[str, tuple[str, str]]]:
    """The row, filled in with what really happened, and what became of each refund that was touched."""
    reconciliation, now = reconciled(cell)
    order = reconciliation.order
    due = [refund for refund in reconciliation.refunds if refund.id == FRESH]
    assert all(refund.status is RefundStatus.REQUESTED for refund in due)
    found = replace(
        row,
        status=order.status.value,
        reason=order.reason and order.reason.value,
        writes=" ".join(entry.kind.value for entry in reconciliation.entries).replace("payment_observed", "observed"),
        refunded=str(order.refunded),
        owed=str(order.owed),
        due=str(due[0].amount) if due else None,
        flag=order.attention is not None,
        check="rest" if order.check_at is None else "now" if order.check_at == now else "later",
        restock=reconciliation.restock,
        close=reconciliation.close_account,
    )
    return found, {refund.id: (refund.status.value, str(refund.amount)) for refund in reconciliation.refunds}


def impossible(cell: Cell) -> bool:
    """A refund of what was never taken; ``test_nothing_can_be_refunded_while_pending`` says why there is none."""
    return cell.order == "PENDING" and cell.outstanding


def test_the_product_is_whole_and_every_cell_has_exactly_one_row() -> None:
    assert len(set(CELLS)) == 7 * 9 * 9 * 2 * 2 == 2268
    assert sum(map(impossible, CELLS)) == 9 * 9 * 2 == 162
    rows = Counter(sum(row.speaks_for(cell) for row in TABLE) for cell in CELLS if not impossible(cell))
    assert rows == {1: 2106}
    assert not [cell for cell in CELLS if impossible(cell) and any(row.speaks_for(cell) for row in TABLE)]
    assert all(any(row.speaks_for(cell) for cell in CELLS) for row in TABLE)
    assert set(PaymentStatus) == {*GATEWAY, "UNKNOWN"} - {"nothing", "SOMETHING_NEW"}
    assert {"PENDING", "COMPLETED", *CancelReason} == set(ORDERS)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("gateway", GATEWAY)
def test_each_cell_becomes_what_its_row_says(order: str, gateway: str) -> None:
    cells = [cell for cell in CELLS if (cell.order, cell.gateway) == (order, gateway) and not impossible(cell)]
    assert len(cells) == (18 if order == "PENDING" else 36)
    for cell in cells:
        (row,) = [row for row in TABLE if row.speaks_for(cell)]
        found, refunds = outcome(cell, row)
        assert found == row, cell
        expected = {FRESH: ("REQUESTED", row.due)} if row.due else {}
        if "refund_failed" in row.writes:
            expected[OUTSTANDING] = ("FAILED", str(order_in(cell).owed))
        assert refunds == expected, cell


@pytest.mark.parametrize("cell", [cell for cell in CELLS if not impossible(cell) and cell.gateway != "nothing"])
def test_every_cell_says_which_fields_differ_where_it_is_a_mismatch(cell: Cell) -> None:
    reconciliation, _ = reconciled(cell)
    cancelled = [entry for entry in reconciliation.entries if entry.kind == "cancelled"]
    named = [entry.data.get("differs") for entry in cancelled if entry.reason is CancelReason.MISMATCH]
    paid = cell.order == "PENDING" and cell.gateway in ("PAID", "PARTIAL_CANCELLED")
    mismatch = paid and cell.match not in ("same", "new channel")
    assert named == ([[differing(cell)]] if mismatch else [])


@pytest.mark.parametrize("order", ORDERS)
def test_every_decision_says_how_the_order_stands_afterwards_and_where_the_payment_differs(order: str) -> None:
    for cell in (cell for cell in CELLS if cell.order == order and not impossible(cell)):
        reconciliation, now = reconciled(cell)
        decision = decide(order_in(cell), payment_in(cell), SHOP, now, give_up=False)
        assert (decision.status, decision.reason) == (reconciliation.order.status, reconciliation.order.reason), cell
        compared = cell.gateway in ("PAID", "PARTIAL_CANCELLED") and (
            order == "PENDING" or (order == "COMPLETED" and cell.match not in ("amount", "currency"))
        )
        expected = (differing(cell),) if compared and cell.match != "same" else ()
        assert decision.differs == expected, cell


def test_nothing_can_be_refunded_while_pending() -> None:
    order = order_in(Cell(order="PENDING", gateway="PAID", match="same", expired=False, outstanding=False))
    with pytest.raises(RefundNotPossibleError):
        request_refund(order, krw(1), refund_id=FRESH, reason="", requested_by="somebody", now=IN_TIME)
