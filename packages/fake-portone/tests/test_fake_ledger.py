from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fake_portone.clock import FakeClock
from fake_portone.ledger import (
    Balance,
    Cancel,
    CancelStatus,
    Course,
    Happening,
    IdempotencyKeys,
    Ledger,
    LedgerBrokenError,
    MoneyBook,
    Purchase,
    RefusedError,
    Status,
    vat_within,
)
from fake_portone.shapes import payment_json

NOON = datetime(2024, 4, 25, 12, tzinfo=UTC)
TICKET = Purchase(store_id="store-a", channel_key="channel-a", order_name="VIP", total=71_000, currency="KRW")
REQUESTED = Course(CancelStatus.REQUESTED, CancelStatus.SUCCEEDED, 60)
REQUESTED_IN_VAIN = Course(CancelStatus.REQUESTED, CancelStatus.FAILED, 60)


class Account:
    """A ledger on a clock that stands still, and what it announced."""

    def __init__(self) -> None:
        self.clock = FakeClock(now=lambda: NOON, monotonic=lambda: 0.0)
        self.heard: list[Happening] = []
        self.ledger = Ledger(clock=self.clock, announce=self.heard.append)

    @property
    def types(self) -> list[str]:
        return [happening.type for happening in self.heard]

    def paid(self, payment_id: str = "p", purchase: Purchase = TICKET) -> str:
        self.ledger.open(payment_id, purchase)
        return self.ledger.pay(payment_id).id


@pytest.fixture
def account() -> Account:
    return Account()


def refusal(act: Callable[[], object]) -> tuple[str, int]:
    with pytest.raises(RefusedError) as refused:
        act()
    return refused.value.kind, refused.value.status


STATES: dict[str, Callable[[Ledger], object]] = {
    "nothing": lambda _: None,
    "READY": lambda ledger: ledger.open("p", TICKET),
    "PAY_PENDING": lambda ledger: (ledger.open("p", TICKET), ledger.pend("p")),
    "VIRTUAL_ACCOUNT_ISSUED": lambda ledger: (ledger.open("p", TICKET), ledger.issue_account("p")),
    "FAILED": lambda ledger: (ledger.open("p", TICKET), ledger.fail("p", "no")),
    "PAID": lambda ledger: (ledger.open("p", TICKET), ledger.pay("p")),
    "PARTIAL_CANCELLED": lambda ledger: (
        ledger.open("p", TICKET),
        ledger.pay("p"),
        ledger.cancel("p", Cancel(reason="", amount=1)),
    ),
    "CANCELLED": lambda ledger: (ledger.open("p", TICKET), ledger.pay("p"), ledger.cancel("p", Cancel(reason=""))),
}
ACTIONS: dict[str, Callable[[Ledger], object]] = {
    "open": lambda ledger: ledger.open("p", TICKET),
    "pay": lambda ledger: ledger.pay("p"),
    "fail": lambda ledger: ledger.fail("p", "no"),
    "pend": lambda ledger: ledger.pend("p"),
    "issue": lambda ledger: ledger.issue_account("p"),
    "deposit": lambda ledger: ledger.deposit("p"),
    "close": lambda ledger: ledger.close_account("p", None),
    "register": lambda ledger: ledger.pre_register("p", 71_000, "KRW"),
    "cancel": lambda ledger: ledger.cancel("p", Cancel(reason="")),
}
MEANS = {
    "-": None,
    "READY": "READY",
    "PEND": "PAY_PENDING",
    "ISSUED": "VIRTUAL_ACCOUNT_ISSUED",
    "FAILED": "FAILED",
    "PAID": "PAID",
    "BACK": "CANCELLED",
    "absent": "PAYMENT_NOT_FOUND",
    "before": "ALREADY_PAID",
    "no_acct": "PAYMENT_NOT_WAITING_FOR_DEPOSIT",
    "account": "PAYMENT_WAITING_FOR_DEPOSIT",
    "unpaid": "PAYMENT_NOT_PAID",
    "gone": "PAYMENT_ALREADY_CANCELLED",
}
OUTCOMES = """
                        open    pay     fail    pend    issue   deposit close   register cancel
nothing                 READY   absent  absent  absent  absent  absent  absent  -        absent
READY                   READY   PAID    FAILED  PEND    ISSUED  no_acct no_acct READY    unpaid
PAY_PENDING             READY   PAID    FAILED  PEND    ISSUED  no_acct no_acct PEND     unpaid
VIRTUAL_ACCOUNT_ISSUED  READY   account account account account PAID    FAILED  ISSUED   unpaid
FAILED                  READY   PAID    FAILED  PEND    ISSUED  no_acct no_acct FAILED   unpaid
PAID                    before  before  before  before  before  no_acct no_acct before   BACK
PARTIAL_CANCELLED       before  before  before  before  before  no_acct no_acct before   BACK
CANCELLED               before  before  before  before  before  no_acct no_acct before   gone
"""
_HEADER, *_ROWS = (line.split() for line in OUTCOMES.strip().splitlines())
TABLE = [
    (state, action, MEANS[outcome])
    for state, *outcomes in _ROWS
    for action, outcome in zip(_HEADER, outcomes, strict=True)
]


