"""Settings: what is refused, in which words, and that no secret is ever in them."""

from __future__ import annotations

import base64
import copy
import pickle
from datetime import timedelta

import msgspec
import pytest

from bootstrap.doctor import limits_in_force
from bootstrap.settings import FAKE_STORE_ID, Secret, SettingsError, read_settings
from domain.money import Money

WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef").decode()
REAL = {
    "GYEOLJE_ENV": "production",
    "GYEOLJE_GATEWAY": "portone",
    "GYEOLJE_PUBLIC_URL": "https://shop.example",
    "PORTONE_API_SECRET": "a-real-api-secret",
    "PORTONE_STORE_ID": "store-1",
    "PORTONE_CHANNEL_KEY": "channel-key-1",
    "PORTONE_WEBHOOK_SECRETS": WEBHOOK_SECRET,
}


def problems(environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        read_settings(environ)
    return "\n".join(caught.value.problems)


def test_production_settings_are_read() -> None:
    settings = read_settings(REAL)
    assert settings.in_production
    assert settings.api_url == "https://api.portone.io"
    assert settings.channel_type == "LIVE"
    assert settings.api_secret.reveal() == "a-real-api-secret"
    assert settings.database_url == "sqlite+aiosqlite:///gyeolje.db"
    assert settings.ttl.total_seconds() == 900


def test_with_the_fake_everything_else_has_a_default() -> None:
    settings = read_settings({"GYEOLJE_GATEWAY": "fake"})
    assert settings.store_id == FAKE_STORE_ID
    assert settings.api_url == "http://127.0.0.1:8100"


@pytest.mark.parametrize(("said", "days"), [({}, 3), ({"GYEOLJE_SWEEP_AGAIN_DAYS": "0"}, 0)])
def test_how_many_days_are_swept_again_is_said_or_three(said: dict[str, str], days: int) -> None:
    assert read_settings(REAL | said).sweep_again == timedelta(days=days)


def test_ninety_days_at_the_most_are_swept_again() -> None:
    assert read_settings(REAL | {"GYEOLJE_SWEEP_AGAIN_DAYS": "90"}).sweep_again == timedelta(days=90)


def test_two_webhook_secrets_may_be_given_while_rotating() -> None:
    other = base64.b64encode(b"another 16 bytes").decode()
    settings = read_settings(REAL | {"PORTONE_WEBHOOK_SECRETS": f"{WEBHOOK_SECRET}, {other}"})
    assert [secret.reveal() for secret in settings.webhook_secrets] == [WEBHOOK_SECRET, other]


@pytest.mark.parametrize("name", [name for name in REAL if name not in {"GYEOLJE_ENV", "GYEOLJE_PUBLIC_URL"}])
def test_what_is_missing_is_named_with_what_to_do(name: str) -> None:
    environ = {key: value for key, value in REAL.items() if key != name}
    assert f"{name} is not set: " in problems(environ)


def test_an_empty_variable_counts_as_missing() -> None:
    assert "PORTONE_STORE_ID is not set" in problems(REAL | {"PORTONE_STORE_ID": ""})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"GYEOLJE_GATEWAY": "fake"}, "GYEOLJE_GATEWAY=fake"),
        ({"PORTONE_API_URL": "http://127.0.0.1:8100"}, "PORTONE_API_URL"),
        ({"PORTONE_API_URL": "https://elsewhere.example"}, "PORTONE_API_URL"),
        ({"GYEOLJE_PUBLIC_URL": "http://shop.example"}, "GYEOLJE_PUBLIC_URL"),
        ({"GYEOLJE_PUBLIC_URL": ""}, "GYEOLJE_PUBLIC_URL"),
        ({"GYEOLJE_ENV": "prod"}, "GYEOLJE_ENV"),
        ({"PORTONE_CHANNEL_TYPE": "live"}, "PORTONE_CHANNEL_TYPE"),
        ({"GYEOLJE_ORDER_TTL": "soon"}, "GYEOLJE_ORDER_TTL"),
        ({"GYEOLJE_ORDER_TTL": "0"}, "GYEOLJE_ORDER_TTL"),
        ({"GYEOLJE_SWEEP_AGAIN_DAYS": "-1"}, "GYEOLJE_SWEEP_AGAIN_DAYS"),
        ({"GYEOLJE_SWEEP_AGAIN_DAYS": "91"}, "GYEOLJE_SWEEP_AGAIN_DAYS"),
        ({"GYEOLJE_SWEEP_AGAIN_DAYS": "0.5"}, "GYEOLJE_SWEEP_AGAIN_DAYS"),
        ({"GYEOLJE_FIRST_HOLD": "-1"}, "GYEOLJE_FIRST_HOLD"),
        ({"GYEOLJE_ORDER_UNITS_MOST": "0"}, "GYEOLJE_ORDER_UNITS_MOST"),
        ({"GYEOLJE_ORDER_UNITS_MOST": "2001"}, "GYEOLJE_ORDER_UNITS_MOST"),
        ({"GYEOLJE_PRODUCT_UNITS_MOST": "0"}, "GYEOLJE_PRODUCT_UNITS_MOST"),
        ({"GYEOLJE_PRODUCT_UNITS_MOST": "101"}, "GYEOLJE_PRODUCT_UNITS_MOST"),
        ({"GYEOLJE_LIMITS": "KRW"}, "GYEOLJE_LIMITS"),
        ({"GYEOLJE_LIMITS": "KRW=100"}, "GYEOLJE_LIMITS"),
        ({"GYEOLJE_LIMITS": "KRW=100-"}, "GYEOLJE_LIMITS"),
        ({"GYEOLJE_LIMITS": "KRW=1-2-3"}, "GYEOLJE_LIMITS"),
        ({"GYEOLJE_LIMITS": "krw=100-200"}, "GYEOLJE_LIMITS"),
        ({"GYEOLJE_LIMITS": "KRW=200-100"}, "GYEOLJE_LIMITS"),
        ({"GYEOLJE_LIMITS": f"KRW=1-{10**16}"}, "GYEOLJE_LIMITS"),
        ({"GYEOLJE_DATABASE_URL": "mysql://x"}, "GYEOLJE_DATABASE_URL"),
        ({"GYEOLJE_WEBHOOK_PATH": "webhooks"}, "GYEOLJE_WEBHOOK_PATH"),
        ({"GYEOLJE_ALLOWED_ORIGINS": "*"}, "GYEOLJE_ALLOWED_ORIGINS"),
        ({"GYEOLJE_ALLOWED_ORIGINS": "https://a.example/path"}, "GYEOLJE_ALLOWED_ORIGINS"),
        ({"GYEOLJE_HINTS": "redis://127.0.0.1"}, "GYEOLJE_HINTS"),
        ({"PORTONE_WEBHOOK_SECRETS": "whsec_%%%"}, "PORTONE_WEBHOOK_SECRETS entry 1"),
        ({"PORTONE_WEBHOOK_SECRETS": f"{WEBHOOK_SECRET},whsec_c2hvcnQ="}, "PORTONE_WEBHOOK_SECRETS entry 2"),
        ({"PORTONE_WEBHOOK_SECRETS": ",".join([WEBHOOK_SECRET] * 3)}, "PORTONE_WEBHOOK_SECRETS"),
    ],
)
def test_what_cannot_be_used_in_production_is_refused_by_name(change: dict[str, str], named: str) -> None:
    assert named in problems(REAL | change)


