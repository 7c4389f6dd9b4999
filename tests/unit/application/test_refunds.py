"""A refund on its way: the same words under the same key, anew only where that is safe, else a person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from adapters.portone.wire import REFUSALS
from application.answer_attention import AnswerAttentionCommand
from application.errors import (
    GatewayRefusedError,
    GatewayUnavailableError,
    OrderNotFoundError,
    RefundNotFoundError,
    Refusal,
)
from application.ports import CancelPayment, RefundAccount
from application.refund_order import RefundOrderCommand, WithdrawRefundCommand
from domain.attention import Attention, AttentionKind
from domain.errors import NothingToAnswerError, RefundNotPossibleError
from domain.ids import OrderId, PaymentId, RefundId
from domain.lifecycle import OrderStatus
from domain.money import Money
from domain.payment import Cancellation, Payment
from domain.policy import Policy
from domain.refund import Need, Refund, RefundStatus
from fake_portone.faults import Fault

PRICE = 355_000
KEY_LIFE = {"hours": 2, "minutes": 51}


class Gateway:
    """The gateway before which it stands, that may cut reasons, lose answers, refuse, and show what it will."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.asked: list[CancelPayment] = []
        self.loses_answers = self.is_down = self.hides = False
        self.reason: Callable[[str], str] = lambda reason: reason
        self.dated = True
        self.by_account = False
        self.refuses: list[GatewayRefusedError] = []
        self.first: Callable[[], object] | None = None

    async def get(self, payment_id: PaymentId) -> Payment | None:
        payment: Payment | None = await self._inner.get(payment_id)
        if payment is None:
            return None
        shown = [] if self.hides else [self._as_shown(c) for c in payment.cancellations]
        return replace(payment, cancellations=tuple(shown), by_account=self.by_account)

    async def cancel(self, cancel: CancelPayment) -> Cancellation:
        self.asked.append(cancel)
        first, self.first = self.first, None
        if first is not None:
            first()
        if self.is_down:
            raise GatewayUnavailableError("503 from the gateway")
        if self.refuses:
            raise self.refuses.pop()
        done: Cancellation = await self._inner.cancel(cancel)
        if self.loses_answers:
            raise GatewayUnavailableError("the answer was lost")
        return done

    def _as_shown(self, cancellation: Cancellation) -> Cancellation:
        at = cancellation.requested_at if self.dated else None
        return replace(cancellation, reason=self.reason(cancellation.reason), requested_at=at)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.fixture
async def shop(new_world: Any) -> Any:
    return await new_world(Gateway)


async def completed(world: Any, **changed: Any) -> Any:
    placed = await world.place()
    world.pay(placed, **changed)
    await world.webhook(placed)
    return placed


async def late(world: Any) -> Any:
    """An order that expired, and was paid all the same."""
    placed = await world.place()
    await world.check(minutes=16)
    return await paid_late(world, placed)


async def paid_late(world: Any, placed: Any) -> Any:
    world.pay(placed)
    await world.webhook(placed)
    return placed


async def ask(world: Any, placed: Any, minor: int | None = 50_000, account: RefundAccount | None = None) -> Refund:
    refund: Refund = await world.refund_order(
        RefundOrderCommand(
            order_id=placed.order.id,
            amount=None if minor is None else Money(minor, "KRW"),
            reason="asked",
            requested_by="merchant:1",
            idempotency_key=world.new_id(),
            account=account,
        )
    )
    return refund


async def answer(world: Any, placed: Any, note: str = "seen to") -> None:
    await world.answer_attention(AnswerAttentionCommand(order_id=placed.order.id, by="operator:kim", note=note))


async def withdraw(world: Any, placed: Any, refund_id: str) -> Refund:
    command = WithdrawRefundCommand(order_id=placed.order.id, refund_id=RefundId(refund_id), by="operator:kim")
    refund: Refund = await world.withdraw_refund(command)
    return refund


async def asks(world: Any, placed: Any) -> AttentionKind | None:
    attention: Attention | None = (await world.record(placed)).order.attention
    return None if attention is None else attention.kind


async def ends(world: Any, placed: Any) -> list[str]:
    return [refund.status.value for refund in (await world.record(placed)).refunds]


def words(cancel: CancelPayment) -> tuple[object, ...]:
    return (cancel.key, cancel.amount, cancel.tax_free, cancel.left, cancel.reason, cancel.store_id)


