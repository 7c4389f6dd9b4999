"""An API key as text and as what is kept of it."""

from __future__ import annotations

import hashlib
import hmac
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.api_key import (
    LIFE_MOST,
    ApiKey,
    KeyKind,
    KeyState,
    Scope,
    hour_of,
    make_key,
    read_key,
    write_key,
)
from domain.errors import InvalidApiKeyError, MalformedApiKeyError
from domain.ids import ApiKeyId

NOW = datetime(2026, 3, 1, 12, 34, 56, 789, tzinfo=UTC)
ID, SECRET = ApiKeyId("0123456789abcdef" * 2), "fedcba9876543210" * 4
HEX = "0123456789abcdef"
TEXT = write_key(KeyKind.LIVE, ID, SECRET)

ids = st.text(HEX, min_size=32, max_size=32).map(ApiKeyId)
secrets = st.text(HEX, min_size=64, max_size=64)
texts = st.builds(write_key, st.sampled_from(KeyKind), ids, secrets)


def made(**changed: Any) -> tuple[ApiKey, str]:
    usual: dict[str, Any] = {
        "key_id": ID,
        "secret": SECRET,
        "name": "web",
        "kind": KeyKind.LIVE,
        "scopes": [Scope.ORDERS_READ],
        "now": NOW,
    }
    return make_key(**(usual | changed))


# --- its text ---------------------------------------------------------------------------------------------------


def test_the_form_of_a_key_is_what_is_documented() -> None:
    """Computed here without a word of ours: whoever searches texts for keys has only the documentation."""
    body = f"gyj_live_{ID}_{SECRET}"
    assert f"{body}{zlib.crc32(body.encode()):08x}" == TEXT
    assert len(TEXT) == len(write_key(KeyKind.TEST, ID, SECRET)) == 114


@given(kind=st.sampled_from(KeyKind), key_id=ids, secret=secrets)
def test_what_was_written_is_read(kind: KeyKind, key_id: ApiKeyId, secret: str) -> None:
    text = write_key(kind, key_id, secret)
    shown = read_key(text)
    assert (shown.kind, shown.id) == (kind, key_id)
    assert shown.hash == hashlib.sha256(text.encode()).hexdigest()


def with_checksum(body: str) -> str:
    return f"{body}{zlib.crc32(body.encode('utf-8', 'surrogatepass')):08x}"


def one_too_long() -> str:
    """A key and one character more, of which the checksum is right if it is taken over all but the last eight."""
    for number in range(1000):
        body = f"gyj_live_{ID}_{number:064x}"
        for digit in HEX:
            checksum = with_checksum(body + digit)[-8:]
            if checksum[0] == digit:
                return f"{body}{checksum}0"
    raise AssertionError("one in sixteen is like that")


