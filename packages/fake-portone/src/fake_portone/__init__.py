"""A fake PortOne, faithful enough that PortOne's official SDKs work against it."""

from fake_portone.fake_portone import FakePortOne, FakePortOneSettings

__all__ = ["FakePortOne", "FakePortOneSettings"]