@pytest.mark.parametrize(("state", "action", "outcome"), TABLE)
def test_every_act_in_every_state(account: Account, state: str, action: str, outcome: str | None) -> None:
    STATES[state](account.ledger)
    try:
        ACTIONS[action](account.ledger)
    except RefusedError as refused:
        became: str | None = refused.kind
    else:
        known = account.ledger.payments()
        became = known[0].status.value if known else None
    assert became == outcome


def test_several_attempts_are_several_transactions_and_one_payment(account: Account) -> None:
    first = account.ledger.open("p", TICKET).transaction_id
    account.ledger.fail("p", "no")
    second = account.ledger.pay("p").transaction_id
    assert first != second
    assert account.types == ["Ready", "Failed", "Ready", "Paid"]
    assert account.ledger.balance("p") == Balance(captured=71_000)


def test_what_the_browser_asks_for_last_is_what_is_paid(account: Account) -> None:
    account.ledger.open("p", TICKET)
    account.ledger.open("p", replace(TICKET, total=100, currency="USD"))
    account.ledger.pay("p")
    assert account.ledger.totals() == {"USD": Balance(captured=100)}


def test_partial_cancels_add_up_to_a_whole_one(account: Account) -> None:
    payment_id = account.paid()
    for amount in (1_000, 30_000, 40_000):
        account.ledger.cancel(payment_id, Cancel(reason="", amount=amount))
    payment = account.ledger.find(payment_id)
    assert (payment.status, payment.cancelled, payment.cancellable) == (Status.CANCELLED, 71_000, 0)
    assert account.types[2:] == ["PartialCancelled", "PartialCancelled", "Cancelled"]
    assert account.ledger.balance(payment_id) == Balance(captured=71_000, cancelled=71_000)


@pytest.mark.parametrize(
    ("cancel", "kind"),
    [
        (Cancel(reason="", amount=71_001), "CANCEL_AMOUNT_EXCEEDS_CANCELLABLE_AMOUNT"),
        (Cancel(reason="", expected_left=70_000), "CANCELLABLE_AMOUNT_CONSISTENCY_BROKEN"),
        (Cancel(reason="", amount=1, expected_left=71_001), "CANCELLABLE_AMOUNT_CONSISTENCY_BROKEN"),
        (Cancel(reason="", amount=100, vat=101), "SUM_OF_PARTS_EXCEEDS_CANCEL_AMOUNT"),
        (Cancel(reason="", amount=100, tax_free=1), "CANCEL_TAX_FREE_AMOUNT_EXCEEDS_CANCELLABLE_TAX_FREE_AMOUNT"),
    ],
)
def test_a_cancel_that_does_not_add_up_is_a_conflict_and_moves_nothing(
    account: Account, cancel: Cancel, kind: str
) -> None:
    payment_id = account.paid()
    before = account.ledger.find(payment_id)
    assert refusal(lambda: account.ledger.cancel(payment_id, cancel)) == (kind, 409)
    assert account.ledger.find(payment_id) == before


def test_a_payment_is_not_found_in_another_store(account: Account) -> None:
    account.paid()
    assert account.ledger.find("p", "store-a").id == "p"
    assert account.ledger.find("p").id == "p"
    assert refusal(lambda: account.ledger.find("p", "store-b")) == ("PAYMENT_NOT_FOUND", 404)
    assert refusal(lambda: account.ledger.cancel("p", Cancel(reason="", store_id="store-b"))) == (
        "PAYMENT_NOT_FOUND",
        404,
    )


def test_a_failed_cancellation_is_recorded_and_moves_nothing(account: Account) -> None:
    payment_id = account.paid()
    cancelled = account.ledger.cancel(payment_id, Cancel(reason=""), Course(CancelStatus.FAILED))
    payment = account.ledger.find(payment_id)
    assert (payment.status, payment.cancellations) == (Status.PAID, (cancelled,))
    assert account.ledger.balance(payment_id) == Balance(captured=71_000)
    assert account.types == ["Ready", "Paid"]


