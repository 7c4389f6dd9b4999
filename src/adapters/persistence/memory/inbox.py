"""The webhook events that were accepted."""

from __future__ import annotations

from datetime import datetime

from adapters.persistence.memory.tables import MemoryTransaction
from application.ports import Inbox
from domain.ids import WebhookId
from domain.webhook_event import WebhookEvent


class MemoryInbox(Inbox):
    """The webhook events in memory."""

    def __init__(self, unit: MemoryTransaction) -> None:
        self._unit = unit

    async def seen(self, webhook_id: WebhookId) -> bool:
        """Whether an event of this id was kept."""
        return webhook_id in self._unit.tables.inbox

    async def add(self, event: WebhookEvent, *, outcome: str, received_at: datetime) -> bool:  # noqa: ARG002 - nobody asks for them here
        """Keep the event."""
        self._unit.must_write()
        if event.id in self._unit.tables.inbox:
            return False
        self._unit.tables.inbox[event.id] = event
        return True