# --- the same words under the same key ---------------------------------------------------------------------------


async def test_what_is_asked_is_written_down_before_it_is_asked(shop: Any) -> None:
    placed = await completed(shop)
    refund = await ask(shop, placed)
    shop.gateway.is_down = True
    await shop.check()
    (asked,) = shop.gateway.asked
    (kept,) = (await shop.record(placed)).refunds
    assert kept.sent is not None
    assert (asked.key, asked.amount, asked.tax_free, asked.left) == (
        kept.sent.key,
        kept.sent.amount,
        kept.sent.tax_free,
        kept.sent.left,
    )
    assert (kept.id, kept.sent.key, kept.sent.at, kept.sent.times) == (refund.id, refund.id, shop.now(), 1)


async def test_while_its_key_lives_a_refund_is_asked_for_in_the_same_words_whatever_moved_meanwhile(shop: Any) -> None:
    placed = await completed(shop)
    await ask(shop, placed)
    shop.gateway.is_down = True
    for _ in range(6):
        await shop.check(minutes=15)
    shop.fake.buyer.cancel_in_console(placed.order.payment_id, 100_000)
    await shop.check(minutes=15)
    assert len(shop.gateway.asked) > 5
    assert len({words(asked) for asked in shop.gateway.asked}) == 1


async def test_an_answer_that_was_lost_is_given_again_under_the_same_key(shop: Any) -> None:
    placed = await completed(shop)
    shop.gateway.reason = lambda _: ""
    await ask(shop, placed)
    shop.gateway.loses_answers = True
    await shop.check()
    await shop.check(minutes=5)
    shop.gateway.loses_answers = False
    record = await shop.rest(placed)
    assert [refund.status for refund in record.refunds] == [RefundStatus.SUCCEEDED]
    assert record.refunds[0].cancellation_id is not None
    assert len({words(asked) for asked in shop.gateway.asked}) == 1
    assert shop.net(placed) == PRICE - 50_000


async def test_a_refund_is_known_by_the_gateways_own_name_for_it_where_its_reason_is_cut(shop: Any) -> None:
    placed = await completed(shop)
    shop.gateway.reason = lambda reason: reason[:10]
    await ask(shop, placed)
    record = await shop.rest(placed)
    assert [refund.status for refund in record.refunds] == [RefundStatus.SUCCEEDED]
    assert len(shop.gateway.asked) == 1
    assert shop.net(placed) == PRICE - 50_000


# --- once, and never twice ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", [lambda _: "", lambda text: text[:20], lambda _: "고객 요청"])
@pytest.mark.parametrize("dated", [True, False])
@pytest.mark.parametrize("hides", [True, False])
async def test_a_partial_refund_of_which_the_answer_is_lost_and_the_reason_cut_is_never_carried_out_twice(
    shop: Any, reason: Callable[[str], str], *, dated: bool, hides: bool
) -> None:
    placed = await completed(shop)
    await ask(shop, placed)
    shop.gateway.reason, shop.gateway.dated, shop.gateway.hides = reason, dated, hides
    shop.gateway.loses_answers = True
    for _ in range(100):
        await shop.check(minutes=15)
    assert shop.net(placed) == PRICE - 50_000, "it went back once, and never again in 25 hours"
    assert await asks(shop, placed) is AttentionKind.REFUND_UNCLEAR
    assert await ends(shop, placed) == ["REQUESTED"]
    assert len({asked.key for asked in shop.gateway.asked}) == 1
    assert (await shop.kinds(placed)).count("attention") <= 2, "it asks once, and not at each check"

    (refund,) = (await shop.record(placed)).refunds
    await withdraw(shop, placed, refund.id)
    record = await shop.rest(placed)
    assert (record.order.status, record.order.refunded, record.order.attention) == (
        OrderStatus.COMPLETED,
        Money(50_000, "KRW"),
        None,
    )


async def test_after_the_keys_life_a_refund_is_asked_for_anew_where_nothing_went_back(shop: Any) -> None:
    placed = await completed(shop)
    refund = await ask(shop, placed)
    shop.gateway.is_down = True
    await shop.check()
    await shop.check(**KEY_LIFE)
    shop.gateway.is_down = False
    record = await shop.rest(placed)
    assert [refund.status for refund in record.refunds] == [RefundStatus.SUCCEEDED]
    assert [asked.key for asked in shop.gateway.asked] == [refund.id, f"{refund.id}-2", f"{refund.id}-2"]
    assert shop.net(placed) == PRICE - 50_000