def test_a_requested_cancellation_is_done_when_its_time_has_come(account: Account) -> None:
    payment_id = account.paid()
    account.ledger.cancel(payment_id, Cancel(reason="", amount=30_000), REQUESTED)
    account.clock.set(advance=59)
    assert account.ledger.find(payment_id).cancelled == 0
    account.clock.set(advance=1)
    assert account.ledger.find(payment_id).cancelled == 30_000
    assert account.types[2:] == ["CancelPending", "PartialCancelled"]
    assert account.heard[2].cancellation_id == account.heard[3].cancellation_id


def test_a_requested_cancellation_may_come_to_nothing(account: Account) -> None:
    payment_id = account.paid()
    account.ledger.cancel(payment_id, Cancel(reason=""), REQUESTED_IN_VAIN)
    account.clock.set(advance=60)
    payment = account.ledger.find(payment_id)
    assert (payment.status, payment.cancellable) == (Status.PAID, 71_000)
    assert payment.cancellations[0].status is CancelStatus.FAILED


def test_what_is_on_its_way_back_cannot_be_asked_back_again(account: Account) -> None:
    payment_id = account.paid()
    account.ledger.cancel(payment_id, Cancel(reason="", amount=50_000), REQUESTED)
    too_much = Cancel(reason="", amount=21_001)
    assert refusal(lambda: account.ledger.cancel(payment_id, too_much))[0] == "CANCEL_AMOUNT_EXCEEDS_CANCELLABLE_AMOUNT"
    account.ledger.cancel(payment_id, Cancel(reason="", amount=21_000))
    account.clock.set(advance=60)
    assert account.ledger.find(payment_id).status is Status.CANCELLED


def test_a_cancel_may_be_kept_from_the_shop(account: Account) -> None:
    payment_id = account.paid()
    account.ledger.cancel(payment_id, Cancel(reason="", skip_webhook=True))
    assert account.types == ["Ready", "Paid"]


def test_changes_are_dated_one_after_the_other_even_when_the_clock_stands_still(account: Account) -> None:
    payment_id = account.paid()
    account.ledger.cancel(payment_id, Cancel(reason="", amount=1))
    account.ledger.cancel(payment_id, Cancel(reason="", amount=1))
    at = [happening.at for happening in account.heard]
    assert at == sorted(set(at))
    assert account.ledger.find(payment_id).status_changed_at == at[-1]


def test_a_cancellation_that_changes_no_status_is_an_update_and_no_status_change(account: Account) -> None:
    payment_id = account.paid()
    before = account.ledger.find(payment_id)
    account.ledger.cancel(payment_id, Cancel(reason=""), REQUESTED)
    after = account.ledger.find(payment_id)
    assert after.status_changed_at == before.status_changed_at
    assert after.updated_at > before.updated_at


MIXED = replace(TICKET, tax_free=20_000)  # 51,000 of it taxed


def test_what_is_untaxed_stands_in_the_record_and_is_no_part_of_the_tax(account: Account) -> None:
    account.ledger.open("p", MIXED)
    amount = payment_json(account.ledger.pay("p"))["amount"]
    assert (amount["taxFree"], amount["vat"], amount["supply"]) == (20_000, 4_636, 46_364)
    assert amount["taxFree"] + amount["vat"] + amount["supply"] == amount["total"]


def test_a_cancellation_says_how_much_of_it_is_untaxed_and_no_more_than_is_left_goes_back(account: Account) -> None:
    account.ledger.open("p", MIXED)
    account.ledger.pay("p")
    for asked, kind in (
        (
            Cancel(reason="", amount=30_000, tax_free=20_001),
            "CANCEL_TAX_FREE_AMOUNT_EXCEEDS_CANCELLABLE_TAX_FREE_AMOUNT",
        ),
        (Cancel(reason="", amount=60_000), "CANCEL_TAX_AMOUNT_EXCEEDS_CANCELLABLE_TAX_AMOUNT"),
        (Cancel(reason=""), "CANCEL_TAX_AMOUNT_EXCEEDS_CANCELLABLE_TAX_AMOUNT"),
        (Cancel(reason="", amount=100, tax_free=101), "SUM_OF_PARTS_EXCEEDS_CANCEL_AMOUNT"),
    ):
        with pytest.raises(RefusedError) as refused:
            account.ledger.cancel("p", asked)
        assert refused.value.kind == kind
    account.ledger.cancel("p", Cancel(reason="", amount=15_000, tax_free=15_000))
    record = account.ledger.find("p")
    assert (record.cancelled_tax_free, record.cancellable_tax_free) == (15_000, 5_000)
    account.ledger.cancel("p", Cancel(reason="", tax_free=5_000))
    assert payment_json(account.ledger.find("p"))["amount"]["cancelledTaxFree"] == 20_000


