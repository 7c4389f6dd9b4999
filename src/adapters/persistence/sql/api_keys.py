"""The API keys of the shop's servers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, insert, or_, select, update

from adapters.persistence.sql.transaction import SqlTransaction
from adapters.persistence.tables import api_keys
from application.ports import ApiKeys
from domain.api_key import ApiKey, KeyKind, Scope
from domain.ids import ApiKeyId

_ADD = insert(api_keys)
_BY_ID = select(api_keys).where(api_keys.c.id == bindparam("key"))
_ALL = select(api_keys).order_by(api_keys.c.created_at.desc(), api_keys.c.id.desc())
_OF_THIS_ID = update(api_keys).where(api_keys.c.id == bindparam("key"))
_REVOKE = _OF_THIS_ID.where(api_keys.c.revoked_at.is_(None)).values(revoked_at=bindparam("at"))
_NOTE_USE = _OF_THIS_ID.where(
    or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at != bindparam("hour"))
).values(last_used_at=bindparam("hour"))


class SqlApiKeys(ApiKeys):
    """The API keys in the database."""

    def __init__(self, unit: SqlTransaction) -> None:
        self._unit = unit

    async def add(self, key: ApiKey) -> None:
        """Keep a new key."""
        self._unit.must_write()
        values = {
            "id": key.id,
            "name": key.name,
            "kind": key.kind.value,
            "hash": key.hash,
            "scopes": " ".join(sorted(key.scopes)),
            "created_at": key.created_at,
            "expires_at": key.expires_at,
            "revoked_at": key.revoked_at,
            "last_used_at": key.last_used_at,
        }
        await self._unit.run(_ADD, values)

    async def by_id(self, key_id: ApiKeyId) -> ApiKey | None:
        """The key of this id."""
        row = (await self._unit.run(_BY_ID, {"key": key_id})).one_or_none()
        return None if row is None else _key(row)

    async def keys(self) -> Sequence[ApiKey]:
        """Every key, the newest first."""
        return [_key(row) for row in (await self._unit.run(_ALL)).all()]

    async def revoke(self, key_id: ApiKeyId, at: datetime) -> ApiKey | None:
        """Revoke this key, unless it was revoked before."""
        self._unit.must_write()
        await self._unit.run(_REVOKE, {"key": key_id, "at": at})
        return await self.by_id(key_id)

    async def note_use(self, key_id: ApiKeyId, hour: datetime) -> None:
        """Note that this key was used, unless it is noted already."""
        self._unit.must_write()
        await self._unit.run(_NOTE_USE, {"key": key_id, "hour": hour})


def _key(row: Any) -> ApiKey:
    said = row.scopes.split()
    return ApiKey(
        id=ApiKeyId(row.id),
        name=row.name,
        kind=KeyKind(row.kind),
        hash=row.hash,
        scopes=frozenset(scope for scope in Scope if scope.value in said),  # one of a newer version allows nothing here
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
