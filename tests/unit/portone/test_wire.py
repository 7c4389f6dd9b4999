"""What PortOne's records become: what must be there, what may grow, and what may be missing."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.portone import wire
from application.errors import GatewayUnavailableError
from domain.money import Money
from domain.payment import Cancellation, CancellationStatus, Payment, PaymentStatus

LEAST: dict[str, object] = {
    "status": "READY",
    "id": "payment0001",
    "amount": {"total": 71000, "cancelled": 0},
    "currency": "KRW",
}
CANCELLATION: dict[str, object] = {
    "status": "SUCCEEDED",
    "id": "0cdd91e9-4e7c-44a3-a72e-1a6511800001",
    "totalAmount": 30000,
    "taxFreeAmount": 0,
    "vatAmount": 2727,
    "reason": "고객 요청",
    "requestedAt": "2024-04-25T11:00:00Z",
    "trigger": "API",
}
REQUESTED_AT = datetime(2024, 4, 25, 11, tzinfo=UTC)


def read(**changes: object) -> Payment:
    return wire.read_payment(json.dumps({**LEAST, **changes}).encode())


def test_the_least_that_makes_a_payment() -> None:
    assert read() == Payment(
        id="payment0001",
        status=PaymentStatus.READY,
        said="READY",
        total=Money(71000, "KRW"),
        cancelled=Money(0, "KRW"),
        store_id=None,
        channel_type=None,
    )


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("READY", PaymentStatus.READY),
        ("PAY_PENDING", PaymentStatus.PAY_PENDING),
        ("PENDING", PaymentStatus.PAY_PENDING),
        ("VIRTUAL_ACCOUNT_ISSUED", PaymentStatus.VIRTUAL_ACCOUNT_ISSUED),
        ("PAID", PaymentStatus.PAID),
        ("FAILED", PaymentStatus.FAILED),
        ("PARTIAL_CANCELLED", PaymentStatus.PARTIAL_CANCELLED),
        ("CANCELLED", PaymentStatus.CANCELLED),
        ("RECONCILED", PaymentStatus.UNKNOWN),
        ("paid", PaymentStatus.UNKNOWN),
        ("", PaymentStatus.UNKNOWN),
    ],
)
def test_a_status_is_a_word_and_a_word_we_do_not_know_is_unknown(word: str, status: PaymentStatus) -> None:
    payment = read(status=word)
    assert (payment.status, payment.said) == (status, word)


@pytest.mark.parametrize("field", ["status", "id", "amount", "currency"])
@pytest.mark.parametrize("value", ["missing", None, 5, [], True])
def test_a_record_without_what_decides_about_money_cannot_be_read(field: str, value: object) -> None:
    record = {name: said for name, said in LEAST.items() if name != field}
    if value != "missing":
        record[field] = value
    with pytest.raises(GatewayUnavailableError):
        wire.read_payment(json.dumps(record).encode())


@pytest.mark.parametrize("field", ["total", "cancelled"])
@pytest.mark.parametrize("value", ["missing", None, "71000", 71000.0, -1, True, 10**16, [71000]])
def test_an_amount_that_is_no_whole_number_of_won_cannot_be_read(field: str, value: object) -> None:
    amount: dict[str, object] = {"total": 71000, "cancelled": 0}
    del amount[field]
    if value != "missing":
        amount[field] = value
    with pytest.raises(GatewayUnavailableError):
        read(amount=amount)


@pytest.mark.parametrize("currency", ["", "krw", "CURRENCY_KRW", "WON!"])
def test_a_currency_that_is_no_iso_code_cannot_be_read(currency: str) -> None:
    with pytest.raises(GatewayUnavailableError):
        read(currency=currency)


def test_the_channel_type_is_the_gateways_word_or_none() -> None:
    assert read(channel={"type": "TEST", "key": "k"}).channel_type == "TEST"
    assert read(channel={"type": "SOMETHING_NEW"}).channel_type == "SOMETHING_NEW"
    assert read(channel={"key": "k"}).channel_type is None
    assert read(channel=None).channel_type is None


def test_a_deposit_is_due_when_its_account_expires() -> None:
    method = {"type": "PaymentMethodVirtualAccount", "accountNumber": "1", "expiredAt": "2024-04-26T19:00:00+09:00"}
    assert read(status="VIRTUAL_ACCOUNT_ISSUED", method=method).deposit_due == datetime(2024, 4, 26, 10, tzinfo=UTC)
    assert read(status="VIRTUAL_ACCOUNT_ISSUED", method={**method, "expiredAt": None}).deposit_due is None
    assert read(status="VIRTUAL_ACCOUNT_ISSUED").deposit_due is None
    assert read(status="VIRTUAL_ACCOUNT_ISSUED", method=["new"]).deposit_due is None
    assert read(status="PAID", method=method).deposit_due is None


@pytest.mark.parametrize(
    ("said", "at"),
    [
        ("2024-04-25T10:00:00Z", datetime(2024, 4, 25, 10, tzinfo=UTC)),
        ("2024-04-25T10:00:00.123456789Z", datetime(2024, 4, 25, 10, 0, 0, 123457, tzinfo=UTC)),
        ("2024-04-25T19:00:00.5+09:00", datetime(2024, 4, 25, 10, 0, 0, 500000, tzinfo=UTC)),
        ("2024-04-25T10:00:00", None),
        ("2024-04-25", None),
        ("0001-01-01T00:00:00+23:59", None),
        ("9999-12-31T23:59:59-23:59", None),
        ("soon", None),
        ("", None),
        (1714039200, None),
        (None, None),
        ({}, None),
    ],
)
def test_a_time_is_read_in_utc_and_one_that_cannot_be_read_is_none(said: object, at: datetime | None) -> None:
    payment = read(statusChangedAt=said, updatedAt=said)
    assert payment.changed_at == payment.updated_at == at


def test_the_attempt_is_portones_transaction() -> None:
    assert read(transactionId="5545").attempt == "5545"
    assert read(transactionId=5545).attempt is None


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("REQUESTED", CancellationStatus.REQUESTED),
        ("SUCCEEDED", CancellationStatus.SUCCEEDED),
        ("FAILED", CancellationStatus.FAILED),
        ("SOMETHING_NEW", CancellationStatus.UNKNOWN),
    ],
)
def test_every_cancellation_is_kept_with_its_status(word: str, status: CancellationStatus) -> None:
    payment = read(status="PAID", cancellations=[CANCELLATION, {**CANCELLATION, "id": "2", "status": word}])
    assert payment.cancellations == (
        Cancellation(
            id="0cdd91e9-4e7c-44a3-a72e-1a6511800001",
            status=CancellationStatus.SUCCEEDED,
            amount=Money(30000, "KRW"),
            reason="고객 요청",
            requested_at=REQUESTED_AT,
        ),
        Cancellation(id="2", status=status, amount=Money(30000, "KRW"), reason="고객 요청", requested_at=REQUESTED_AT),
    )


@pytest.mark.parametrize(
    ("said", "requested_at", "charged_back"),
    [
        ({"trigger": "CHARGEBACK"}, REQUESTED_AT, True),
        ({"trigger": "CONSOLE"}, REQUESTED_AT, False),
        ({"trigger": "SOMETHING_NEW"}, REQUESTED_AT, False),
        ({"trigger": ["CHARGEBACK"]}, REQUESTED_AT, False),
        ({"requestedAt": "soon"}, None, False),
        ({"requestedAt": None}, None, False),
        ({"reason": ""}, REQUESTED_AT, False),
    ],
)
def test_a_cancellation_says_who_was_behind_it_and_when_it_was_asked_for(
    said: dict[str, object], requested_at: datetime | None, *, charged_back: bool
) -> None:
    (cancellation,) = read(status="PAID", cancellations=[{**CANCELLATION, **said}]).cancellations
    assert (cancellation.requested_at, cancellation.charged_back) == (requested_at, charged_back)


@pytest.mark.parametrize(
    ("amount", "parts"),
    [
        ({}, (None, None, None)),
        ({"paid": 0, "taxFree": 0, "cancelledTaxFree": 0}, (0, 0, 0)),
        ({"paid": 900, "taxFree": 300, "cancelledTaxFree": 100}, (900, 300, 100)),
        ({"paid": None, "taxFree": None}, (None, None, None)),
    ],
)
def test_the_parts_of_an_amount_are_read_where_they_are_said_and_nothing_is_a_number(
    amount: dict[str, object], parts: tuple[int | None, ...]
) -> None:
    payment = read(amount={"total": 1000, "cancelled": 0, **amount})
    said = (payment.paid, payment.tax_free, payment.cancelled_tax_free)
    assert said == tuple(None if part is None else Money(part, payment.total.currency) for part in parts)


@pytest.mark.parametrize("part", ["paid", "taxFree", "cancelledTaxFree"])
@pytest.mark.parametrize("strange", [-1, 0.5, "0", [], True])
def test_a_part_that_is_no_amount_makes_the_record_unusable(part: str, strange: object) -> None:
    with pytest.raises(GatewayUnavailableError):
        read(amount={"total": 1000, "cancelled": 0, part: strange})


@pytest.mark.parametrize(
    ("method", "by_account"),
    [
        ({"type": "PaymentMethodVirtualAccount"}, True),
        ({"type": "PaymentMethodEasyPay"}, False),
        ({"type": ["PaymentMethodVirtualAccount"]}, False),
        ({}, False),
        ("PaymentMethodVirtualAccount", False),
        (None, False),
    ],
)
def test_money_that_was_sent_to_an_account_is_told_by_its_method(method: object, *, by_account: bool) -> None:
    assert read(status="PAID", method=method).by_account is by_account


@pytest.mark.parametrize(
    ("disputes", "disputed"),
    [
        ([{"status": "CREATED"}], True),
        ([{"status": "RESOLVED"}], False),
        ([{"status": "RESOLVED"}, {"status": "SOMETHING_NEW"}], True),
        ([{}], True),
        ([], False),
        (["strange"], False),
        ("strange", None),
        (None, None),
    ],
)
def test_a_payment_is_disputed_until_each_dispute_is_resolved_and_no_list_says_nothing(
    disputes: object, *, disputed: bool | None
) -> None:
    assert read(status="PAID", disputes=disputes).disputed is disputed


@pytest.mark.parametrize("field", ["id", "status", "totalAmount"])
def test_a_cancellation_that_cannot_be_read_makes_the_record_unusable(field: str) -> None:
    """Half a list of what went back would have the same money sent back twice."""
    broken = {name: said for name, said in CANCELLATION.items() if name != field}
    with pytest.raises(GatewayUnavailableError):
        read(status="PAID", cancellations=[CANCELLATION, broken])


def test_no_cancellations_may_be_said_in_three_ways() -> None:
    assert read().cancellations == read(cancellations=None).cancellations == read(cancellations=[]).cancellations == ()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
time = st.sampled_from(["2024-04-25T10:00:00Z", "2024-04-25T10:00:00.123456789+09:00", "soon"])
whole = st.integers(min_value=0, max_value=10**15)
record = st.fixed_dictionaries(
    {
        "status": st.sampled_from([status.value for status in PaymentStatus]) | st.text(max_size=12),
        "id": st.text(max_size=40),
        "amount": st.fixed_dictionaries(
            {"total": whole, "cancelled": whole}, optional={"paid": whole, "new": anything}
        ),
        "currency": st.sampled_from(["KRW", "USD", "JPY"]),
    },
    optional={
        "storeId": st.text(max_size=12),
        "channel": st.fixed_dictionaries({}, optional={"type": st.text(max_size=8), "new": anything}),
        "transactionId": anything,
        "statusChangedAt": time | anything,
        "updatedAt": time | anything,
        "method": st.fixed_dictionaries({"type": st.text(max_size=8)}, optional={"expiredAt": time | anything})
        | anything,
        "cancellations": st.lists(
            st.fixed_dictionaries(
                {"id": st.text(max_size=8), "status": st.text(max_size=8), "totalAmount": whole},
                optional={"reason": st.text(max_size=8), "new": anything},
            ),
            max_size=3,
        ),
        "customer": anything,
        "new": anything,
    },
)


@given(said=record)
def test_a_record_of_portones_shape_is_read_whatever_grows_on_it(said: dict[str, object]) -> None:
    payment = wire.read_payment(json.dumps(said, ensure_ascii=False, allow_nan=False).encode())
    assert payment.id == said["id"]
    assert len(payment.cancellations) == len(said.get("cancellations") or ())  # type: ignore[arg-type]


@given(said=record, spoilt=st.sampled_from([*LEAST, "storeId", "channel", "cancellations"]), by=anything)
def test_a_spoilt_record_is_a_payment_or_no_answer(said: dict[str, object], spoilt: str, by: object) -> None:
    body = json.dumps({**said, spoilt: by}).encode()
    try:
        payment = wire.read_payment(body)
    except GatewayUnavailableError:
        return
    assert isinstance(payment, Payment)


@given(body=st.binary(max_size=200))
def test_no_bytes_end_in_anything_else(body: bytes) -> None:
    for read_answer in (wire.read_payment, wire.read_changed_page, lambda body: wire.read_cancellation(body, "KRW")):
        with pytest.raises(GatewayUnavailableError):
            read_answer(body)
    assert wire.refusal_code(body) is None
