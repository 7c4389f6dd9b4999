"""How large a request may be, and how its body is read within that."""

from __future__ import annotations

from collections.abc import Iterable

from litestar.exceptions import ClientException, HTTPException
from litestar.types import Receive, Scope

API_BODY_MOST = 16 * 1024
"""How many bytes the body of a buyer's request may have."""

WEBHOOK_BODY_MOST = 64 * 1024
"""How many bytes the body of a webhook may have."""

Headers = Iterable[tuple[bytes, bytes]]


def header_values(headers: Headers, name: bytes) -> list[bytes]:
    """Every value of the header ``name``, which is in lower case."""
    return [value for key, value in headers if key == name]


async def read_body(scope: Scope, receive: Receive, most: int) -> bytes:
    """The whole body. One of more than ``most`` bytes is refused with 413, unread where its length is announced."""
    announced = header_values(scope["headers"], b"content-length")
    if announced and announced[0].isdigit() and int(announced[0][:20]) > most:
        raise HTTPException(status_code=413)
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientException("the client left before its request was complete")
        chunks.append(message["body"])
        size += len(chunks[-1])
        if size > most:
            raise HTTPException(status_code=413)
        more = message["more_body"]
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