MALFORMED = {
    "one character more that fits": one_too_long(),
    "nothing": "",
    "a prefix alone": "gyj_live_",
    "no prefix": TEXT.removeprefix("gyj_"),
    "another prefix": "sk" + TEXT.removeprefix("gyj"),
    "an unknown kind": with_checksum(f"gyj_prod_{ID}_{SECRET}"),
    "no kind": with_checksum(f"gyj_{ID}_{SECRET}"),
    "the other kind": TEXT.replace("live", "test"),
    "a short id": with_checksum(f"gyj_live_{ID[1:]}_{SECRET}"),
    "a long id": with_checksum(f"gyj_live_{ID}0_{SECRET}"),
    "a short secret": with_checksum(f"gyj_live_{ID}_{SECRET[1:]}"),
    "a long secret": with_checksum(f"gyj_live_{ID}_{SECRET}0"),
    "no secret": with_checksum(f"gyj_live_{ID}_"),
    "no checksum": TEXT[:-8],
    "another checksum": TEXT[:-8] + "00000000",
    "a checksum in capitals": TEXT[:-8] + TEXT[-8:].upper(),
    "all of it in capitals": TEXT.upper(),
    "other digits": with_checksum(f"gyj_live_{ID}_{SECRET[:-1]}g"),
    "digits of another script": with_checksum(f"gyj_live_{ID}_{SECRET[:-1]}٣"),
    "a space before": " " + TEXT,
    "a line break behind": TEXT + "\n",
    "a NUL behind": TEXT + "\0",
    "half a character": with_checksum(f"gyj_live_{ID}_{SECRET[:-1]}\ud800"),
    "two keys": TEXT + TEXT,
    "what is sent with it": f"Bearer {TEXT}",
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_whatever_is_no_key_is_refused_in_one_sentence_that_says_none_of_it(text: str) -> None:
    with pytest.raises(MalformedApiKeyError) as refused:
        read_key(text)
    assert str(refused.value) == "this is no API key: it was mistyped, cut short, or is something else"
    assert refused.value.__cause__ is None


@given(text=texts, cut=st.integers(0, 113))
def test_a_key_that_was_cut_short_is_no_key(text: str, cut: int) -> None:
    with pytest.raises(MalformedApiKeyError):
        read_key(text[:cut])


@given(text=texts, at=st.integers(0, 113), typed=st.characters(codec="ascii"))
def test_a_key_with_one_mistyped_character_is_no_key(text: str, at: int, typed: str) -> None:
    mistyped = text[:at] + typed + text[at + 1 :]
    if mistyped != text:
        with pytest.raises(MalformedApiKeyError):
            read_key(mistyped)


@given(text=texts, at=st.integers(0, 112))
def test_a_key_with_two_characters_in_each_others_place_is_no_key(text: str, at: int) -> None:
    mistyped = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    if mistyped != text:
        with pytest.raises(MalformedApiKeyError):
            read_key(mistyped)


@given(text=st.text())
def test_no_text_breaks_the_reading(text: str) -> None:
    with pytest.raises(MalformedApiKeyError):
        read_key(text)


# --- what is kept of it, and what is held against it ------------------------------------------------------------


def test_of_a_new_key_its_hash_is_kept_and_its_secret_nowhere() -> None:
    key, text = made(scopes=[Scope.ORDERS_WRITE, Scope.ORDERS_WRITE], life=timedelta(days=1))
    assert key == ApiKey(
        id=ID,
        name="web",
        kind=KeyKind.LIVE,
        hash=hashlib.sha256(text.encode()).hexdigest(),
        scopes=frozenset({Scope.ORDERS_WRITE}),
        created_at=NOW,
        expires_at=NOW + timedelta(days=1),
    )
    assert text == TEXT
    for shown in (repr(key), repr(read_key(text))):
        assert SECRET not in shown
        assert key.hash not in shown


def test_only_the_very_key_is_the_key() -> None:
    key, text = made()
    assert read_key(text).is_of(key)
    for kind, key_id, secret in (
        (KeyKind.TEST, ID, SECRET),
        (KeyKind.LIVE, ApiKeyId(ID[::-1]), SECRET),
        (KeyKind.LIVE, ID, SECRET[::-1]),
    ):
        assert not read_key(write_key(kind, key_id, secret)).is_of(key)
    assert not read_key(text).is_of(None)
    assert not read_key(text).is_of(replace(key, hash="0" * 64))


@pytest.mark.parametrize("kept", ["its own", "another's", "none"])
def test_a_key_is_compared_once_and_in_constant_time_also_where_there_is_none(
    kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, text = made()
    compared: list[tuple[str, str]] = []
    compare = hmac.compare_digest

    def noted(one: str, other: str) -> bool:
        compared.append((one, other))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", noted)
    read_key(text).is_of({"its own": key, "another's": replace(key, hash="1" * 64), "none": None}[kept])
    assert [(one, len(other)) for one, other in compared] == [(key.hash, 64)]


NAMES = {
    "": "a key's name has 1 to 64 characters, and not 0",
    "x" * 65: "a key's name has 1 to 64 characters, and not 65",
    "a\tb": "the name 'a\\tb' has control characters or hidden ones, or spaces at its ends",
    "a\nb": None,
    "a\x1b[2Jb": None,
    "a\x7fb": None,
    "a\x9bb": None,
    "a\u2028b": None,
    "a\u202eb": None,
    "a\u200bb": None,
    "a\ufeffb": None,
    "a\xadb": None,
    "a\ud800b": None,
    "\u3164": None,
    " web": None,
    "web ": None,
    " ": None,
}


@pytest.mark.parametrize(("name", "sentence"), NAMES.items(), ids=[ascii(name) for name in NAMES])
def test_a_name_that_hides_something_is_refused(name: str, sentence: str | None) -> None:
    with pytest.raises(InvalidApiKeyError) as refused:
        made(name=name)
    assert str(refused.value) == sentence or sentence is None
    assert str(refused.value).isascii()
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("name", ["a", "x" * 64, "web 2", "결제 서버", "cron@shop.example", "key:web"])
def test_a_name_may_be_any_other_one_line(name: str) -> None:
    assert made(name=name)[0].name == name


def test_a_key_that_may_do_nothing_is_refused() -> None:
    with pytest.raises(InvalidApiKeyError, match="a key has at least one scope"):
        made(scopes=[])


@pytest.mark.parametrize(
    "life", [timedelta(0), timedelta(days=-1), LIFE_MOST + timedelta(microseconds=1), timedelta.max]
)
def test_a_life_that_no_key_has_is_refused(life: timedelta) -> None:
    with pytest.raises(InvalidApiKeyError, match="a key expires in 1 to 3650 days, or never"):
        made(life=life)


@pytest.mark.parametrize("life", [timedelta(microseconds=1), LIFE_MOST])
def test_a_key_may_live_as_long_as_the_longest(life: timedelta) -> None:
    assert made(life=life)[0].expires_at == NOW + life


# --- its life ---------------------------------------------------------------------------------------------------

SOON = NOW + timedelta(days=1)
INSTANT = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("expires_at", "revoked_at", "now", "state"),
    [
        (None, None, NOW, KeyState.LIVE),
        (None, None, NOW + timedelta(days=36_500), KeyState.LIVE),
        (SOON, None, SOON - INSTANT, KeyState.LIVE),
        (SOON, None, SOON, KeyState.EXPIRED),
        (SOON, None, SOON + INSTANT, KeyState.EXPIRED),
        (None, NOW, NOW, KeyState.REVOKED),
        (None, SOON, NOW, KeyState.REVOKED),  # revoked by a clock that is ahead: it was revoked all the same
        (SOON, NOW, SOON, KeyState.REVOKED),
    ],
)
def test_a_key_is_live_until_it_expires_or_is_revoked(
    expires_at: datetime | None, revoked_at: datetime | None, now: datetime, state: KeyState
) -> None:
    key = replace(made()[0], expires_at=expires_at, revoked_at=revoked_at)
    assert key.state(now) is state
    assert key.is_live(now) is (state is KeyState.LIVE)


def test_a_key_is_revoked_once() -> None:
    key = made()[0]
    assert key.revoked(NOW) == replace(key, revoked_at=NOW) == key.revoked(NOW).revoked(SOON)


def test_an_hour_begins_with_its_first_microsecond() -> None:
    assert hour_of(NOW) == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert hour_of(hour_of(NOW)) == hour_of(NOW)


@pytest.mark.parametrize(
    ("used", "noted"),
    [
        (None, False),
        (timedelta(hours=-1), False),
        (-INSTANT, False),
        (timedelta(0), True),
        (timedelta(hours=1), True),  # by a process whose clock is a little ahead
        (timedelta(hours=1) + INSTANT, False),  # by a clock that was wrong
    ],
)
def test_a_use_is_noted_once_an_hour(used: timedelta | None, noted: bool) -> None:
    key = replace(made()[0], last_used_at=None if used is None else hour_of(NOW) + used)
    assert key.is_use_noted(NOW) is noted
