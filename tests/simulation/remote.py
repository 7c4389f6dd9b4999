"""PortOne over its REST face, through our real client, without a socket: so is a share of the histories played."""

from __future__ import annotations

import httpx

from adapters.portone.gateway import PortOneGateway
from fake_portone import FakePortOne

_URL = "http://portone"


class _InProcess(httpx.ASGITransport):
    """Answers by the fake's application. One that ends before its answer does is a connection that broke."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await super().handle_async_request(request)
        except AssertionError as error:  # httpx's own, about an application that sent no more
            raise httpx.RemoteProtocolError("the connection broke") from error


def over_rest(fake: FakePortOne) -> PortOneGateway:
    """Our real client of this fake. The fake must be ``running`` by itself."""
    client = httpx.AsyncClient(transport=_InProcess(fake.app()), base_url=_URL, trust_env=False)
    return PortOneGateway(client, api_secret=fake.api_secret, store_id=fake.store_id)
