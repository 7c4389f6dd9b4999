"""The decision table, cell by cell: order × what the gateway says × match × time × refund outstanding.

The expectations are data. A row speaks for every cell it names, each cell has exactly one row, and no cell is left out.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest

from domain.decision import decide
from domain.errors import RefundNotPossibleError
from domain.ids import OrderId, PaymentId, ProductId, RefundId
from domain.knowledge import knows_less
from domain.lifecycle import CancelReason, OrderStatus
from domain.money import Money
from domain.order import Observed, Order, OrderLine
from domain.payment import Cancellation, CancellationStatus, Payment, PaymentStatus, Shop
from domain.policy import Policy
from domain.reconciliation import place, reconcile, request_refund
from domain.refund import Refund, RefundStatus
from domain.revision import Reconciliation

PLACED = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
EXPIRES = PLACED + timedelta(minutes=15)
DEPOSIT_DUE = EXPIRES + timedelta(hours=1)
ANNOUNCED = PLACED + timedelta(minutes=10)
IN_TIME = PLACED + timedelta(minutes=1)
NOW = {
    "in time": IN_TIME,
    "in grace": EXPIRES + timedelta(seconds=29),
    "late": EXPIRES + timedelta(minutes=5),  # and within every bound: of the deposit, what was announced, under way
    "past all": EXPIRES + timedelta(hours=25),
}
POLICY = Policy(deposit_within=timedelta(hours=2))
SHOP = Shop(store_id="store-ours", channel_type="LIVE")
OUTSTANDING = RefundId("0" * 32)
FRESH = RefundId("f" * 32)


@dataclass(frozen=True, kw_only=True)
class Cell:
    order: str
    gateway: str
    match: str
    when: str
    outstanding: bool


UNPAID_ORDERS = ("PENDING", "ANNOUNCED", "ACCOUNT", "UNDER_WAY")  # of the last two, that much was seen before
ORDERS = (
    *UNPAID_ORDERS,
    "COMPLETED",
    "EXPIRED",
    "ABANDONED",
    "MISMATCH",
    "REFUNDED",
    "PAYMENT_CANCELLED",
    "CHARGED_BACK",
)
GATEWAY = (
    "nothing",
    "READY",
    "PAY_PENDING",
    "VIRTUAL_ACCOUNT_ISSUED",
    "PAID",
    "DISPUTED",  # PAID, and the buyer denies it
    "FAILED",
    "PARTIAL_CANCELLED",
    "PARTLY_CHARGED_BACK",  # PARTIAL_CANCELLED by the card network
    "CANCELLED",
    "CHARGED_BACK",  # CANCELLED by the card network
    "SOMETHING_NEW",
)
STATUSES = {"DISPUTED": "PAID", "PARTLY_CHARGED_BACK": "PARTIAL_CANCELLED", "CHARGED_BACK": "CANCELLED"}
MATCHES = ("same", "id", "store", "channel", "amount", "currency", "no store", "no channel", "new channel")
CELLS = [
    Cell(order=order, gateway=gateway, match=match, when=when, outstanding=outstanding)
    for order, gateway, match, when, outstanding in itertools.product(ORDERS, GATEWAY, MATCHES, NOW, (False, True))
]


@dataclass(frozen=True, kw_only=True)
class Row:
    """Which cells, and what becomes of the order in them. None in a question means any answer."""

    order: str
    says: str
    match: str | None = None
    when: str | None = None
    outstanding: bool | None = None

    status: str
    reason: str | None = None
    writes: str = ""
    refunded: str = "0 KRW"
    owed: str = "0 KRW"
    due: str | None = None
    asks: str | None = None
    check: Literal["rest", "later", "now"]
    restock: bool = False
    close: bool = False

    def speaks_for(self, cell: Cell) -> bool:
        return (
            cell.order in self.order.split()
            and cell.gateway in self.says.split()
            and (self.match is None or cell.match in self.match.split(", "))
            and (self.when is None or cell.when in self.when.split(", "))
            and self.outstanding in (None, cell.outstanding)
        )


DEFINITE = "id, store, channel, no store, no channel"  # the sum is right, something else is not
WHO = f"{DEFINITE}, new channel"  # or nobody can tell: a type of channel that we do not know
SUM = "amount, currency"
OTHER = f"{DEFINITE}, {SUM}"
RIGHT_SUM = f"same, {WHO}"
UNPAID = "READY FAILED PAY_PENDING"
PARTLY, ALL = "PARTIAL_CANCELLED PARTLY_CHARGED_BACK", "CANCELLED CHARGED_BACK"
BUYERS_TIME = "in time, in grace"
WITHIN_BOUNDS = f"{BUYERS_TIME}, late"


def pending() -> list[Row]:
    """Unpaid: how long an order waits, by what was announced, seen before, or is said now."""

    def row(order: str, says: str, **rest: object) -> Row:
        return Row(order=order, says=says, outstanding=False, **rest)  # type: ignore[arg-type]

    waits = {"status": "PENDING", "check": "later"}
    expired = {"status": "CANCELLED", "reason": "EXPIRED", "restock": True, "check": "later"}
    unlike = {"status": "CANCELLED", "reason": "MISMATCH", "restock": True, "check": "later"}
    patient, any_unpaid = "ANNOUNCED ACCOUNT UNDER_WAY", " ".join(UNPAID_ORDERS)
    strange = {"asks": "unknown_channel"}
    rows = [
        row("PENDING", "nothing", when=BUYERS_TIME, **waits),
        row("PENDING", "nothing", when="late, past all", **expired, writes="cancelled"),
        row(patient, "nothing", when=WITHIN_BOUNDS, **waits),
        row(patient, "nothing", when="past all", **expired, writes="cancelled"),
        row("ACCOUNT", "READY PAY_PENDING", **waits),  # less than was seen: ignored
        row("UNDER_WAY", "READY", **waits),
        row("PENDING", "READY FAILED", when=BUYERS_TIME, **waits, writes="observed"),
        row("PENDING", "READY FAILED", when="late, past all", **expired, writes="observed cancelled"),
        row("ANNOUNCED", "READY FAILED", when=WITHIN_BOUNDS, **waits, writes="observed"),
        row("ANNOUNCED", "READY FAILED", when="past all", **expired, writes="observed cancelled"),
        row("ACCOUNT UNDER_WAY", "FAILED", when=BUYERS_TIME, **waits, writes="observed"),
        row("ACCOUNT UNDER_WAY", "FAILED", when="late, past all", **expired, writes="observed cancelled"),
    ]
    for order, news in (("PENDING ANNOUNCED", "observed"), ("UNDER_WAY", "")):
        rows += [
            row(order, "PAY_PENDING", when=BUYERS_TIME, **waits, writes=news),
            row(
                order,
                "PAY_PENDING",
                when="late",
                match="same",
                **waits,
                writes=f"{news} attention".strip(),
                asks="pending_long",
            ),
            row(
                order,
                "PAY_PENDING",
                when="late",
                match="new channel",
                **waits,
                writes=f"{news} attention".strip(),
                **strange,
            ),
            row(
                order,
                "PAY_PENDING",
                when="past all",
                match="same, new channel",
                **expired,
                writes=f"{news} cancelled".strip(),
            ),
            row(
                order,
                "PAY_PENDING",
                when="late, past all",
                match=OTHER,
                **unlike,
                writes=f"{news} cancelled".strip(),
            ),
        ]
    for order, news in (("PENDING ANNOUNCED UNDER_WAY", "observed"), ("ACCOUNT", "")):
        issued = "VIRTUAL_ACCOUNT_ISSUED"
        rows += [
            row(order, issued, when=WITHIN_BOUNDS, match="same", **waits, writes=news),
            row(
                order,
                issued,
                when=WITHIN_BOUNDS,
                match="new channel",
                **waits,
                writes=f"{news} attention".strip(),
                **strange,
            ),
            row(
                order,
                issued,
                when="past all",
                match="same, new channel",
                **expired,
                writes=f"{news} cancelled".strip(),
                close=True,
            ),
            row(order, issued, match=OTHER, **unlike, writes=f"{news} cancelled".strip(), close=True),
        ]
    return [*rows, *paid(any_unpaid)]


def paid(order: str) -> list[Row]:
    """Money was taken: it does not matter when, nor what was known before."""

    def row(says: str, **rest: object) -> Row:
        return Row(order=order, says=says, outstanding=False, **rest)  # type: ignore[arg-type]

    cancelled, given_back = {"status": "CANCELLED", "restock": True}, "cancelled refund_requested"
    done = {"status": "COMPLETED", "check": "rest"}
    return [
        row("PAID", match="same", **done, writes="observed completed"),
        row("DISPUTED", match="same", **done, writes="observed disputed completed attention", asks="disputed"),
        row(
            PARTLY,
            match="same",
            **done,
            writes="observed completed attention",
            refunded="400 KRW",
            asks="part_gone_first",
        ),
        *(
            row(
                says,
                match=match,
                **cancelled,
                reason="MISMATCH",
                check="now",
                writes=f"{news} {given_back}",
                refunded=refunded,
                owed=due,
                due=due,
            )
            for says, news, match, refunded, due in (
                ("PAID", "observed", DEFINITE, "0 KRW", "1000 KRW"),
                ("PAID", "observed", "amount", "0 KRW", "900 KRW"),
                ("PAID", "observed", "currency", "0 USD", "1000 USD"),
                ("DISPUTED", "observed disputed", DEFINITE, "0 KRW", "1000 KRW"),
                ("DISPUTED", "observed disputed", "amount", "0 KRW", "900 KRW"),
                ("DISPUTED", "observed disputed", "currency", "0 USD", "1000 USD"),
                (PARTLY, "observed", DEFINITE, "400 KRW", "600 KRW"),
                (PARTLY, "observed", "amount", "400 KRW", "500 KRW"),
                (PARTLY, "observed", "currency", "400 USD", "600 USD"),
            )
        ),
        *(
            row(
                ALL,
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
                writes=f"{news} attention",
                refunded=refunded,
                asks="unknown_channel",
            )
            for says, news, refunded in (
                ("PAID", "observed", "0 KRW"),
                ("DISPUTED", "observed disputed", "0 KRW"),
                (PARTLY, "observed", "400 KRW"),
            )
        ),
        row("SOMETHING_NEW", status="PENDING", check="later", writes="observed attention", asks="unknown_status"),
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
        all_back: dict[str, Any] = {"status": "CANCELLED", "refunded": "1000 KRW", "owed": "0 KRW", "check": "rest"}
        another: dict[str, Any] = {"check": "later", "asks": "different_payment"}
        contradiction: dict[str, Any] = {"check": "later", "asks": "contradiction"}
        rows += [
            row("PAID", match="same"),
            row("PAID", match=WHO, **another, writes="attention"),
            row("PAID DISPUTED", match=SUM, **contradiction, writes="attention"),
            row("DISPUTED", match="same", writes="disputed attention", asks="disputed"),
            row("DISPUTED", match=WHO, **another, writes="disputed attention"),
            row("PARTIAL_CANCELLED", match="same", writes="observed", refunded="400 KRW"),
            row(
                "PARTLY_CHARGED_BACK",
                match="same",
                writes="observed attention",
                refunded="400 KRW",
                asks="charged_back",
            ),
            row(PARTLY, match=WHO, **another, writes="observed attention", refunded="400 KRW"),
            row(f"{PARTLY} {ALL}", match=SUM, **contradiction, writes="observed attention"),
            row("CANCELLED", match=RIGHT_SUM, **all_back, reason="REFUNDED", writes=ended, restock=True),
            row(
                "CHARGED_BACK",
                match=RIGHT_SUM,
                **all_back,
                reason="CHARGED_BACK",
                writes=f"{ended} attention",
                asks="charged_back",
            ),
            row("nothing", **contradiction, writes="attention"),
            row(f"{UNPAID} VIRTUAL_ACCOUNT_ISSUED", **contradiction, writes="observed attention"),
            row("SOMETHING_NEW", writes="observed attention", asks="unknown_status", check="later"),
        ]
    return rows


def account_still_open(row: Callable[..., Row], **rest: object) -> list[Row]:
    """It should have been closed long ago, and after a day a person is asked why it is not."""
    issued = "VIRTUAL_ACCOUNT_ISSUED"
    return [
        row(issued, when=WITHIN_BOUNDS, writes="observed", close=True, **rest),
        row(issued, when="past all", writes="observed attention", asks="contradiction", close=True, **rest),
    ]


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
            *account_still_open(row),
            *(
                row(
                    says,
                    match=match,
                    writes=f"{news} refund_requested",
                    refunded=refunded,
                    owed=due,
                    due=due,
                    check="now",
                )
                for says, news, match, refunded, due in (
                    ("PAID", "observed", RIGHT_SUM, "0 KRW", "1000 KRW"),
                    ("PAID", "observed", "amount", "0 KRW", "900 KRW"),
                    ("PAID", "observed", "currency", "0 USD", "1000 USD"),
                    ("DISPUTED", "observed disputed", RIGHT_SUM, "0 KRW", "1000 KRW"),
                    ("DISPUTED", "observed disputed", "amount", "0 KRW", "900 KRW"),
                    ("DISPUTED", "observed disputed", "currency", "0 USD", "1000 USD"),
                    (PARTLY, "observed", RIGHT_SUM, "400 KRW", "600 KRW"),
                    (PARTLY, "observed", "amount", "400 KRW", "500 KRW"),
                    (PARTLY, "observed", "currency", "400 USD", "600 USD"),
                )
            ),
            *(
                row(
                    ALL,
                    match=match,
                    writes="observed",
                    refunded=refunded,
                    owed=f"0 {refunded[-3:]}",
                    check="rest",
                )
                for match, refunded in ((RIGHT_SUM, "1000 KRW"), ("amount", "900 KRW"), ("currency", "1000 USD"))
            ),
            row("SOMETHING_NEW", writes="observed attention", asks="unknown_status"),
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
            *account_still_open(row),
            row("PAID", match=RIGHT_SUM),
            row("PAID DISPUTED", match=SUM, writes="attention", asks="contradiction"),
            row("DISPUTED", match=RIGHT_SUM, writes="disputed"),
            row(
                PARTLY,
                match=RIGHT_SUM,
                writes="observed refund_failed refund_requested attention",
                refunded="400 KRW",
                owed="600 KRW",
                due="600 KRW",
                asks="refund_failed",
            ),
            row(f"{PARTLY} {ALL}", match=SUM, writes="observed attention", asks="contradiction"),
            row(
                ALL,
                match=RIGHT_SUM,
                writes="observed refund_failed",
                refunded="1000 KRW",
                owed="0 KRW",
                check="rest",
            ),
            row("SOMETHING_NEW", writes="observed attention", asks="unknown_status"),
        ]
    return rows


def cancelled_with_all_money_back() -> list[Row]:
    """1000 KRW were taken, and 1000 KRW went back: what comes again is for a person to see."""
    rows: list[Row] = []
    for reason in ("MISMATCH", "REFUNDED", "PAYMENT_CANCELLED", "CHARGED_BACK"):

        def row(says: str, *, reason: str = reason, **rest: object) -> Row:
            given = {"status": "CANCELLED", "reason": reason, "refunded": "1000 KRW", "check": "rest"} | rest
            return Row(order=reason, says=says, outstanding=False, **given)  # type: ignore[arg-type]

        contradiction = {"asks": "contradiction", "check": "later"}
        rows += [
            row("nothing"),
            row(UNPAID, writes="observed"),
            *account_still_open(row),
            row(f"PAID {PARTLY}", match=RIGHT_SUM, writes="observed attention", asks="money_came_back"),
            row(f"PAID DISPUTED {PARTLY}", match=SUM, writes="observed attention", **contradiction),
            row("DISPUTED", match=RIGHT_SUM, writes="observed disputed attention", asks="money_came_back"),
            row(ALL, match=RIGHT_SUM),
            row(ALL, match=SUM, writes="attention", **contradiction),
            row("SOMETHING_NEW", writes="observed attention", asks="unknown_status", check="later"),
        ]
    return rows


def cancelled_with_a_rest_on_its_way_back() -> list[Row]:
    """Of 1000 KRW, 700 went back and the gateway said CANCELLED; 300 are still asked back, as an older version did."""
    rows: list[Row] = []
    for reason in ("REFUNDED", "PAYMENT_CANCELLED", "CHARGED_BACK"):

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
            *account_still_open(row),
            row(f"PAID {PARTLY}", match=RIGHT_SUM, writes="observed attention", asks="money_came_back"),
            row(f"PAID DISPUTED {PARTLY}", match=SUM, writes="observed attention", asks="contradiction"),
            row("DISPUTED", match=RIGHT_SUM, writes="observed disputed attention", asks="money_came_back"),
            row(
                ALL,
                match=RIGHT_SUM,
                writes="observed refund_failed",
                refunded="1000 KRW",
                owed="0 KRW",
                check="rest",
            ),
            row(ALL, match=SUM, writes="attention", asks="contradiction"),
            row("SOMETHING_NEW", writes="observed attention", asks="unknown_status"),
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
    match cell.order:
        case "PENDING":
            return placed
        case "ANNOUNCED":
            return replace(placed, announced_at=ANNOUNCED)
        case "ACCOUNT":
            return replace(placed, observed=seen("VIRTUAL_ACCOUNT_ISSUED", deposit_due=DEPOSIT_DUE))
        case "UNDER_WAY":
            return replace(placed, observed=seen("PAY_PENDING"))
    paid = replace(placed, captured=krw(1000), observed=seen("PAID"), check_at=PLACED if cell.outstanding else None)
    if cell.order == "COMPLETED":
        return replace(paid, status=OrderStatus.COMPLETED, owed=krw(300 if cell.outstanding else 0))
    ended = replace(paid, status=OrderStatus.CANCELLED, reason=CancelReason(cell.order))
    if cell.outstanding and cell.order in ("REFUNDED", "PAYMENT_CANCELLED", "CHARGED_BACK"):
        return replace(ended, observed=seen("CANCELLED"), refunded=krw(700), owed=krw(300))
    if cell.outstanding:
        return replace(ended, owed=krw(1000))
    if cell.order in ("EXPIRED", "ABANDONED"):
        return replace(ended, captured=None, observed=None, check_at=PLACED)
    return replace(ended, observed=seen("CANCELLED"), refunded=krw(1000))


def seen(said: str, *, deposit_due: datetime | None = None) -> Observed:
    return Observed(said=said, attempt="attempt-1", changed_at=PLACED, updated_at=PLACED, deposit_due=deposit_due)


def payment_in(cell: Cell) -> Payment | None:
    if cell.gateway == "nothing":
        return None
    total = Money(900 if cell.match == "amount" else 1000, "USD" if cell.match == "currency" else "KRW")
    said = STATUSES.get(cell.gateway, cell.gateway)
    cancelled = Money({"PARTIAL_CANCELLED": 400, "CANCELLED": total.minor}.get(said, 0), total.currency)
    by_network = Cancellation(
        id="c", status=CancellationStatus.SUCCEEDED, amount=cancelled, reason="fraud", charged_back=True
    )
    return Payment(
        id="q" * 32 if cell.match == "id" else "p" * 32,
        status=PaymentStatus.UNKNOWN if cell.gateway == "SOMETHING_NEW" else PaymentStatus(said),
        said=said,
        total=total,
        cancelled=cancelled,
        store_id={"store": "store-theirs", "no store": None}.get(cell.match, "store-ours"),
        channel_type={"channel": "TEST", "no channel": None, "new channel": "SANDBOX"}.get(cell.match, "LIVE"),
        attempt="attempt-1",
        changed_at=IN_TIME,
        updated_at=IN_TIME,
        deposit_due=DEPOSIT_DUE if cell.gateway == "VIRTUAL_ACCOUNT_ISSUED" else None,
        cancellations=(by_network,) if cell.gateway.endswith("CHARGED_BACK") else (),
        disputed=cell.gateway == "DISPUTED",
    )


def differing(cell: Cell) -> str:
    return cell.match.split()[-1]


def reconciled(cell: Cell) -> tuple[Reconciliation, datetime]:
    order, now = order_in(cell), NOW[cell.when]
    refund = Refund(
        id=OUTSTANDING,
        order_id=order.id,
        amount=order.owed,
        reason="asked before",
        requested_by="somebody",
        requested_at=now,
    )
    reconciliation = reconcile(
        order,
        payment_in(cell),
        shop=SHOP,
        now=now,
        policy=POLICY,
        refund_id=FRESH,
        refunds=[refund] if cell.outstanding else [],
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
        writes=" ".join(entry.kind.value for entry in reconciliation.entries).replace("payment_", ""),
        refunded=str(order.refunded),
        owed=str(order.owed),
        due=str(due[0].amount) if due else None,
        asks=None if order.attention is None else order.attention.kind.value,
        check="rest" if order.check_at is None else "now" if order.check_at == now else "later",
        restock=reconciliation.restock,
        close=reconciliation.close_account,
    )
    return found, {refund.id: (refund.status.value, str(refund.amount)) for refund in reconciliation.refunds}


def impossible(cell: Cell) -> bool:
    """A refund of what was never taken; ``test_nothing_can_be_refunded_while_pending`` says why there is none."""
    return cell.order in UNPAID_ORDERS and cell.outstanding


def test_the_product_is_whole_and_every_cell_has_exactly_one_row() -> None:
    assert len(set(CELLS)) == 11 * 12 * 9 * 4 * 2 == 9504
    assert sum(map(impossible, CELLS)) == 4 * 12 * 9 * 4 == 1728
    rows = Counter(sum(row.speaks_for(cell) for row in TABLE) for cell in CELLS if not impossible(cell))
    assert rows == {1: 7776}
    assert not [cell for cell in CELLS if impossible(cell) and any(row.speaks_for(cell) for row in TABLE)]
    assert all(any(row.speaks_for(cell) for cell in CELLS) for row in TABLE)
    assert set(PaymentStatus) == {*GATEWAY, "UNKNOWN"} - {"nothing", "SOMETHING_NEW", *STATUSES}
    assert {"PENDING", "COMPLETED", *CancelReason} == set(ORDERS) - {"ANNOUNCED", "ACCOUNT", "UNDER_WAY"}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("gateway", GATEWAY)
def test_each_cell_becomes_what_its_row_says(order: str, gateway: str) -> None:
    cells = [cell for cell in CELLS if (cell.order, cell.gateway) == (order, gateway) and not impossible(cell)]
    assert len(cells) == (36 if order in UNPAID_ORDERS else 72)
    for cell in cells:
        (row,) = [row for row in TABLE if row.speaks_for(cell)]
        found, refunds = outcome(cell, row)
        assert found == row, cell
        expected = {FRESH: ("REQUESTED", row.due)} if row.due else {}
        if "refund_failed" in row.writes:
            expected[OUTSTANDING] = ("FAILED", str(order_in(cell).owed))
        assert refunds == expected, cell


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("gateway", GATEWAY)
def test_every_cell_says_which_fields_differ_where_it_is_a_mismatch(order: str, gateway: str) -> None:
    for cell in (cell for cell in CELLS if (cell.order, cell.gateway) == (order, gateway) and not impossible(cell)):
        reconciliation, _ = reconciled(cell)
        cancelled = [entry for entry in reconciliation.entries if entry.kind == "cancelled"]
        named = [entry.data.get("differs") for entry in cancelled if entry.reason is CancelReason.MISMATCH]
        mismatch = is_compared_unpaid(cell) and cell.match not in ("same", "new channel")
        assert named == ([[differing(cell)]] if mismatch else []), cell


def is_compared_unpaid(cell: Cell) -> bool:
    """Whether what an unpaid order is paid by, or about to be, is held against what was ordered."""
    if cell.order not in UNPAID_ORDERS:
        return False
    if cell.gateway == "PAY_PENDING":  # the buyer's time is the buyer's
        return cell.order != "ACCOUNT" and cell.when in ("late", "past all")
    return cell.gateway in ("VIRTUAL_ACCOUNT_ISSUED", "PAID", "DISPUTED", *PARTLY.split())


@pytest.mark.parametrize("order", ORDERS)
def test_every_decision_says_how_the_order_stands_afterwards_and_where_the_payment_differs(order: str) -> None:
    for cell in (cell for cell in CELLS if cell.order == order and not impossible(cell)):
        reconciliation, now = reconciled(cell)
        before, payment = order_in(cell), payment_in(cell)
        if payment is not None and knows_less(payment, before):
            assert reconciliation == Reconciliation(order=before, is_stale=True), cell
            continue
        decision = decide(before, payment, SHOP, now, policy=POLICY, give_up=False)
        assert (decision.status, decision.reason) == (reconciliation.order.status, reconciliation.order.reason), cell
        compared = is_compared_unpaid(cell) or (
            cell.gateway in ("PAID", "DISPUTED", *PARTLY.split())
            and (order == "COMPLETED" and cell.match not in ("amount", "currency"))
        )
        gave_up = decision.reason is CancelReason.EXPIRED and cell.order in UNPAID_ORDERS
        expected = (differing(cell),) if compared and cell.match != "same" and not gave_up else ()
        assert decision.differs == expected, cell


def test_nothing_can_be_refunded_while_pending() -> None:
    order = order_in(Cell(order="PENDING", gateway="PAID", match="same", when="in time", outstanding=False))
    with pytest.raises(RefundNotPossibleError):
        request_refund(order, krw(1), refund_id=FRESH, reason="", requested_by="somebody", now=IN_TIME)
