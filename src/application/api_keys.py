"""API keys: made, listed, revoked, and held against what is shown."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from application.errors import ApiKeyNotFoundError, ScopeMissingError, StoreUnavailableError, UnauthenticatedError
from application.ports import Clock, NewId, Store
from application.transact import retrying
from domain.api_key import ApiKey, KeyKind, KeyState, Scope, hour_of, make_key, read_key
from domain.errors import InvalidApiKeyError, MalformedApiKeyError
from domain.ids import ApiKeyId


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateApiKeyCommand:
    """``kind`` None: live in production, test elsewhere. ``life`` None: it does not expire."""

    name: str
    scopes: Collection[Scope]
    kind: KeyKind | None = None
    life: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedApiKey:
    """A key, and its text: this is the one time that it is told."""

    key: ApiKey
    text: str = field(repr=False)


class CreateApiKey:
    """Make a key. Raises InvalidApiKeyError for one that nobody may have, or that would be refused where it is made."""

    def __init__(self, store: Store, clock: Clock, new_id: NewId, *, in_production: bool = False) -> None:
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self._in_production = in_production

    async def __call__(self, command: CreateApiKeyCommand) -> CreatedApiKey:
        """The key, with its text."""
        kind = command.kind or (KeyKind.LIVE if self._in_production else KeyKind.TEST)
        if self._in_production and kind is KeyKind.TEST:
            raise InvalidApiKeyError("a test key is refused in production, so none is made there")
        key, text = make_key(
            key_id=ApiKeyId(self._new_id()),
            secret=self._new_id() + self._new_id(),
            name=command.name,
            kind=kind,
            scopes=command.scopes,
            now=self._clock(),
            life=command.life,
        )
        async with self._store.writing() as unit:
            await unit.api_keys.add(key)
            await unit.commit()
        return CreatedApiKey(key=key, text=text)


class ListApiKeys:
    """Every key and its state, the newest first."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def __call__(self) -> Sequence[tuple[ApiKey, KeyState]]:
        """The expired and the revoked are among them."""
        async with self._store.reading() as unit:
            keys = await unit.api_keys.keys()
        now = self._clock()
        return [(key, key.state(now)) for key in keys]


class RevokeApiKey:
    """Revoke a key, for good and at once. Raises ApiKeyNotFoundError."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def __call__(self, key_id: ApiKeyId) -> ApiKey:
        """The key as it is now; one that was revoked before stays as it was."""
        return await retrying(lambda: self._revoke(key_id))

    async def _revoke(self, key_id: ApiKeyId) -> ApiKey:
        async with self._store.writing() as unit:
            key = await unit.api_keys.revoke(key_id, self._clock())
            if key is None:  # what was said may be a whole key, so it is not said again
                raise ApiKeyNotFoundError("there is no API key of this id")
            await unit.commit()
        return key


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Whoever acts: ``name`` as it stands in the history, ``key:web``, and what it may do."""

    name: str
    scopes: frozenset[Scope]

    def require(self, scope: Scope) -> None:
        """Raise ScopeMissingError without it."""
        if scope not in self.scopes:
            raise ScopeMissingError(f"this API key lacks the scope {scope.value}")


class Authenticate:
    """Who shows a key, if it is good for what they want.

    Raises the same UnauthenticatedError for a text that is no key, one that is not known, a wrong secret, one that is
    expired or revoked, and a test key in production; after the same work where it is a key at all. Raises
    ScopeMissingError where the key is good, and may not do this.
    """

    def __init__(self, store: Store, clock: Clock, *, in_production: bool = False) -> None:
        self._store = store
        self._clock = clock
        self._in_production = in_production

    async def __call__(self, text: str, scope: Scope) -> Actor:
        """The actor. When a key was last used is noted to the hour, so at most once in each."""
        now = self._clock()
        key = await self._known(text, now)
        if not key.is_use_noted(now):
            await self._note_use(key, now)
        actor = Actor(name=f"key:{key.name}", scopes=key.scopes)
        actor.require(scope)
        return actor

    async def _known(self, text: str, now: datetime) -> ApiKey:
        try:
            shown = read_key(text)
        except MalformedApiKeyError:
            raise _unauthenticated() from None
        async with self._store.reading() as unit:
            key = await unit.api_keys.by_id(shown.id)
        is_refused = self._in_production and shown.kind is KeyKind.TEST
        if not shown.is_of(key) or key is None or is_refused or not key.is_live(now):
            raise _unauthenticated()
        return key

    async def _note_use(self, key: ApiKey, now: datetime) -> None:
        with suppress(StoreUnavailableError):  # nobody is turned away because a note could not be written
            async with self._store.writing() as unit:
                await unit.api_keys.note_use(key.id, hour_of(now))
                await unit.commit()


def _unauthenticated() -> UnauthenticatedError:
    return UnauthenticatedError("no good API key was shown")
