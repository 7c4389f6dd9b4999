"""A fake PortOne, faithful enough that PortOne's official SDKs work against it."""

from fake_portone.defaults import (
    DEFAULT_API_SECRET,
    DEFAULT_CHANNEL_KEY,
    DEFAULT_STORE_ID,
    DEFAULT_WEBHOOK_SECRET,
    DEFAULT_WEBHOOK_URL,
)
from fake_portone.fake import FakePortOne, FakePortOneSettings

__all__ = [
    "DEFAULT_API_SECRET",
    "DEFAULT_CHANNEL_KEY",
    "DEFAULT_STORE_ID",
    "DEFAULT_WEBHOOK_SECRET",
    "DEFAULT_WEBHOOK_URL",
    "FakePortOne",
    "FakePortOneSettings",
]
