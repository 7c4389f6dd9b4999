"""What the command line shows of API keys, as a table or JSON, and how it makes and revokes them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from adapters.cli.printing import print_json, print_table, refuse, remark, say, time_text
from application.api_keys import CreateApiKeyCommand
from application.errors import ApiKeyNotFoundError
from application.use_cases import UseCases
from domain.api_key import LIFE_MOST, ApiKey, KeyKind, KeyState, Scope
from domain.errors import InvalidApiKeyError
from domain.ids import ApiKeyId

_COLUMNS = ("id", "name", "kind", "state", "scopes", "created", "expires", "last used")


async def create(
    use_cases: UseCases, name: str, *, scopes: Iterable[str], is_test: bool | None, days: int | None
) -> None:
    """Make one key. Its text alone goes to standard output, so that it can be put where it belongs."""
    command = CreateApiKeyCommand(
        name=name, scopes=[_scope(said) for said in scopes], kind=_kind(is_test), life=_life(days)
    )
    try:
        created = await use_cases.create_api_key(command)
    except InvalidApiKeyError as error:
        refuse(str(error))
    say(created.text)
    remark(f"this is the one time that the key is shown; to end it: gyeolje keys revoke {created.key.id}")


async def print_keys(use_cases: UseCases, *, as_json: bool) -> None:
    """Print every key; nothing that is printed lets anybody in."""
    keys = await use_cases.list_api_keys()
    if as_json:
        print_json({"items": [_json(key, state) for key, state in keys]})
        return
    print_table(_COLUMNS, (_row(key, state) for key, state in keys))


async def revoke(use_cases: UseCases, key_id: str) -> None:
    """Revoke one key."""
    try:
        key = await use_cases.revoke_api_key(ApiKeyId(key_id))
    except ApiKeyNotFoundError as error:
        refuse(f"{error}; `gyeolje keys list` says the ids")
    say(f"the key {key.id} of {key.name} is good for nothing any more")


def _scope(said: str) -> Scope:
    try:
        return Scope(said)
    except ValueError:
        refuse(f"{said[:64]!a} is no scope: say one or more of {', '.join(Scope)}")


def _kind(is_test: bool | None) -> KeyKind | None:
    return None if is_test is None else KeyKind.TEST if is_test else KeyKind.LIVE


def _life(days: int | None) -> timedelta | None:
    """Within what can be computed with; what a key may have is decided elsewhere."""
    return None if days is None else timedelta(days=max(0, min(days, LIFE_MOST.days + 1)))


def _row(key: ApiKey, state: KeyState) -> tuple[str, ...]:
    moments = (_text(key.created_at), _text(key.expires_at), _text(key.last_used_at))
    return (key.id, key.name, key.kind.value, state.value, " ".join(sorted(key.scopes)), *moments)


def _json(key: ApiKey, state: KeyState) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "kind": key.kind.value,
        "state": state.value,
        "scopes": sorted(key.scopes),
        "createdAt": time_text(key.created_at),
        "expiresAt": _text(key.expires_at) or None,
        "revokedAt": _text(key.revoked_at) or None,
        "lastUsedAt": _text(key.last_used_at) or None,
    }


def _text(moment: datetime | None) -> str:
    return "" if moment is None else time_text(moment)
