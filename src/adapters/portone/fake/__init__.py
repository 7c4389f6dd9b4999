"""A fake PortOne, faithful enough that PortOne's official SDKs work against it."""

from adapters.portone.fake.fake_portone import FakePortOne, FakePortOneSettings
from adapters.portone.fake.gateway import FakePortOneGateway

__all__ = ["FakePortOne", "FakePortOneGateway", "FakePortOneSettings"]