async def test_after_the_keys_life_another_named_refund_of_the_same_sum_leaves_no_doubt(shop: Any) -> None:
    placed = await completed(shop)
    first, second = await ask(shop, placed), await ask(shop, placed)
    shop.gateway.refuses = [GatewayRefusedError("SOMETHING_NEW")]
    await shop.check()
    assert sorted(await ends(shop, placed)) == ["REQUESTED", "SUCCEEDED"]
    await shop.check(**KEY_LIFE)
    record = await shop.rest(placed)
    assert {refund.id: refund.status for refund in record.refunds} == dict.fromkeys(
        (first.id, second.id), RefundStatus.SUCCEEDED
    )
    assert shop.net(placed) == PRICE - 100_000


async def test_after_the_keys_life_the_same_sum_from_the_console_is_for_a_person_to_tell_apart(shop: Any) -> None:
    placed = await completed(shop)
    await ask(shop, placed)
    shop.gateway.is_down = True
    await shop.check()
    shop.fake.buyer.cancel_in_console(placed.order.payment_id, 50_000)
    shop.gateway.is_down = False
    shop.pass_time(**KEY_LIFE)
    for _ in range(5):
        await shop.check(hours=1)
    assert await asks(shop, placed) is AttentionKind.REFUND_UNCLEAR
    assert shop.net(placed) == PRICE - 50_000


# --- what is left is another sum than we said ------------------------------------------------------------------


async def test_where_the_console_was_faster_a_refund_is_asked_for_anew_by_what_is_left(shop: Any) -> None:
    placed = await completed(shop)
    refund = await ask(shop, placed)
    shop.gateway.first = lambda: shop.fake.buyer.cancel_in_console(placed.order.payment_id, 100_000)
    await shop.check()
    first, second = shop.gateway.asked
    assert (first.key, first.left) == (refund.id, Money(PRICE, "KRW"))
    assert (second.key, second.left) == (f"{refund.id}-2", Money(PRICE - 100_000, "KRW"))
    assert await ends(shop, placed) == ["SUCCEEDED"]
    assert shop.net(placed) == PRICE - 150_000


async def test_where_the_console_left_too_little_a_refund_ends(shop: Any) -> None:
    placed = await completed(shop)
    await ask(shop, placed, 300_000)
    shop.gateway.first = lambda: shop.fake.buyer.cancel_in_console(placed.order.payment_id, 100_000)
    record = await shop.rest(placed)
    assert [refund.status for refund in record.refunds] == [RefundStatus.FAILED]
    assert len(shop.gateway.asked) == 1
    assert shop.net(placed) == PRICE - 100_000


# --- refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "by_account", "needs"),
    [
        ("INVALID_REQUEST", False, Need.NOTHING),
        ("INVALID_REQUEST", True, Need.ACCOUNT),
        ("CANCEL_TAX_FREE_AMOUNT_EXCEEDS_CANCELLABLE_TAX_FREE_AMOUNT", False, Need.TAX_PART),
        ("CANCEL_TAX_AMOUNT_EXCEEDS_CANCELLABLE_TAX_AMOUNT", True, Need.TAX_PART),
        ("SUM_OF_PARTS_EXCEEDS_CANCEL_AMOUNT", False, Need.TAX_PART),
        ("MAX_CANCEL_COUNT_REACHED", False, Need.NOTHING),
        ("NEGATIVE_PROMOTION_ADJUSTED_CANCEL_AMOUNT", False, Need.NOTHING),
        ("PROMOTION_DISCOUNT_RETAIN_OPTION_SHOULD_NOT_BE_CHANGED", False, Need.NOTHING),
    ],
)
async def test_a_refund_refused_for_good_ends_frees_its_sum_and_asks_a_person(
    shop: Any, code: str, needs: Need, *, by_account: bool
) -> None:
    placed = await completed(shop)
    await ask(shop, placed)
    shop.gateway.by_account = by_account
    shop.gateway.refuses = [GatewayRefusedError(code, kind=REFUSALS[code])]
    (checked,) = await shop.check()
    assert checked.failure is None
    record = await shop.record(placed)
    (refund,) = record.refunds
    assert (refund.status, refund.needs, refund.failure) == (RefundStatus.REFUSED, needs, code)
    assert (record.order.owed.minor, record.order.refundable.minor, record.order.check_at) == (0, PRICE, None)
    assert record.order.attention.kind is AttentionKind.REFUND_REFUSED
    assert code in record.order.attention.why


