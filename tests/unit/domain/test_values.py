"""Money, ids and the gateway's records: what cannot be built, cannot go wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import GyeoljeError, InvalidIdError, InvalidMoneyError
from domain.ids import PaymentId, RefundId
from domain.money import Money
from domain.payment import Cancellation, CancellationStatus, Payment, PaymentStatus

SUMS = st.integers(0, 10**14)


def krw(minor: int) -> Money:
    return Money(minor, "KRW")


@pytest.mark.parametrize("minor", [-1, 1.0, 0.5, True, "1", None, 10**15 + 1, float("nan")])
def test_money_is_a_whole_number_of_minor_units_and_never_negative(minor: object) -> None:
    with pytest.raises(InvalidMoneyError, match=r"is not a whole number of minor units from 0 to 10+$"):
        Money(minor, "KRW")  # type: ignore[arg-type]


@pytest.mark.parametrize("currency", ["", "KR", "KRWW", "krw", "KRW\n", " KRW", "CURRENCY_KRW", "ＫＲＷ", "K1W"])
def test_a_currency_is_three_capital_letters(currency: str) -> None:
    with pytest.raises(InvalidMoneyError, match="is not a three-letter currency code"):
        Money(1, currency)


@pytest.mark.parametrize("minor", [0, 1, 10**15])
def test_both_ends_of_what_money_can_be_are_money(minor: int) -> None:
    assert str(Money(minor, "KRW")) == f"{minor} KRW"


@pytest.mark.parametrize(
    "mix",
    [
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: a > b,
        lambda a, b: a >= b,
        lambda a, b: a < b,
        lambda a, b: a <= b,
        lambda a, b: a.less(b),
    ],
)
def test_two_currencies_never_meet_in_one_sum_or_comparison(mix: Callable[[Money, Money], object]) -> None:
    with pytest.raises(InvalidMoneyError, match="different currencies"):
        mix(krw(5), Money(5, "USD"))


def test_the_same_number_in_another_currency_is_other_money() -> None:
    assert krw(5) != Money(5, "USD")
    assert krw(5) == krw(5)


@given(SUMS, SUMS)
def test_money_adds_takes_away_and_compares_like_its_numbers(a: int, b: int) -> None:
    assert krw(a) + krw(b) == krw(a + b)
    assert krw(a + b) - krw(b) == krw(a)
    assert krw(a).less(krw(b)) == krw(max(0, a - b))
    assert (krw(a) > krw(b), krw(a) >= krw(b)) == (a > b, a >= b)
    assert (krw(a) < krw(b), krw(a) <= krw(b)) == (a < b, a <= b)
    assert bool(krw(a)) is (a > 0)


def test_less_than_nothing_or_more_than_everything_is_refused() -> None:
    with pytest.raises(InvalidMoneyError):
        krw(1) - krw(2)
    with pytest.raises(InvalidMoneyError):
        krw(10**15) + krw(1)
    with pytest.raises(InvalidMoneyError):
        krw(10**15) * 2
    with pytest.raises(InvalidMoneyError):
        krw(3) * -1
    assert krw(355_000) * 2 == krw(710_000)
    assert Money.zero("JPY") == Money(0, "JPY")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "p" * 31,
        "p" * 33,
        "p" * 31 + "/",
        "p" * 31 + "-",
        "p" * 31 + "é",
        "p" * 31 + "٣",
        "p" * 32 + "\n",
        "../" + "p" * 29,
        "%2e" + "p" * 29,
    ],
)
def test_nothing_but_32_letters_and_digits_is_a_payment_id(text: str) -> None:
    with pytest.raises(InvalidIdError) as refused:
        PaymentId(text)
    assert isinstance(refused.value, GyeoljeError)


def test_a_payment_id_is_the_text_it_was_made_of() -> None:
    assert PaymentId("Aa0" * 10 + "Zz") == "Aa0" * 10 + "Zz"


def test_a_refused_payment_id_is_told_only_in_part() -> None:
    with pytest.raises(InvalidIdError) as refused:
        PaymentId("x" * 100_000)
    assert len(str(refused.value)) < 200


def payment(status: PaymentStatus, *cancellations: Cancellation) -> Payment:
    return Payment(
        id="p" * 32,
        status=status,
        said=status.value,
        total=krw(1000),
        cancelled=krw(300),
        store_id="store",
        channel_type="LIVE",
        cancellations=cancellations,
    )


def cancellation(
    reason: str, status: CancellationStatus = CancellationStatus.REQUESTED, name: str = "c"
) -> Cancellation:
    return Cancellation(id=name, status=status, amount=krw(300), reason=reason)


def test_only_a_payment_that_took_money_captured_something() -> None:
    took = {status for status in PaymentStatus if payment(status).captured is not None}
    assert took == {PaymentStatus.PAID, PaymentStatus.PARTIAL_CANCELLED, PaymentStatus.CANCELLED}
    assert payment(PaymentStatus.PARTIAL_CANCELLED).captured == krw(1000)
    assert payment(PaymentStatus.PARTIAL_CANCELLED).left == krw(700)


def test_what_is_left_is_what_was_taken_and_has_not_gone_back() -> None:
    left = {status: payment(status).left for status in PaymentStatus if payment(status).left}
    assert left == dict.fromkeys((PaymentStatus.PAID, PaymentStatus.PARTIAL_CANCELLED), krw(700))


@pytest.mark.parametrize(
    ("status", "amount", "has_left"),
    [
        (PaymentStatus.PARTIAL_CANCELLED, krw(700), True),
        (PaymentStatus.PARTIAL_CANCELLED, krw(701), False),
        (PaymentStatus.PARTIAL_CANCELLED, Money(700, "USD"), False),
        (PaymentStatus.READY, krw(1), False),
        (PaymentStatus.READY, Money(1, "USD"), False),
    ],
)
def test_a_sum_is_left_in_its_own_currency_only(status: PaymentStatus, amount: Money, *, has_left: bool) -> None:
    assert payment(status).has_left(amount) is has_left


def test_only_an_issued_account_waits_for_a_deposit() -> None:
    waiting = [status for status in PaymentStatus if payment(status).waits_for_deposit]
    assert waiting == [PaymentStatus.VIRTUAL_ACCOUNT_ISSUED]


def test_of_a_payment_that_the_gateway_calls_cancelled_all_went_back_whatever_coupons_covered() -> None:
    assert payment(PaymentStatus.CANCELLED).left == krw(0)
    went_back = {status: payment(status).went_back for status in PaymentStatus}
    assert went_back == dict.fromkeys(PaymentStatus, krw(300)) | {PaymentStatus.CANCELLED: krw(1000)}


def test_no_more_than_was_taken_went_back() -> None:
    too_much = replace(payment(PaymentStatus.PARTIAL_CANCELLED), cancelled=krw(1100))
    assert (too_much.went_back, too_much.left) == (krw(1000), krw(0))


@pytest.mark.parametrize(
    ("paid", "left_paid"), [(None, 700), (1000, 700), (900, 600), (300, 0), (200, 0), (0, 0), (1200, 700)]
)
def test_what_coupons_and_points_covered_is_not_left_of_what_the_buyer_paid(paid: int | None, left_paid: int) -> None:
    discounted = replace(payment(PaymentStatus.PARTIAL_CANCELLED), paid=None if paid is None else krw(paid))
    assert discounted.left_paid == krw(left_paid)


@pytest.mark.parametrize(
    ("tax_free", "cancelled_tax_free", "amount", "untaxed"),
    [
        (None, None, 700, 0),
        (0, 0, 700, 0),
        (1000, 300, 700, 700),  # nothing was taxed
        (1000, 300, 50, 50),
        (400, 0, 300, 0),  # of 700 left, 300 are taxed: those go first
        (400, 0, 301, 1),
        (400, 0, 700, 400),
        (400, 100, 400, 0),
        (400, 100, 401, 1),
        (400, 100, 700, 300),
        (400, None, 700, 400),
        (100, 400, 700, 0),  # more of it went back than there was: a record that makes no sense
    ],
)
def test_what_is_taxed_goes_back_first_so_that_both_parts_always_fit(
    tax_free: int | None, cancelled_tax_free: int | None, amount: int, untaxed: int
) -> None:
    said = replace(
        payment(PaymentStatus.PARTIAL_CANCELLED),
        tax_free=None if tax_free is None else krw(tax_free),
        cancelled_tax_free=None if cancelled_tax_free is None else krw(cancelled_tax_free),
    )
    assert said.tax_free_of(krw(amount)) == krw(untaxed)


@given(data=st.data())
def test_a_part_that_goes_back_untaxed_leaves_no_less_than_nothing_of_either(data: st.DataObject) -> None:
    total = data.draw(st.integers(1, 1000))
    tax_free = data.draw(st.integers(0, total))
    gone_free, gone_taxed = data.draw(st.integers(0, tax_free)), data.draw(st.integers(0, total - tax_free))
    said = replace(
        payment(PaymentStatus.PARTIAL_CANCELLED),
        total=krw(total),
        cancelled=krw(gone_free + gone_taxed),
        tax_free=krw(tax_free),
        cancelled_tax_free=krw(gone_free),
    )
    amount = data.draw(st.integers(0, total - gone_free - gone_taxed))
    untaxed = said.tax_free_of(krw(amount)).minor
    assert 0 <= untaxed <= tax_free - gone_free
    assert 0 <= amount - untaxed <= total - tax_free - gone_taxed


@pytest.mark.parametrize(
    ("reason", "quotes"),
    [("[r1] bye", True), ("bye [r1]", True), ("r1", False), ("[r11]", False), ("[r1", False), ("", False)],
)
def test_a_cancellation_is_ours_by_the_id_in_brackets_in_its_reason(reason: str, *, quotes: bool) -> None:
    ours = cancellation(reason)
    assert ours.quotes(RefundId("r1")) is quotes
    assert payment(PaymentStatus.PAID, ours).cancellation(RefundId("r1"), krw(300)) == (ours if quotes else None)


def test_another_sum_under_our_id_is_not_our_refund() -> None:
    said = payment(PaymentStatus.PAID, cancellation("[r1] bye"))
    assert said.cancellation(RefundId("r1"), krw(299)) is None
    assert said.cancellation(RefundId("r1"), Money(300, "USD")) is None


def test_once_the_gateway_has_named_a_cancellation_it_is_that_one_whatever_its_reason_says() -> None:
    named, quoting = cancellation("cut", name="c1"), cancellation("[r1] bye", CancellationStatus.SUCCEEDED, name="c2")
    said = payment(PaymentStatus.PAID, quoting, named)
    assert said.cancellation(RefundId("r1"), krw(300), "c1") == named
    assert said.cancellation(RefundId("r1"), krw(300), "c3") == quoting
    assert payment(PaymentStatus.PAID, named).cancellation(RefundId("r1"), krw(300), "c3") is None


def test_the_cancellation_that_got_furthest_is_the_one_that_counts() -> None:
    ranks = ("FAILED", "UNKNOWN", "REQUESTED", "SUCCEEDED")
    assert set(ranks) == set(CancellationStatus)
    for rank, better in pairwise(ranks):
        pair = [cancellation("[r1]", CancellationStatus(word), word) for word in (rank, better)]
        for listed in (pair, pair[::-1]):
            found = payment(PaymentStatus.PAID, *listed).cancellation(RefundId("r1"), krw(300))
            assert found is not None
            assert found.status == better


def test_only_a_cancellation_that_failed_moves_no_money() -> None:
    moving = {word for word in CancellationStatus if cancellation("", word).may_move_money}
    assert moving == set(CancellationStatus) - {CancellationStatus.FAILED}


@pytest.mark.parametrize(
    ("words", "charged_back", "is_charged_back"),
    [
        ((), True, False),
        (("SUCCEEDED",), False, False),
        (("SUCCEEDED",), True, True),
        (("REQUESTED", "FAILED", "UNKNOWN"), True, False),
    ],
)
def test_a_payment_is_charged_back_once_the_card_network_has_the_money(
    words: tuple[str, ...], *, charged_back: bool, is_charged_back: bool
) -> None:
    listed = [replace(cancellation("", CancellationStatus(word)), charged_back=charged_back) for word in words]
    assert payment(PaymentStatus.PARTIAL_CANCELLED, *listed).is_charged_back is is_charged_back


def test_what_went_back_and_no_cancellation_tells_of_is_unlisted() -> None:
    listed = cancellation("", CancellationStatus.SUCCEEDED)
    failed = cancellation("", CancellationStatus.FAILED)
    partly = PaymentStatus.PARTIAL_CANCELLED
    assert payment(partly).unlisted == krw(300)
    assert payment(partly, listed).unlisted == krw(0)
    assert payment(partly, failed).unlisted == krw(300)
    assert payment(partly, listed, listed).unlisted == krw(0)
    all_back = replace(payment(PaymentStatus.CANCELLED, listed), cancelled=krw(1000))
    assert all_back.unlisted == krw(700)
    assert replace(all_back, cancelled=krw(300)).unlisted == krw(0), "the rest was paid by a coupon"


def test_a_cancellation_the_record_lists_already_is_not_taken_in_again() -> None:
    listed = payment(PaymentStatus.PAID, cancellation("[r1]", CancellationStatus.SUCCEEDED))
    assert listed.including(cancellation("[r1]", CancellationStatus.REQUESTED)) is listed
    other = cancellation("[r2]", name="d")
    assert listed.including(other).cancellations == (*listed.cancellations, other)
