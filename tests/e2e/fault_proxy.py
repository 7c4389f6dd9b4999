"""A proxy that spoils chosen HTTP exchanges: between the service and the gateway, or the gateway and our webhooks.

The request always arrives and is carried out. What is spoilt is the answer, for that leaves whoever asked in doubt.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from socket import SO_LINGER, SOL_SOCKET


class Toxic(StrEnum):
    """What becomes of an answer."""

    LATENCY = "it comes late"
    RESET = "the connection is reset before it"
    TRUNCATION = "the connection ends in the midst of it"
    BLACK_HOLE = "nothing ever comes"
    TRICKLE = "it comes byte by byte"


@dataclass(slots=True)
class FaultProxy:
    """Spoils the answers to requests that are ``matched``, ``times`` times; passes everything else on, one at a time.

    ``seconds`` is how long latency, the black hole (until its connection is reset) and the whole trickle take.
    """

    port: int
    toxic: Toxic
    matched: Callable[[bytes], bool]
    times: int
    seconds: float
    spoilt: int = 0
    url: str = ""
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FaultProxy]:
        """Serve, to ``url``, until the context is left."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for task in list(self._open):
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)
            await server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            with suppress(OSError, EOFError, asyncio.CancelledError):
                while request := await _message(reader):
                    answer = await self._ask(request)
                    if self.spoilt < self.times and self.matched(request.partition(b"\r\n")[0]):
                        self.spoilt += 1
                        await self._spoil(writer, answer)
                        if writer.is_closing():
                            return
                        continue
                    writer.write(answer)
                    await writer.drain()
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _ask(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            return await _message(reader)
        finally:
            writer.transport.abort()

    async def _spoil(self, writer: asyncio.StreamWriter, answer: bytes) -> None:
        head, _, body = answer.partition(b"\r\n\r\n")
        match self.toxic:
            case Toxic.LATENCY:
                await asyncio.sleep(self.seconds)
                writer.write(answer)
                await writer.drain()
            case Toxic.RESET:
                _reset(writer)
            case Toxic.TRUNCATION:
                writer.write(head + b"\r\n\r\n" + body[: len(body) // 2])
                await writer.drain()
                writer.close()
                await writer.wait_closed()
            case Toxic.BLACK_HOLE:
                await asyncio.sleep(self.seconds)
                _reset(writer)
            case Toxic.TRICKLE:
                pause = self.seconds / len(answer)
                for byte in answer:
                    writer.write(bytes((byte,)))
                    await writer.drain()
                    await asyncio.sleep(pause)


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """One HTTP message, head and body; empty at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = int(value)
    return head + await reader.readexactly(length)