async def test_every_word_of_refusal_has_one_consequence() -> None:
    assert set(REFUSALS.values()) == set(Refusal) - {Refusal.LATER}, "and any word we do not know is one for later"


async def test_a_refusal_nobody_knows_may_be_one_of_another_time_and_asks_a_person_after_a_while(shop: Any) -> None:
    placed = await completed(shop)
    await ask(shop, placed)
    shop.gateway.refuses = [GatewayRefusedError("SOMETHING_NEW") for _ in range(20)]
    for _ in range(6):
        assert await asks(shop, placed) is None
        (checked,) = await shop.check(minutes=6)
        assert checked.failure == "the gateway refused: SOMETHING_NEW"
    assert await asks(shop, placed) is AttentionKind.CHECKS_FAIL
    assert await ends(shop, placed) == ["REQUESTED"]
    shop.gateway.refuses = []
    assert [refund.status for refund in (await shop.rest(placed)).refunds] == [RefundStatus.SUCCEEDED]
    assert await asks(shop, placed) is None


async def test_a_refund_refused_for_good_holds_up_no_other(shop: Any) -> None:
    placed = await completed(shop)
    first, second = await ask(shop, placed, 50_000), await ask(shop, placed, 60_000)
    shop.gateway.refuses = [GatewayRefusedError("MAX_CANCEL_COUNT_REACHED", kind=Refusal.NEVER)]
    await shop.check()
    assert sorted(await ends(shop, placed)) == ["REFUSED", "SUCCEEDED"]
    assert {asked.refund_id for asked in shop.gateway.asked} == {first.id, second.id}
    assert await asks(shop, placed) is AttentionKind.REFUND_REFUSED


async def test_late_money_that_the_gateway_will_not_give_back_is_asked_for_once_and_anew_only_by_a_person(
    shop: Any,
) -> None:
    placed = await late(shop)
    shop.gateway.refuses = [GatewayRefusedError("MAX_CANCEL_COUNT_REACHED", kind=Refusal.NEVER)]
    await shop.check()
    for _ in range(10):
        await shop.check(hours=3)
        await shop.webhook(placed)
    assert (await ends(shop, placed), len(shop.gateway.asked)) == (["REFUSED"], 1)
    assert await asks(shop, placed) is AttentionKind.REFUND_REFUSED
    await answer(shop, placed, "the contract will be changed")
    await shop.rest(placed)
    assert (await ends(shop, placed), len(shop.gateway.asked)) == (["REFUSED"], 1)
    await ask(shop, placed, None)
    await shop.rest(placed)
    assert await ends(shop, placed) == ["REFUSED", "SUCCEEDED"]
    assert (await asks(shop, placed), shop.net(placed)) == (None, 0)


async def test_a_refund_that_was_refused_can_be_asked_for_in_another_sum(shop: Any) -> None:
    placed = await completed(shop)
    await ask(shop, placed, 50_000)
    shop.gateway.refuses = [GatewayRefusedError("MAX_CANCEL_COUNT_REACHED", kind=Refusal.NEVER)]
    await shop.check()
    shop.pass_time(seconds=1)
    await ask(shop, placed, None)
    record = await shop.rest(placed)
    assert [refund.status for refund in record.refunds] == [RefundStatus.REFUSED, RefundStatus.SUCCEEDED]
    assert (record.order.status, shop.net(placed)) == (OrderStatus.CANCELLED, 0)


# --- it hangs ------------------------------------------------------------------------------------------------------


async def test_a_refund_that_hangs_asks_a_person_after_what_was_promised_and_not_before(new_world: Any) -> None:
    shop = await new_world(Gateway, policy=Policy(refund_promise=timedelta(hours=5)))
    placed = await completed(shop)
    await ask(shop, placed)
    shop.faults(Fault(name="cancel_requested", times=1, seconds=36 * 60 * 60))
    await shop.check()
    await shop.check(hours=4)
    assert await asks(shop, placed) is None
    await shop.check(hours=2)
    assert await asks(shop, placed) is AttentionKind.REFUND_LATE
    record = await shop.rest(placed, within=200)
    assert [refund.status for refund in record.refunds] == [RefundStatus.SUCCEEDED]
    assert await asks(shop, placed) is None


