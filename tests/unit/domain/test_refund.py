"""A refund's life: what the gateway is asked for it, in which words, and when nobody may ask any more."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ids import OrderId, RefundId
from domain.money import Money
from domain.payment import Cancellation, CancellationStatus, Payment, PaymentStatus
from domain.refund import KEY_LIFE, Need, Refund, Sent

T0 = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
ID, OTHER = RefundId("a" * 32), RefundId("b" * 32)
TRUSTED = timedelta(hours=2, minutes=50)  # ten minutes less than the gateway promises to know a key
SUCCEEDED, REQUESTED, FAILED = CancellationStatus.SUCCEEDED, CancellationStatus.REQUESTED, CancellationStatus.FAILED


def krw(minor: int) -> Money:
    return Money(minor, "KRW")


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def payment(gone: int = 0, *cancellations: Cancellation, **other: object) -> Payment:
    usual = Payment(
        id="p" * 32,
        status=PaymentStatus.PARTIAL_CANCELLED if gone else PaymentStatus.PAID,
        said="",
        total=krw(1000),
        cancelled=krw(gone),
        store_id="store",
        channel_type="LIVE",
        cancellations=cancellations,
    )
    return replace(usual, **other)  # type: ignore[arg-type]


def cancelled(
    reason: str, amount: int = 300, *, at: datetime | None = T0, status: CancellationStatus = SUCCEEDED, name: str = "c"
) -> Cancellation:
    return Cancellation(id=name, status=status, amount=krw(amount), reason=reason, requested_at=at)


def refund(amount: int = 300, sent: Sent | None = None) -> Refund:
    return Refund(
        id=ID,
        order_id=OrderId("o" * 32),
        amount=krw(amount),
        reason="wish",
        requested_by="merchant",
        requested_at=T0,
        sent=sent,
    )


def asked_once(at: datetime = T0, *, amount: int = 300, left: int = 1000, gone: int = 0) -> Refund:
    sent = Sent(key=ID, amount=krw(amount), tax_free=krw(0), left=krw(left), gone=krw(gone), at=at)
    return refund(amount, sent)


# --- what is asked --------------------------------------------------------------------------------------------


def test_the_first_request_names_the_sum_what_is_left_and_what_went_back_so_far() -> None:
    assert refund().next_request(payment(100), "key", T0) == Sent(
        key="key", amount=krw(300), tax_free=krw(0), left=krw(900), gone=krw(100), at=T0, times=1
    )


def test_a_request_names_the_part_that_goes_back_untaxed() -> None:
    untaxed = payment(tax_free=krw(800), cancelled_tax_free=krw(0))
    sent = refund(500).next_request(untaxed, "key", T0)
    assert sent is not None
    assert (sent.amount, sent.tax_free) == (krw(500), krw(300))


def test_while_the_key_lives_the_very_same_is_asked_whatever_the_record_says_by_then() -> None:
    before = asked_once()
    for after in (minutes(0), minutes(60), TRUSTED - minutes(0.01)):
        for record in (payment(), payment(500), payment(300, cancelled("cut")), payment(tax_free=krw(1000))):
            again = before.next_request(record, "another key", T0 + after)
            assert before.sent is not None
            assert again == replace(before.sent, times=2)


def test_a_key_is_trusted_for_less_long_than_the_gateway_promises() -> None:
    sent = asked_once().sent
    assert sent is not None
    assert TRUSTED < KEY_LIFE
    assert [sent.key_lives(T0 + TRUSTED + off) for off in (-minutes(0.01), minutes(0), minutes(1))] == [
        True,
        False,
        False,
    ]
    assert sent.key_lives(T0 - minutes(60 * 24)), "by a clock that is behind nobody can tell: the same is safer"


def test_after_the_keys_life_it_is_asked_anew_by_what_is_left_then() -> None:
    anew = asked_once().next_request(payment(500, cancelled("console", 500)), "new key", T0 + TRUSTED)
    assert anew == Sent(
        key="new key", amount=krw(300), tax_free=krw(0), left=krw(500), gone=krw(0), at=T0 + TRUSTED, times=2
    )


def test_where_less_is_left_than_we_said_it_is_asked_anew_at_once() -> None:
    anew = asked_once().next_request(payment(200, cancelled("console", 200)), "new key", T0 + minutes(1), moved=True)
    assert anew is not None
    assert (anew.key, anew.amount, anew.left, anew.gone, anew.at, anew.times) == (
        "new key",
        krw(300),
        krw(800),
        krw(0),
        T0 + minutes(1),
        2,
    )


def test_where_the_same_is_left_as_we_said_only_what_the_buyer_paid_may_be() -> None:
    discounted = payment(paid=krw(900))
    anew = asked_once().next_request(discounted, "new key", T0, moved=True)
    assert anew is not None
    assert (anew.amount, anew.left) == (krw(300), krw(900))
    whole = asked_once(amount=1000).next_request(discounted, "new key", T0, moved=True)
    assert whole is not None
    assert (whole.amount, whole.left) == (krw(900), krw(900))


@pytest.mark.parametrize(
    ("record", "lefts"),
    [
        (payment(), [1000, 1000, 1000]),
        (payment(paid=krw(900)), [1000, 900, 1000]),
        (payment(0, cancelled(f"[{OTHER}]", 200, status=REQUESTED)), [1000, 800, 1000]),
        (payment(0, cancelled(f"[{OTHER}]", 200, status=REQUESTED), paid=krw(900)), [1000, 900, 800, 700, 1000]),
        (payment(paid=krw(0)), [1000, 1000]),
    ],
)
def test_each_reading_of_what_is_left_is_tried_in_its_turn(record: Payment, lefts: list[int]) -> None:
    """Without what coupons paid, without what is on its way already, without both: the gateway does not say which."""
    kept, asked = refund(), []
    for number in range(len(lefts)):
        sent = kept.next_request(record, f"key-{number}", T0 + minutes(number), moved=number > 0)
        assert sent is not None
        kept = replace(kept, sent=sent)
        asked.append(sent.left.minor)
    assert asked == lefts


# --- when nobody may ask any more -------------------------------------------------------------------------------

CUT = f"[{ID}"  # our own reason, of which the end is lost


@pytest.mark.parametrize(
    ("record", "may_be", "why"),
    [
        (payment(), False, "nothing went back"),
        (payment(300, cancelled(CUT)), True, "our reason was cut"),
        (payment(300, cancelled("")), True, "it has no reason at all"),
        (payment(300, cancelled("", at=T0 + minutes(600))), True, "it may have taken its time"),
        (payment(300, cancelled("", at=T0 - minutes(5))), True, "clocks may be apart"),
        (payment(300, cancelled("", at=T0 - minutes(5.1))), False, "it was there before us"),
        (payment(0, cancelled("", status=REQUESTED)), True, "it is under way"),
        (payment(0, cancelled("", status=FAILED)), False, "it failed"),
        (payment(299, cancelled("", 299)), False, "it is another sum"),
        (payment(300, cancelled(f"[{OTHER}] wish")), False, "it is another refund's"),
        (payment(300, cancelled("", at=None)), True, "nobody says when, and more went back than before"),
        (payment(0, cancelled("", at=None, status=REQUESTED)), True, "nobody says when, and it is under way"),
        (payment(0, cancelled("", at=None)), False, "nobody says when, and nothing went back since"),
        (payment(300), True, "it went back, and no cancellation tells of it"),
        (payment(299), False, "less than it went back, and no cancellation tells of it"),
        (payment(700, cancelled("console", 400, name="d")), True, "as much as it is not told of"),
        (payment(600, cancelled("console", 400, name="d")), False, "less than it is not told of"),
    ],
)
def test_after_the_keys_life_nobody_asks_where_it_may_be_done_already(
    record: Payment, *, may_be: bool, why: str
) -> None:
    before = asked_once()
    for later in (TRUSTED, minutes(60 * 24 * 30)):
        assert (before.next_request(record, "new key", T0 + later) is None) is may_be, why
    assert (before.next_request(record, "new key", T0 + minutes(1), moved=True) is None) is may_be, why


@pytest.mark.parametrize("at", [T0, None])
@pytest.mark.parametrize(("gone", "may_be"), [(300, False), (0, True)])
def test_what_had_gone_back_before_the_first_request_is_none_of_it(
    gone: int, at: datetime | None, *, may_be: bool
) -> None:
    same_sum = payment(300, cancelled("console", at=at))
    assert asked_once(left=1000 - gone, gone=gone).may_be_done(same_sum) is may_be


def test_what_may_be_done_is_counted_from_when_it_was_due_and_not_from_when_it_was_asked_last() -> None:
    asked_anew = asked_once(T0 + TRUSTED)
    first = payment(300, cancelled(CUT, at=T0 + minutes(1)))
    assert asked_anew.next_request(first, "third key", T0 + TRUSTED * 2) is None
    assert asked_anew.next_request(first, "third key", T0 + TRUSTED + minutes(1), moved=True) is None


def test_what_went_back_before_the_first_request_is_no_doubt_and_stays_none() -> None:
    before = payment(300, cancelled("console", at=None))
    sent = refund().next_request(before, "key", T0)
    anew = refund(sent=sent).next_request(before, "new key", T0 + TRUSTED)
    assert anew is not None
    again = refund(sent=anew).next_request(before, "third key", T0 + TRUSTED * 2)
    assert again is not None
    assert [sent is not None and sent.gone, anew.gone, again.gone] == [krw(300)] * 3


def test_a_refund_that_was_never_asked_for_is_not_done() -> None:
    assert not refund().may_be_done(payment(300, cancelled("")))
    assert refund().next_request(payment(300, cancelled("")), "key", T0) is not None


def test_a_refund_is_found_by_its_sum_as_it_was_asked_for() -> None:
    discounted = asked_once(amount=900)
    asked = replace(discounted, amount=krw(1000))
    shown = cancelled(f"[{ID}] wish", 900)
    assert asked.found_in(payment(900, shown)) == shown
    assert refund(900).found_in(payment(900, shown)) == shown
    assert refund(1000).found_in(payment(900, shown)) is None


def test_a_refund_is_found_by_the_name_the_gateway_gave_to_it() -> None:
    shown = cancelled("", name="c-1")
    assert refund().answered("c-1").found_in(payment(300, shown)) == shown
    assert refund().found_in(payment(300, shown)) is None


@pytest.mark.parametrize(
    ("kept", "after", "may_be"),
    [
        (refund(), minutes(0), True),
        (asked_once(), minutes(0), False),
        (asked_once(), KEY_LIFE - minutes(0.01), False),
        (asked_once(), KEY_LIFE, True),
        (asked_once().answered("c-1"), KEY_LIFE, False),
        (replace(asked_once(), needs=Need.WORD), minutes(0), True),
        (replace(refund(), needs=Need.ACCOUNT), minutes(0), True),
    ],
)
def test_a_refund_may_be_withdrawn_where_what_was_asked_cannot_be_carried_out_any_more(
    kept: Refund, after: timedelta, *, may_be: bool
) -> None:
    assert kept.may_be_withdrawn(T0 + after) is may_be


# --- whatever happens, it is carried out once ---------------------------------------------------------------------


@given(
    data=st.data(),
    amount=st.integers(1, 1000),
    reason=st.sampled_from([None, "", CUT[:5], CUT, "환불"]),
    listed=st.booleans(),
    dated=st.booleans(),
)
def test_a_refund_whose_reason_comes_back_cut_is_never_carried_out_twice(
    data: st.DataObject, amount: int, reason: str | None, *, listed: bool, dated: bool
) -> None:
    """Checks over 25 hours, at any time, by answers that are lost or not; ``reason`` None: it comes back whole."""
    keys: dict[str, Cancellation] = {}
    gone, now, kept = 0, T0, refund(amount)
    for number in range(data.draw(st.integers(1, 60))):
        now += timedelta(seconds=data.draw(st.integers(0, 3000)))
        if now > T0 + timedelta(hours=25):
            break
        shown = tuple(keys.values()) if listed else ()
        record = payment(gone, *shown)
        if kept.found_in(record) is not None or not record.has_left(kept.amount):
            break
        sent = kept.next_request(record, f"key-{number}", now)
        if sent is None:
            break
        kept = replace(kept, sent=sent)
        if sent.key not in keys and (sent.left.minor != 1000 - gone or data.draw(st.booleans())):
            continue  # refused, or it never arrived
        if sent.key not in keys:
            at = now + timedelta(seconds=data.draw(st.integers(-200, 200))) if dated else None
            said = f"[{ID}] wish" if reason is None else reason
            keys[sent.key] = cancelled(said, amount, at=at, name=f"c{number}")
            gone += amount
        if data.draw(st.booleans()):  # else the answer is lost, and so is the name
            kept = kept.answered(keys[sent.key].id)
    assert len(keys) <= 1
    assert gone <= amount


def test_no_cancellation_stands_for_two_refunds_and_the_youngest_is_taken_first() -> None:
    older = cancelled("console", at=T0 - minutes(1), name="older")
    younger = cancelled("console", at=T0 + minutes(1), name="younger")
    record = payment(600, younger, older)
    assert asked_once().stand_in(record, ()) == younger
    assert asked_once().stand_in(record, {"younger"}) == older
    assert asked_once().stand_in(record, {"younger", "older"}) is None
    assert asked_once().may_be_done(record, {"younger"})
    assert not asked_once().may_be_done(record, {"younger", "older"})
    later = T0 + TRUSTED
    assert asked_once().next_request(record, "new key", later, taken={"younger"}) is None
    assert asked_once().next_request(record, "new key", later, taken={"younger", "older"}) is not None


def test_what_a_coupon_paid_and_went_back_with_the_last_won_is_no_refund_of_ours() -> None:
    all_back = replace(
        payment(900, cancelled("console", 900)), status=PaymentStatus.CANCELLED, said="CANCELLED", paid=krw(900)
    )
    assert (all_back.went_back, all_back.unlisted) == (krw(1000), krw(0))
    assert not asked_once(amount=100).may_be_done(all_back)
