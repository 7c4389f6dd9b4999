"""How bytes reach PortOne: one pooled HTTP/1.1 client, its time-outs, and nothing taken from the environment."""

from __future__ import annotations

import httpx


def gateway_client(base_url: str) -> httpx.AsyncClient:
    """A client for PortOne's REST API at ``base_url``; close it with ``aclose``.

    It follows no redirect, and reads no proxy, certificate or password from the environment.
    """
    return httpx.AsyncClient(
        base_url=base_url,
        trust_env=False,
        follow_redirects=False,
        limits=httpx.Limits(max_connections=64, max_keepalive_connections=16),
    )
