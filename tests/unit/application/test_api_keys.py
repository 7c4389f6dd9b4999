"""API keys are made, listed and revoked; whoever shows a good one is let in, and all others are told one thing."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from adapters.persistence.memory import MemoryStore, MemoryUnit
from application.api_keys import (
    Actor,
    Authenticate,
    CreateApiKey,
    CreateApiKeyCommand,
    CreatedApiKey,
    ListApiKeys,
    RevokeApiKey,
)
from application.errors import ApiKeyNotFoundError, ScopeMissingError, StoreUnavailableError, UnauthenticatedError
from domain.api_key import ApiKey, KeyKind, KeyState, Scope, read_key, write_key
from domain.errors import InvalidApiKeyError
from domain.ids import ApiKeyId

WEB = CreateApiKeyCommand(name="web", scopes=[Scope.ORDERS_READ, Scope.ORDERS_WRITE])
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class CountingStore(MemoryStore):
    """Counts its units; writing can be made to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = self.writes = 0
        self.is_full = False

    def reading(self) -> MemoryUnit:
        self.reads += 1
        return super().reading()

    def writing(self) -> MemoryUnit:
        self.writes += 1
        if self.is_full:
            raise StoreUnavailableError("the disk is full")
        return super().writing()


class Gate:
    """Where keys are shown, with a clock that only the test moves."""

    def __init__(self, *, in_production: bool = False) -> None:
        self.store = CountingStore()
        self.now = NOON + timedelta(minutes=34)
        self._ids = itertools.count(1)
        clock = lambda: self.now  # noqa: E731 - a clock
        self.create = CreateApiKey(self.store, clock, lambda: f"{next(self._ids):032x}", in_production=in_production)
        self.list = ListApiKeys(self.store, clock)
        self.revoke = RevokeApiKey(self.store, clock)
        self.authenticate = Authenticate(self.store, clock, in_production=in_production)

    async def kept(self) -> list[ApiKey]:
        return [key for key, _ in await self.list()]

    @contextmanager
    def counted(self) -> Iterator[list[int]]:
        """How many units were read, and written, meanwhile."""
        before, counts = (self.store.reads, self.store.writes), list[int]()
        yield counts
        counts += [self.store.reads - before[0], self.store.writes - before[1]]


@pytest.fixture
def gate() -> Gate:
    return Gate()


# --- making, listing, revoking ----------------------------------------------------------------------------------


async def test_a_key_is_told_once_and_of_it_the_hash_is_kept(gate: Gate) -> None:
    created = await gate.create(WEB)
    shown = read_key(created.text)

    assert await gate.kept() == [created.key]
    assert shown.is_of(created.key)
    assert created.key.name == "web"
    assert created.key.scopes == {Scope.ORDERS_READ, Scope.ORDERS_WRITE}
    assert (created.key.created_at, created.key.expires_at) == (gate.now, None)
    assert created.text not in repr(created)
    assert created.text not in repr(gate.store._kept)


async def test_no_two_keys_have_an_id_or_a_secret_in_common(gate: Gate) -> None:
    texts = [(await gate.create(WEB)).text for _ in range(10)]
    assert len({text.split("_")[2] for text in texts}) == len({text.split("_")[3][:64] for text in texts}) == 10


@pytest.mark.parametrize(
    ("in_production", "said", "kind"),
    [
        (False, None, KeyKind.TEST),
        (False, KeyKind.TEST, KeyKind.TEST),
        (False, KeyKind.LIVE, KeyKind.LIVE),
        (True, None, KeyKind.LIVE),
        (True, KeyKind.LIVE, KeyKind.LIVE),
    ],
)
async def test_a_key_is_for_where_it_is_made_unless_it_is_said(
    in_production: bool, said: KeyKind | None, kind: KeyKind
) -> None:
    created = await Gate(in_production=in_production).create(replace(WEB, kind=said))
    assert created.key.kind is kind
    assert created.text.startswith(f"gyj_{kind.value}_")


async def test_no_test_key_is_made_in_production() -> None:
    gate = Gate(in_production=True)
    with pytest.raises(InvalidApiKeyError, match="a test key is refused in production, so none is made there"):
        await gate.create(replace(WEB, kind=KeyKind.TEST))

    assert await gate.kept() == []


async def test_a_key_that_nobody_may_have_is_not_kept(gate: Gate) -> None:
    for wrong in (replace(WEB, name="a\tb"), replace(WEB, scopes=[]), replace(WEB, life=timedelta(0))):
        with pytest.raises(InvalidApiKeyError):
            await gate.create(wrong)

    assert await gate.kept() == []