# --- a person's doors -----------------------------------------------------------------------------------------------


async def test_a_refund_is_withdrawn_before_the_gateway_was_asked_for_it(shop: Any) -> None:
    placed = await completed(shop)
    refund = await ask(shop, placed)
    withdrawn = await withdraw(shop, placed, refund.id)
    assert (withdrawn.status, withdrawn.ended_at) == (RefundStatus.WITHDRAWN, shop.now())
    record = await shop.rest(placed)
    assert (record.order.owed.minor, shop.gateway.asked, shop.net(placed)) == (0, [], PRICE)
    assert await shop.kinds(placed) == [
        "placed",
        "payment_observed",
        "completed",
        "refund_requested",
        "refund_withdrawn",
    ]


async def test_a_refund_that_the_gateway_was_asked_for_is_not_withdrawn(shop: Any) -> None:
    placed = await completed(shop)
    refund = await ask(shop, placed)
    shop.gateway.is_down = True
    await shop.check()
    with pytest.raises(RefundNotPossibleError, match="may be done at any moment"):
        await withdraw(shop, placed, refund.id)
    assert await ends(shop, placed) == ["REQUESTED"]


async def test_what_is_not_there_cannot_be_withdrawn_or_answered(shop: Any) -> None:
    placed = await completed(shop)
    missing = replace(placed, order=replace(placed.order, id=OrderId("f" * 32)))
    with pytest.raises(RefundNotFoundError):
        await withdraw(shop, placed, "f" * 32)
    with pytest.raises(OrderNotFoundError):
        await withdraw(shop, missing, "f" * 32)
    with pytest.raises(OrderNotFoundError):
        await answer(shop, missing)
    with pytest.raises(NothingToAnswerError):
        await answer(shop, placed)


async def test_whoever_withdraws_or_answers_is_heard_by_whoever_follows(shop: Any) -> None:
    placed = await completed(shop)
    refund = await ask(shop, placed)
    with shop.notifier.subscribe(placed.order.id) as subscription:
        await withdraw(shop, placed, refund.id)
        assert await subscription.wait(0)
    await ask(shop, placed)
    shop.gateway.refuses = [GatewayRefusedError("MAX_CANCEL_COUNT_REACHED", kind=Refusal.NEVER)]
    await shop.check()
    with shop.notifier.subscribe(placed.order.id) as subscription:
        await answer(shop, placed)
        assert await subscription.wait(0)


async def test_money_that_was_sent_to_an_account_goes_back_to_the_one_that_is_named_and_kept_nowhere(
    shop: Any,
) -> None:
    placed = await completed(shop)
    shop.gateway.by_account = True
    shop.gateway.refuses = [GatewayRefusedError("INVALID_REQUEST", kind=Refusal.MALFORMED)]
    await ask(shop, placed)
    await shop.check()
    assert (await shop.record(placed)).refunds[0].needs is Need.ACCOUNT

    account = RefundAccount(bank="KAKAO", number="3333-01-0000000", holder="김")
    refund = await ask(shop, placed, account=account)
    assert refund.status is RefundStatus.SUCCEEDED
    assert [asked.account for asked in shop.gateway.asked] == [None, account]
    assert shop.net(placed) == PRICE - 50_000
    assert "3333" not in repr(await shop.record(placed))
    assert await asks(shop, placed) is None


async def test_an_account_is_handed_over_for_the_refund_it_was_named_for_and_for_no_other(shop: Any) -> None:
    placed = await completed(shop)
    first = await ask(shop, placed, 60_000)
    account = RefundAccount(bank="KAKAO", number="3333-01-0000000", holder="김")
    second = await ask(shop, placed, account=account)
    assert {asked.refund_id: asked.account for asked in shop.gateway.asked} == {first.id: None, second.id: account}


async def test_a_refund_to_an_account_waits_for_whoever_has_the_account(shop: Any) -> None:
    placed = await completed(shop)
    shop.gateway.is_down = True
    account = RefundAccount(bank="KAKAO", number="3333-01-0000000", holder="김")
    refund = await ask(shop, placed, account=account)
    assert refund.status is RefundStatus.REQUESTED
    shop.gateway.is_down = False
    for _ in range(3):
        await shop.check(minutes=30)
    assert await ends(shop, placed) == ["REQUESTED"]
    assert len(shop.gateway.asked) == 1