def test_the_fakes_own_secrets_are_refused_in_production() -> None:
    fakes = read_settings({"GYEOLJE_GATEWAY": "fake"})
    assert "secret of the fake" in problems(REAL | {"PORTONE_API_SECRET": fakes.api_secret.reveal()})


def test_an_api_secret_does_not_travel_over_plain_http_unless_the_fake_is_chosen() -> None:
    development = REAL | {"GYEOLJE_ENV": "development", "PORTONE_API_URL": "http://127.0.0.1:9"}
    assert "plain http" in problems(development)
    assert read_settings(development | {"GYEOLJE_GATEWAY": "fake"}).api_url == "http://127.0.0.1:9"


def test_every_problem_is_told_at_once() -> None:
    told = problems({"GYEOLJE_ENV": "production"})
    assert told.count("is not set") == 5


def test_no_secret_is_in_any_error() -> None:
    planted = "planted-secret-value-%%%"
    environ = REAL | {"PORTONE_WEBHOOK_SECRETS": planted, "GYEOLJE_ORDER_TTL": "0"}
    assert planted not in problems(environ)


def test_a_secret_shows_itself_to_nobody() -> None:
    secret = Secret("planted")
    assert "planted" not in f"{secret!r} {secret} {read_settings(REAL)!r}"
    with pytest.raises(TypeError):
        msgspec.json.encode(secret)
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        copy.copy(secret)
    assert secret.fingerprint() == "372eb377"


def test_an_order_is_limited_as_kakaopay_limits_a_payment_unless_the_shop_says_otherwise() -> None:
    usual = read_settings(REAL).limits
    assert usual.amounts == ((Money(100, "KRW"), Money(2_000_000, "KRW")),)
    assert (usual.product_units, usual.order_units) == (10, 20)
    said = {
        "GYEOLJE_LIMITS": "KRW=1-5, USD=100-200",
        "GYEOLJE_ORDER_UNITS_MOST": "7",
        "GYEOLJE_PRODUCT_UNITS_MOST": "3",
    }
    limits = read_settings(REAL | said).limits
    assert limits.amounts == ((Money(1, "KRW"), Money(5, "KRW")), (Money(100, "USD"), Money(200, "USD")))
    assert (limits.product_units, limits.order_units) == (3, 7)
    assert read_settings(REAL | {"GYEOLJE_LIMITS": "none"}).limits.amounts == ()


def test_goods_are_held_for_five_minutes_until_the_payment_window_opens_unless_the_shop_says_otherwise() -> None:
    assert read_settings(REAL).policy.first_hold == timedelta(minutes=5)
    assert read_settings(REAL | {"GYEOLJE_FIRST_HOLD": "60"}).policy.first_hold == timedelta(minutes=1)
    assert read_settings(REAL | {"GYEOLJE_FIRST_HOLD": "0"}).policy.first_hold is None


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({}, "one payment: 100 to 2,000,000 KRW (minor units); one order: 20 units, 10 of a product; held for 300 s"),
        ({"GYEOLJE_LIMITS": "none"}, "one payment: any amount"),
        ({"GYEOLJE_ORDER_TTL": "60"}, "held for 60 s, and for 60 s once the window opens"),
        ({"GYEOLJE_FIRST_HOLD": "0"}, "held for 900 s, and for 900 s once the window opens"),
    ],
)
def test_the_doctor_tells_the_limits_in_force(said: dict[str, str], sentence: str) -> None:
    finding = limits_in_force(read_settings(REAL | said))
    assert finding.ok
    assert sentence in finding.says