async def test_keys_are_listed_with_their_states_the_newest_first(gate: Gate) -> None:
    live, expired, revoked = [
        (await gate.create(command)).key for command in (WEB, replace(WEB, life=timedelta(days=1)), WEB)
    ]
    gate.now += timedelta(days=1)
    newest = (await gate.create(WEB)).key
    revoked = await gate.revoke(revoked.id)

    assert await gate.list() == [
        (newest, KeyState.LIVE),
        (revoked, KeyState.REVOKED),
        (expired, KeyState.EXPIRED),
        (live, KeyState.LIVE),
    ]


async def test_a_key_is_revoked_for_good(gate: Gate) -> None:
    key = (await gate.create(WEB)).key
    revoked = await gate.revoke(key.id)
    gate.now += timedelta(days=1)

    assert revoked == replace(key, revoked_at=gate.now - timedelta(days=1))
    assert await gate.revoke(key.id) == revoked
    assert await gate.kept() == [revoked]


async def test_what_is_no_id_of_a_key_revokes_nothing_and_is_not_said_again(gate: Gate) -> None:
    created = await gate.create(WEB)
    with pytest.raises(ApiKeyNotFoundError) as refused:
        await gate.revoke(ApiKeyId(created.text))

    assert str(refused.value) == "there is no API key of this id"
    assert await gate.kept() == [created.key]


# --- who is let in ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_production", [False, True])
async def test_whoever_shows_a_good_key_acts_under_its_name_with_its_scopes(in_production: bool) -> None:
    gate = Gate(in_production=in_production)
    created = await gate.create(WEB)
    for scope in (Scope.ORDERS_READ, Scope.ORDERS_WRITE):
        assert await gate.authenticate(created.text, scope) == Actor(name="key:web", scopes=created.key.scopes)


async def test_two_keys_are_good_while_one_is_replaced_and_one_afterwards(gate: Gate) -> None:
    old, new = await gate.create(WEB), await gate.create(WEB)
    for created in (old, new):
        assert (await gate.authenticate(created.text, Scope.ORDERS_READ)).name == "key:web"
    await gate.revoke(old.key.id)

    assert (await gate.authenticate(new.text, Scope.ORDERS_READ)).name == "key:web"
    with pytest.raises(UnauthenticatedError):
        await gate.authenticate(old.text, Scope.ORDERS_READ)


async def test_a_live_key_is_good_elsewhere_too(gate: Gate) -> None:
    created = await gate.create(replace(WEB, kind=KeyKind.LIVE))
    assert (await gate.authenticate(created.text, Scope.ORDERS_READ)).name == "key:web"


def same(gate: Gate, created: CreatedApiKey) -> str:
    return created.text


def unknown(gate: Gate, created: CreatedApiKey) -> str:
    return write_key(created.key.kind, ApiKeyId("f" * 32), created.text.split("_")[3][:64])


def wrong_secret(gate: Gate, created: CreatedApiKey) -> str:
    return write_key(created.key.kind, created.key.id, "f" * 64)


def other_kind(gate: Gate, created: CreatedApiKey) -> str:
    other = {KeyKind.TEST: KeyKind.LIVE, KeyKind.LIVE: KeyKind.TEST}[created.key.kind]
    return write_key(other, created.key.id, created.text.split("_")[3][:64])


async def revoked(gate: Gate, created: CreatedApiKey) -> None:
    await gate.revoke(created.key.id)


async def expired(gate: Gate, created: CreatedApiKey) -> None:
    gate.now += timedelta(days=1)


async def nothing(gate: Gate, created: CreatedApiKey) -> None:
    pass


async def in_production(gate: Gate, created: CreatedApiKey) -> None:
    gate.authenticate = Authenticate(gate.store, lambda: gate.now, in_production=True)


Before = Callable[[Gate, CreatedApiKey], Awaitable[None]]
Shown = Callable[[Gate, CreatedApiKey], str]
REFUSED: dict[str, tuple[Before, Shown]] = {
    "one of an unknown id": (nothing, unknown),
    "one with a wrong secret": (nothing, wrong_secret),
    "one that says that it is of the other kind": (nothing, other_kind),
    "a revoked one": (revoked, same),
    "an expired one": (expired, same),
    "a test key in production": (in_production, same),
    "a test key that says that it is live, in production": (in_production, other_kind),
}


