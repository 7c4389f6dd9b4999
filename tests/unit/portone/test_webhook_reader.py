"""The reader against a table of our own: every way a webhook can be wrong, and both sides of every bound."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import traceback
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.portone.webhook_reader import PortOneWebhookReader
from application.errors import WebhookRefusedError
from application.ports import WebhookReader
from domain.payment import PaymentStatus
from domain.webhook_event import WebhookEvent

Headers = list[tuple[bytes, bytes]]

NOW = datetime(2024, 4, 25, 10, 0, 0, 654321, tzinfo=UTC)
NOW_SECONDS = 1714039200
SECRET = "whsec_" + base64.b64encode(b"the secret that is in use now").decode()
OLD_SECRET = "whsec_" + base64.b64encode(b"the secret that it takes over from").decode()
STRANGER = "whsec_" + base64.b64encode(b"a secret that was never ours").decode()
PAID = (
    b'{"type":"Transaction.Paid","timestamp":"2024-04-25T10:00:00.000Z","data":{"paymentId":"'
    b'0123456789abcdef0123456789abcdef","storeId":"store-1","transactionId":"55451513-9763-4a7a-bb43-78a4c65be843"}}'
)

reader: WebhookReader = PortOneWebhookReader([SECRET, OLD_SECRET], lambda: NOW)


def signature(body: bytes, *, secret: str = SECRET, name: bytes = b"msg_1", at: bytes = b"1714039200") -> bytes:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return b"v1," + base64.b64encode(hmac.new(key, name + b"." + at + b"." + body, hashlib.sha256).digest())


def headers_for(
    body: bytes,
    *,
    secret: str = SECRET,
    name: bytes = b"msg_1",
    at: bytes = b"1714039200",
    signatures: bytes | None = None,
) -> Headers:
    signed = signature(body, secret=secret, name=name, at=at) if signatures is None else signatures
    return [
        (b"host", b"shop.example.com"),
        (b"webhook-id", name),
        (b"webhook-timestamp", at),
        (b"webhook-signature", signed),
        (b"content-type", b"application/json"),
    ]


def read(body: bytes, **signing: bytes) -> WebhookEvent:
    return reader(headers_for(body, **signing), body)  # type: ignore[arg-type]


def outcome(headers: Headers, body: bytes) -> WebhookEvent | str:
    """The event, or the reason of the refusal."""
    try:
        return reader(headers, body)
    except WebhookRefusedError as refused:
        return refused.reason


def refusal(headers: Headers, body: bytes) -> str:
    with pytest.raises(WebhookRefusedError) as refused:
        reader(headers, body)
    return refused.value.reason


# --- the five public vectors --------------------------------------------------------------------------------------

VECTORS = [
    (
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        b"msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ),
    (
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        b"msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        1649367553,
        b'{"email":"test@example.com","username":"test_user"}',
        b"v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
    ),
    (
        "pzQGE83cSIRKM4/WH5QY+g==",
        b"dummy-webhook-id",
        1714039200,
        b'{"test":"test payload"}',
        b"v1,AMuZERspSjUAnx8CvPtk1FoKRwbyI5Dg3Uj9585DiMQ=",
    ),
    (
        "pzQGE83cSIRKM4/WH5QY+g==",
        b"dummy-webhook-id",
        1714039200,
        b'{"test": "test payload"}',
        b"v1,biCzhirtjwCx//SL+e8vdtfIoZcMb+s/nmNPFxdeEew=",
    ),
    (
        "pzQGE83cSIRKM4/WH5QY+g==",
        b"dummy-webhook-id",
        1714039200,
        (
            b'{"type": "Transaction.Cancelled", "timestamp": "2024-04-25T10:00:00.000Z", "data": {"paymentId": '
            b'"example-payment-id", "transactionId": "55451513-9763-4a7a-bb43-78a4c65be843", "cancellationId": '
            b'"0cdd91e9-4e7c-44a3-a72e-1a6511826c2b", "storeId": "store-ae356798-3d20-4969-b739-14c6b0e1a667"}}'
        ),
        b"v1,pZ+jUSFKc6laAd3vj3OlWbQ/sisbsYvjAhjsocp++7w=",
    ),
]


@pytest.mark.parametrize(("secret", "name", "at", "body", "signed"), VECTORS)
def test_the_public_vectors_are_accepted(secret: str, name: bytes, at: int, body: bytes, signed: bytes) -> None:
    vector = PortOneWebhookReader([secret], lambda: datetime.fromtimestamp(at, UTC))
    event = vector(headers_for(body, name=name, at=str(at).encode(), signatures=signed), body)
    assert event.id == name.decode()


@pytest.mark.parametrize(("secret", "name", "at", "body", "signed"), VECTORS)
def test_the_public_vectors_are_refused_with_another_body(
    secret: str, name: bytes, at: int, body: bytes, signed: bytes
) -> None:
    vector = PortOneWebhookReader([secret], lambda: datetime.fromtimestamp(at, UTC))
    headers = headers_for(body, name=name, at=str(at).encode(), signatures=signed)
    for other in (body + b"\n", body[:-1], body.upper(), b""):
        with pytest.raises(WebhookRefusedError):
            vector(headers, other)


# --- who sent it --------------------------------------------------------------------------------------------------


def test_a_message_signed_with_either_secret_is_accepted() -> None:
    assert reader(headers_for(PAID, secret=SECRET), PAID) == reader(headers_for(PAID, secret=OLD_SECRET), PAID)


def test_a_message_signed_with_another_secret_is_refused() -> None:
    assert refusal(headers_for(PAID, secret=STRANGER), PAID) == "signature"


def test_the_signature_covers_the_id_the_time_and_every_byte_of_the_body() -> None:
    signed = signature(PAID)
    assert refusal(headers_for(PAID, name=b"msg_2", signatures=signed), PAID) == "signature"
    assert refusal(headers_for(PAID, at=b"1714039201", signatures=signed), PAID) == "signature"
    assert refusal(headers_for(PAID, signatures=signed), PAID + b" ") == "signature"
    assert refusal(headers_for(PAID, signatures=signed), PAID.replace(b"store-1", b"store-2")) == "signature"


def test_a_body_is_never_normalised_before_it_is_verified() -> None:
    composed, decomposed = (unicodedata.normalize(form, "카").encode() for form in ("NFC", "NFD"))
    body = b'{"type":"' + composed + b'"}'
    assert reader(headers_for(body), body).type == "카"
    assert refusal(headers_for(body), b'{"type":"' + decomposed + b'"}') == "signature"
    assert refusal(headers_for(b"{}\n"), b"{}\r\n") == "signature"


@pytest.mark.parametrize(
    "signatures",
    [
        b"%b",
        b"v1,AAAA %b",
        b"%b v1,AAAA",
        b"v1a,AAAA v2,AAAA %b v0,AAAA",
        b"v1 %b",
        b", %b ,",
        b"  %b  ",
        b"\xff\xfe %b",
        b"v1,AAAA " * 15 + b"%b",
    ],
)
def test_the_right_signature_is_found_among_others(signatures: bytes) -> None:
    assert reader(headers_for(PAID, signatures=signatures % signature(PAID)), PAID).id == "msg_1"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: b"",
        lambda _: b" ",
        lambda _: b"v1",
        lambda _: b"v1,",
        lambda _: b"none",
        lambda right: right.removeprefix(b"v1,"),
        lambda right: right.replace(b"v1,", b"v0,"),
        lambda right: right.replace(b"v1,", b"v1a,"),
        lambda right: right.replace(b"v1,", b"V1,"),
        lambda right: right.replace(b"v1,", b"v1, "),
        lambda right: right.replace(b" ", b"") + b",v1",
        lambda right: right[:11],
        lambda right: right.rstrip(b"="),
        lambda right: right + b"=",
        lambda right: right + b"\xff",
        lambda right: right[:20] + b"*" + right[20:],
        lambda right: right + b"," + right,
        lambda right: b"v1,AAAA " * 16 + right,
    ],
)
def test_anything_but_exactly_the_right_signature_is_refused(spoil: Callable[[bytes], bytes]) -> None:
    assert refusal(headers_for(PAID, signatures=spoil(signature(PAID))), PAID) == "signature"


# --- the headers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [b"webhook-id", b"webhook-timestamp", b"webhook-signature"])
def test_a_message_that_lacks_a_header_is_refused(missing: bytes) -> None:
    assert refusal([h for h in headers_for(PAID) if h[0] != missing], PAID) == "missing_header"


@pytest.mark.parametrize("twice", [b"webhook-id", b"webhook-timestamp", b"webhook-signature"])
@pytest.mark.parametrize("spelling", [bytes.lower, bytes.title])
def test_a_header_given_twice_is_refused_even_if_both_say_the_same(
    twice: bytes, spelling: Callable[[bytes], bytes]
) -> None:
    headers = headers_for(PAID)
    again = [(spelling(name), value) for name, value in headers if name == twice]
    assert refusal([*headers, *again], PAID) == "duplicate_header"


def test_header_names_may_be_written_in_any_case() -> None:
    assert reader([(name.upper(), value) for name, value in headers_for(PAID)], PAID).id == "msg_1"


@pytest.mark.parametrize("name", [b"x", b"a.b", b"!" * 256])
def test_an_id_of_1_to_256_printable_characters_is_accepted(name: bytes) -> None:
    assert reader(headers_for(PAID, name=name), PAID).id == name.decode()


@pytest.mark.parametrize("name", [b"", b" ", b"a b", b"a\n", b"a\x00", "é".encode(), b"\xff", b"!" * 257])
def test_any_other_id_is_refused_although_it_is_signed(name: bytes) -> None:
    assert refusal(headers_for(PAID, name=name), PAID) == "id"


# --- the time -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [-300, -299, -1, 0, 1, 299, 300])
def test_a_message_within_five_minutes_either_way_is_accepted(seconds: int) -> None:
    assert reader(headers_for(PAID, at=str(NOW_SECONDS + seconds).encode()), PAID).id == "msg_1"


@pytest.mark.parametrize(("seconds", "reason"), [(-301, "too_old"), (-5001, "too_old"), (301, "too_new")])
def test_a_message_beyond_five_minutes_is_refused(seconds: int, reason: str) -> None:
    assert refusal(headers_for(PAID, at=str(NOW_SECONDS + seconds).encode()), PAID) == reason


@pytest.mark.parametrize(("at", "reason"), [(b"0", "too_old"), (b"999999999999", "too_new")])
def test_the_first_and_the_last_time_that_can_be_written_are_only_out_of_time(at: bytes, reason: str) -> None:
    assert refusal(headers_for(PAID, at=at), PAID) == reason


@pytest.mark.parametrize(
    "at",
    [
        b"",
        b" 1714039200",
        b"1714039200 ",
        b"1714039200\n",
        b"+1714039200",
        b"-1714039200",
        b"1_714_039_200",
        b"1714039200.0",
        b"1714039200.9",
        b"1714039200abc",
        b"1.7140392e9",
        b"0x662a2da0",
        b"nan",
        b"inf",
        b"hello",
        b"0000000000000",
        "１７１４０３９２００".encode(),
        "١٧١٤٠٣٩٢٠٠".encode(),
        b"\xff",
        b"9" * 5000,
    ],
)
def test_a_time_in_any_other_spelling_is_refused_although_it_is_signed(at: bytes) -> None:
    assert refusal(headers_for(PAID, at=at), PAID) == "timestamp"


def test_only_the_clock_that_was_handed_in_decides() -> None:
    later = PortOneWebhookReader([SECRET], lambda: NOW + timedelta(days=3650))
    with pytest.raises(WebhookRefusedError, match="too_old"):
        later(headers_for(PAID), PAID)


# --- the secrets --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [SECRET, SECRET.removeprefix("whsec_"), "whsec_" + "A" * 22 + "=="])
def test_a_secret_may_have_its_prefix_or_not_and_sixteen_bytes_are_enough(secret: str) -> None:
    sixteen = PortOneWebhookReader([secret], lambda: NOW)
    assert sixteen(headers_for(PAID, secret=secret), PAID).id == "msg_1"


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_!!!!",
        "whsec_" + "A" * 20,  # fifteen bytes
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",  # its padding is missing
        "whsec_MfKQ9r8GKYqr-_jUPD8ILPZIo2LaLaSw",  # the other alphabet
        " whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
        "whsec_비밀비밀비밀비밀비밀비밀비밀비밀",
    ],
)
def test_a_bad_secret_is_named_by_its_place_and_never_shown(secret: str) -> None:
    with pytest.raises(ValueError, match="webhook secret 2 ") as refused:
        PortOneWebhookReader([SECRET, secret], lambda: NOW)
    hidden = secret.strip().removeprefix("whsec_")
    assert not hidden or hidden not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("secrets", [[], [SECRET, OLD_SECRET, STRANGER]])
def test_there_is_one_secret_or_there_are_two(secrets: list[str]) -> None:
    with pytest.raises(ValueError, match="one webhook secret, or two"):
        PortOneWebhookReader(secrets, lambda: NOW)


def test_a_reader_does_not_show_its_secrets() -> None:
    assert "secret that is in use" not in repr(reader)
    assert SECRET.removeprefix("whsec_") not in repr(reader)


# --- what it says -------------------------------------------------------------------------------------------------


def test_a_paid_payment_is_read_whole() -> None:
    assert read(PAID) == WebhookEvent(
        id="msg_1",  # type: ignore[arg-type]
        type="Transaction.Paid",
        payment_id="0123456789abcdef0123456789abcdef",
        store_id="store-1",
        occurred_at=datetime(2024, 4, 25, 10, 0, tzinfo=UTC),
        implies=frozenset({PaymentStatus.PAID, PaymentStatus.PARTIAL_CANCELLED, PaymentStatus.CANCELLED}),
    )


@pytest.mark.parametrize(
    ("word", "implied"),
    [
        ("Ready", set()),
        ("Failed", set()),
        ("Confirm", set()),
        ("SomethingNew", set()),
        ("PayPending", {"PAY_PENDING", "PAID", "FAILED", "PARTIAL_CANCELLED", "CANCELLED"}),
        ("VirtualAccountIssued", {"VIRTUAL_ACCOUNT_ISSUED", "PAID", "FAILED", "PARTIAL_CANCELLED", "CANCELLED"}),
        ("Paid", {"PAID", "PARTIAL_CANCELLED", "CANCELLED"}),
        ("CancelPending", {"PAID", "PARTIAL_CANCELLED", "CANCELLED"}),
        ("DisputeCreated", {"PAID", "PARTIAL_CANCELLED", "CANCELLED"}),
        ("DisputeResolved", {"PAID", "PARTIAL_CANCELLED", "CANCELLED"}),
        ("PartialCancelled", {"PARTIAL_CANCELLED", "CANCELLED"}),
        ("Cancelled", {"CANCELLED"}),
    ],
)
def test_each_type_implies_what_can_be_so_from_then_on_in_both_versions(word: str, implied: set[str]) -> None:
    new = read(json.dumps({"type": f"Transaction.{word}", "data": {"paymentId": "p"}}).encode())
    old = read(json.dumps({"payment_id": "p", "tx_id": "t", "status": word}).encode())
    form = read(f"payment_id=p&tx_id=t&status={word}".encode())
    assert new == old == form
    assert (new.type, new.payment_id) == (f"Transaction.{word}", "p")
    assert {status.value for status in new.implies} == implied
    assert new.understood is (word not in {"Confirm", "SomethingNew"})


def test_the_version_of_2024_01_01_may_come_as_a_percent_encoded_form() -> None:
    event = read(b"tx_id=5545&payment_id=%EA%B2%B0%EC%A0%9C+1&status=Paid")
    assert (event.type, event.payment_id, event.store_id, event.occurred_at) == (
        "Transaction.Paid",
        "결제 1",
        None,
        None,
    )


def test_an_event_about_a_billing_key_is_about_no_payment() -> None:
    event = read(b'{"type":"BillingKey.Issued","data":{"storeId":"store-1","billingKey":"billing-key-1"}}')
    assert (event.type, event.payment_id, event.store_id) == ("BillingKey.Issued", None, "store-1")


def test_fields_that_are_not_known_are_ignored() -> None:
    event = read(b'{"type":"Transaction.Paid","new":[{"a":1e99}],"data":{"paymentId":"p","more":{"deep":[null]}}}')
    assert (event.type, event.payment_id) == ("Transaction.Paid", "p")


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"test":"test payload"}',
        b'{"type":null}',
        b'{"type":5,"data":[]}',
        b'{"type":"","data":"x"}',
        b'{"type":"a\\u0000b","data":{"paymentId":"a\\u0000b"}}',
        b'{"type":"' + b"x" * 257 + b'","data":{"paymentId":"' + b"x" * 257 + b'"}}',
        b'{"status":7,"payment_id":7}',
    ],
)
def test_a_signed_object_that_does_not_say_what_it_is_becomes_an_unknown_event(body: bytes) -> None:
    event = read(body)
    assert (event.type, event.payment_id, event.implies) == ("unknown", None, frozenset())


@pytest.mark.parametrize("payment_id", [b"7", b"null", b"true", b"[]", b'{"a":1}', b'""', b'"a\\nb"'])
def test_a_payment_id_that_is_no_short_printable_text_is_none(payment_id: bytes) -> None:
    event = read(b'{"type":"Transaction.Paid","data":{"paymentId":' + payment_id + b"}}")
    assert (event.type, event.payment_id) == ("Transaction.Paid", None)


@pytest.mark.parametrize(
    "timestamp", [b"5", b"null", b'"soon"', b'"2024-04-25T10:00:00"', b'"9999-12-31T23:59:59-23:00"']
)
def test_a_time_that_cannot_be_read_is_none(timestamp: bytes) -> None:
    assert read(b'{"type":"Transaction.Paid","timestamp":' + timestamp + b"}").occurred_at is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"5",
        b"null",
        b'"text"',
        b"{",
        b'{"type":"Transaction.Paid"',
        b"{} {}",
        b'{"a":NaN}',
        b'{"a":1e400}',
        b'\xef\xbb\xbf{"type":"Transaction.Paid"}',
        '{"type":"Transaction.Paid"}'.encode("utf-16"),
        b'{"type":"\xff"}',
        b'{"type":"\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"payment_id=p",
        b"payment_id=p&status",
        b"payment_id=p&status=Paid&rubbish",
        b"payment_id=%FF&status=Paid",
        b"payment_id=\xff&status=Paid",
        b"&".join(b"a%d=1" % i for i in range(40)) + b"&status=Paid",
    ],
)
def test_a_signed_body_that_nobody_can_read_is_refused_as_malformed(body: bytes) -> None:
    assert refusal(headers_for(body), body) == "malformed"


@given(
    body=st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace"))),
    sign=st.booleans(),
    name=st.binary(min_size=0, max_size=12),
    at=st.one_of(st.just(b"1714039200"), st.binary(max_size=12)),
    signatures=st.binary(max_size=80),
    extra=st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20)), max_size=3),
)
def test_whatever_bytes_arrive_the_reader_answers_or_refuses(
    *, body: bytes, sign: bool, name: bytes, at: bytes, signatures: bytes, extra: Headers
) -> None:
    said = outcome([*headers_for(body, name=name, at=at, signatures=None if sign else signatures), *extra], body)
    if isinstance(said, WebhookEvent):
        assert sign
        assert said.id == name.decode("ascii")
    else:
        assert said in {"id", "timestamp", "too_old", "too_new", "signature", "malformed", "duplicate_header"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    said=st.dictionaries(
        st.sampled_from(["type", "timestamp", "data", "payment_id", "tx_id", "status", "more"]), json_values, max_size=6
    )
)
def test_every_signed_object_is_an_event(said: dict[str, object]) -> None:
    body = json.dumps(said).encode()
    event = outcome(headers_for(body), body)
    if isinstance(event, WebhookEvent):
        assert event.payment_id is None or isinstance(event.payment_id, str)
    else:
        assert event == "malformed"  # half a surrogate pair