def test_whoever_cancels_in_the_console_need_not_divide_it(account: Account) -> None:
    account.ledger.open("p", MIXED)
    account.ledger.pay("p")
    part = account.ledger.cancel("p", Cancel(reason="", amount=61_000, tax_free=None, trigger="CONSOLE"))
    rest = account.ledger.cancel("p", Cancel(reason="", tax_free=None, trigger="CONSOLE"))
    assert [(c.amount, c.tax_free) for c in (part, rest)] == [(61_000, 10_000), (10_000, 10_000)]


def test_an_untaxed_part_of_a_pre_registered_sum_is_noted_too(account: Account) -> None:
    account.ledger.pre_register("p", 71_000, "KRW", 20_000)
    assert account.ledger.registered_tax_free("p") == 20_000
    assert account.ledger.registered_tax_free("q") == 0


def test_a_pre_registered_sum_is_noted_and_not_enforced(account: Account) -> None:
    account.ledger.pre_register("p", 71_000, "KRW")
    account.ledger.open("p", replace(TICKET, total=1))
    assert account.ledger.pay("p").captured == 1
    assert account.ledger.registered("p") == (71_000, "KRW")


def test_a_deposit_is_due_within_a_day(account: Account) -> None:
    account.ledger.open("p", TICKET)
    issued = account.ledger.issue_account("p").account
    assert issued is not None
    assert issued.due - issued.issued_at == timedelta(days=1)


def test_currencies_are_summed_apart(account: Account) -> None:
    account.paid("p")
    account.paid("q", replace(TICKET, total=2_599, currency="USD"))
    account.ledger.cancel("q", Cancel(reason="", amount=599))
    assert account.ledger.totals() == {"KRW": Balance(71_000, 0), "USD": Balance(2_599, 599)}


def test_the_same_history_gives_the_same_names() -> None:
    def names(account: Account) -> list[str]:
        account.paid()
        return [happening.payment.transaction_id for happening in account.heard]

    assert names(Account()) == names(Account())


@pytest.mark.parametrize(("amount", "vat"), [(71_000, 6_455), (30_000, 2_727), (41_000, 3_727), (1, 0), (11, 1)])
def test_the_tax_within_an_amount(amount: int, vat: int) -> None:
    assert vat_within(amount) == vat


def test_the_book_refuses_a_second_capture() -> None:
    book = MoneyBook()
    book.capture("p", 100)
    with pytest.raises(LedgerBrokenError):
        book.capture("p", 100)


@pytest.mark.parametrize("amount", [0, -1, 71])
def test_the_book_refuses_to_give_back_nothing_or_too_much(amount: int) -> None:
    book = MoneyBook()
    book.capture("p", 100)
    book.give_back("p", 30)
    with pytest.raises(LedgerBrokenError):
        book.give_back("p", amount)
    assert book.of("p") == Balance(100, 30)


def test_the_book_gives_nothing_back_that_was_not_taken() -> None:
    with pytest.raises(LedgerBrokenError):
        MoneyBook().give_back("p", 1)


# --- Idempotency-Keys ---


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(now=lambda: NOON, monotonic=lambda: 0.0)


def test_a_key_is_outstanding_until_its_request_is_done(clock: FakeClock) -> None:
    keys = IdempotencyKeys(clock)
    assert keys.begin("key") is None
    assert refusal(lambda: keys.begin("key")) == ("IDEMPOTENCY_OUTSTANDING_REQUEST", 409)
    keys.finish("key", "done")
    assert keys.begin("key") == "done"
    assert keys.begin("another") is None


def test_a_key_whose_request_never_arrived_is_free_again(clock: FakeClock) -> None:
    keys = IdempotencyKeys(clock)
    keys.begin("key")
    keys.abandon("key")
    assert keys.begin("key") is None


def test_a_key_is_forgotten_after_three_hours(clock: FakeClock) -> None:
    keys = IdempotencyKeys(clock)
    keys.begin("key")
    keys.finish("key", "done")
    clock.set(advance=3 * 3600 - 1)
    assert keys.begin("key") == "done"
    clock.set(advance=1)
    assert keys.begin("key") is None


def test_a_request_that_takes_longer_than_three_hours_is_still_outstanding(clock: FakeClock) -> None:
    keys = IdempotencyKeys(clock)
    keys.begin("key")
    clock.set(advance=4 * 3600)
    assert refusal(lambda: keys.begin("key"))[0] == "IDEMPOTENCY_OUTSTANDING_REQUEST"
