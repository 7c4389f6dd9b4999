"""The webhook events that were accepted."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Executable, bindparam, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite

from adapters.persistence.sql.transaction import SqlTransaction
from adapters.persistence.tables import webhooks
from application.ports import Inbox
from domain.ids import WebhookId
from domain.webhook_event import WebhookEvent

_SEEN: Executable = select(literal_column("1")).select_from(webhooks).where(webhooks.c.id == bindparam("key"))
_RECEIVE = {
    "sqlite": sqlite.insert(webhooks).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(webhooks).on_conflict_do_nothing(),
}


class SqlInbox(Inbox):
    """The webhook events in the database."""

    def __init__(self, unit: SqlTransaction) -> None:
        self._unit = unit

    async def seen(self, webhook_id: WebhookId) -> bool:
        """Whether an event of this id was kept."""
        return (await self._unit.run(_SEEN, {"key": webhook_id})).first() is not None

    async def add(self, event: WebhookEvent, *, outcome: str, received_at: datetime) -> bool:
        """Keep the event, once."""
        self._unit.must_write()
        values = {
            "id": event.id,
            "type": event.type,
            "payment_id": event.payment_id,
            "store_id": event.store_id,
            "occurred_at": event.occurred_at,
            "received_at": received_at,
            "outcome": outcome,
        }
        return (await self._unit.run(_RECEIVE[self._unit.dialect], values)).rowcount == 1