@pytest.mark.parametrize(("before", "shown"), REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("scope", [Scope.ORDERS_READ, Scope.REFUNDS_WRITE], ids=["has it", "has it not"])
async def test_whoever_shows_no_good_key_is_refused_alike_after_the_same_work(
    gate: Gate, before: Before, shown: Shown, scope: Scope
) -> None:
    created = await gate.create(replace(WEB, life=timedelta(days=1)))
    await before(gate, created)
    text = shown(gate, created)
    with gate.counted() as counts, pytest.raises(UnauthenticatedError) as refused:
        await gate.authenticate(text, scope)

    assert str(refused.value) == "no good API key was shown"
    assert (refused.value.__cause__, refused.value.__context__) == (None, None)
    assert counts == [1, 0], "one read and no write, whatever is wrong"
    assert [key.last_used_at for key in await gate.kept()] == [None]


@pytest.mark.parametrize("text", ["", "gyj_live_", "a\0b", "\ud800", "결제", "x" * 100_000])
async def test_what_is_no_key_is_refused_alike_and_no_database_is_asked(gate: Gate, text: str) -> None:
    with gate.counted() as counts, pytest.raises(UnauthenticatedError) as refused:
        await gate.authenticate(text, Scope.ORDERS_READ)

    assert str(refused.value) == "no good API key was shown"
    assert counts == [0, 0]


@pytest.mark.parametrize("had", Scope)
async def test_a_good_key_may_do_what_its_scope_says_and_nothing_else(gate: Gate, had: Scope) -> None:
    created = await gate.create(replace(WEB, scopes=[had]))
    for scope in Scope:
        if scope is had:
            assert (await gate.authenticate(created.text, scope)).scopes == {had}
            continue
        with pytest.raises(ScopeMissingError, match=f"^this API key lacks the scope {scope.value}$"):
            await gate.authenticate(created.text, scope)


async def test_a_key_is_good_to_the_last_microsecond_of_its_life(gate: Gate) -> None:
    created = await gate.create(replace(WEB, life=timedelta(days=1)))
    gate.now += timedelta(days=1) - timedelta(microseconds=1)
    assert (await gate.authenticate(created.text, Scope.ORDERS_READ)).name == "key:web"
    gate.now += timedelta(microseconds=1)
    with pytest.raises(UnauthenticatedError):
        await gate.authenticate(created.text, Scope.ORDERS_READ)


# --- when it was used last --------------------------------------------------------------------------------------


async def test_the_last_use_is_noted_to_the_hour_and_once_in_each(gate: Gate) -> None:
    created = await gate.create(WEB)
    noted = []
    with gate.counted() as counts:
        for minutes in (0, 10, 15, 1, 59, 1):  # from 12:34
            gate.now += timedelta(minutes=minutes)
            await gate.authenticate(created.text, Scope.ORDERS_READ)
            [key] = await gate.kept()
            assert key.last_used_at is not None
            noted.append((key.last_used_at - NOON) // timedelta(hours=1))

    assert noted == [0, 0, 0, 1, 1, 2]
    assert counts[1] == 3, "one write an hour"


async def test_a_use_that_lacks_a_scope_is_a_use(gate: Gate) -> None:
    created = await gate.create(WEB)
    with pytest.raises(ScopeMissingError):
        await gate.authenticate(created.text, Scope.REFUNDS_WRITE)

    assert [key.last_used_at for key in await gate.kept()] == [NOON]


async def test_nobody_is_turned_away_because_a_use_cannot_be_noted(gate: Gate) -> None:
    created = await gate.create(WEB)
    gate.store.is_full = True

    assert (await gate.authenticate(created.text, Scope.ORDERS_READ)).name == "key:web"
    assert [key.last_used_at for key in await gate.kept()] == [None]


async def test_a_use_while_the_key_is_revoked_does_not_make_it_good_again(gate: Gate) -> None:
    """The one that uses it has read the key before it is revoked, and writes afterwards."""
    created = await gate.create(WEB)
    async with gate.store.writing() as unit:
        using = asyncio.create_task(gate.authenticate(created.text, Scope.ORDERS_READ))
        for _ in range(10):
            await asyncio.sleep(0)
        assert await unit.api_keys.revoke(created.key.id, gate.now) is not None
        await unit.commit()
    await using

    assert await gate.kept() == [replace(created.key, revoked_at=gate.now, last_used_at=NOON)]
