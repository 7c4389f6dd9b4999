"""The API keys of the shop's servers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from adapters.persistence.memory.tables import MemoryTransaction
from application.ports import ApiKeys
from domain.api_key import ApiKey
from domain.ids import ApiKeyId


class MemoryApiKeys(ApiKeys):
    """The API keys in memory."""

    def __init__(self, unit: MemoryTransaction) -> None:
        self._unit = unit

    async def add(self, key: ApiKey) -> None:
        """Keep a new key."""
        self._unit.must_write()
        if key.id in self._unit.tables.api_keys:
            raise self._unit.conflict("there is an API key of this id")
        if not key.scopes:
            raise self._unit.refuse("an API key may do something")
        if key.expires_at is not None and key.expires_at <= key.created_at:
            raise self._unit.refuse("an API key expires after it was made")
        self._unit.tables.api_keys[key.id] = key

    async def by_id(self, key_id: ApiKeyId) -> ApiKey | None:
        """The key of this id."""
        return self._unit.tables.api_keys.get(key_id)

    async def keys(self) -> Sequence[ApiKey]:
        """Every key, the newest first."""
        return sorted(self._unit.tables.api_keys.values(), key=lambda key: (key.created_at, key.id), reverse=True)

    async def revoke(self, key_id: ApiKeyId, at: datetime) -> ApiKey | None:
        """Revoke this key."""
        self._unit.must_write()
        key = self._unit.tables.api_keys.get(key_id)
        return None if key is None else self._keep(key.revoked(at))

    async def note_use(self, key_id: ApiKeyId, hour: datetime) -> None:
        """Note that this key was used."""
        self._unit.must_write()
        key = self._unit.tables.api_keys.get(key_id)
        if key is not None:
            self._keep(replace(key, last_used_at=hour))

    def _keep(self, key: ApiKey) -> ApiKey:
        self._unit.tables.api_keys[key.id] = key
        return key
