"""How much one order may be."""

from __future__ import annotations

import pytest

from domain.errors import BeyondLimitsError
from domain.limits import Limits
from domain.money import Money

LIMITS = Limits(
    amounts=((Money(100, "KRW"), Money(2_000_000, "KRW")), (Money(50, "USD"), Money(60, "USD"))),
    order_units=5,
    product_units=3,
)


@pytest.mark.parametrize("amount", [Money(100, "KRW"), Money(2_000_000, "KRW"), Money(50, "USD"), Money(60, "USD")])
def test_both_ends_of_a_limit_are_within_it(amount: Money) -> None:
    LIMITS.check_amount(amount, "an order")


@pytest.mark.parametrize("amount", [Money(0, "KRW"), Money(0, "USD")])
def test_what_costs_nothing_need_not_be_paid(amount: Money) -> None:
    LIMITS.check_amount(amount, "an order")


@pytest.mark.parametrize("amount", [Money(1, "JPY"), Money(10**15, "EUR")])
def test_a_currency_without_limits_has_none(amount: Money) -> None:
    LIMITS.check_amount(amount, "an order")


@pytest.mark.parametrize(
    ("amount", "sentence"),
    [
        (Money(99, "KRW"), "an order of 99 KRW is beyond the limits of a payment, 100 to 2,000,000 KRW"),
        (Money(2_000_001, "KRW"), "an order of 2,000,001 KRW is beyond the limits of a payment, 100 to 2,000,000 KRW"),
        (Money(61, "USD"), "an order of 61 USD is beyond the limits of a payment, 50 to 60 USD"),
    ],
)
def test_what_is_beyond_a_limit_is_refused_by_its_name(amount: Money, sentence: str) -> None:
    with pytest.raises(BeyondLimitsError) as refused:
        LIMITS.check_amount(amount, "an order")
    assert str(refused.value) == sentence


@pytest.mark.parametrize("units", [[("a", 3), ("b", 2)], [("a", 1)], [(f"{n}", 1) for n in range(5)]])
def test_as_many_units_as_the_shop_lets_one_order_hold(units: list[tuple[str, int]]) -> None:
    LIMITS.check_units(units)


@pytest.mark.parametrize(
    ("units", "sentence"),
    [
        ([("a", 4)], "one order takes at most 3 of 'a'"),
        ([("a", 1), ("b", 4)], "one order takes at most 3 of 'b'"),
        ([("a", 3), ("b", 3)], "one order takes at most 5 units, and these are 6"),
        ([(f"{n}", 1) for n in range(6)], "one order takes at most 5 units, and these are 6"),
    ],
)
def test_one_unit_more_is_refused_by_the_limits_name(units: list[tuple[str, int]], sentence: str) -> None:
    with pytest.raises(BeyondLimitsError) as refused:
        LIMITS.check_units(units)
    assert str(refused.value) == sentence
