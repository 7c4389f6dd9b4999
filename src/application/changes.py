"""What changed at the gateway, window by window, and each window counted: the gateway's stamps decide nothing here.

The gateway may filter, sort and stamp its list by different clocks. So it is never gone through by what stands in its
records: the windows are cut by us, each is paged through by number, and as many payments must have come as the gateway
says that there are.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from application.errors import ListIncompleteError
from application.ports import PAGED_MOST, ChangedPage, PaymentGateway
from domain.payment import Payment

_PAGES_MOST = 10  # in a window; a fuller one is halved: so much is held, and read again after a death
_NARROWEST = timedelta(seconds=1)  # stamps may be in whole seconds: no narrower window tells more apart
_EDGE = timedelta(seconds=1)  # a window is asked for from so long before it: nobody says if its ends belong to it
_READ_MOST = 2  # times, before a window that does not add up is halved, or given up


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A time of ours: from ``since`` to ``until``."""

    since: datetime
    until: datetime

    @property
    def width(self) -> timedelta:
        """How long it is."""
        return self.until - self.since


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one page showed for the first time, or otherwise than before. ``ends``: all of the window was read.

    Or as much of it as the gateway lets anybody see: then ``lacks`` says what does not add up.
    """

    window: Window
    payments: Sequence[Payment]
    ends: bool = False
    lacks: ListIncompleteError | None = None


class Changes:
    """The payments of one store that changed from ``since`` to ``until``, in windows as wide as they are quiet.

    Held are the names of one window's payments, and of those of the window before. A gateway that cannot be reached is
    raised; what came before has been handed out.
    """

    def __init__(self, gateway: PaymentGateway, store_id: str, span: Window, *, size: int) -> None:
        self._gateway = gateway
        self._store_id = store_id
        self._span = span
        self._size = size
        self._most = min(_PAGES_MOST * size, PAGED_MOST)
        self._shown: dict[str, int] = {}
        self._shown_before: dict[str, int] = {}

    async def batches(self) -> AsyncGenerator[Batch]:
        """Every page of every window, one after the other. Raises GatewayError."""
        since, width = self._span.since, self._span.width
        while True:
            window = Window(since=since, until=min(since + width, self._span.until))
            first = await self._page(window, 0)
            if first.total > self._most and window.width > _NARROWEST:
                width = max(window.width / 2, _NARROWEST)
                continue
            halved = False
            async for batch in self._read(window, first):
                if batch.lacks is not None and _can_be_halved(window, first, self._size):
                    halved, width = True, max(window.width / 2, _NARROWEST)
                else:
                    yield batch
            if halved:
                continue
            if window.until >= self._span.until:
                return
            since = window.until
            self._shown_before, self._shown = self._shown, {}
            if first.total < self._most // 4:
                width *= 2

    async def _read(self, window: Window, first: ChangedPage) -> AsyncGenerator[Batch]:
        """Read a window to its end, and once more if what came is not what the gateway counted."""
        named = listed = 0
        for attempt in range(_READ_MOST):
            names: set[str] = set()
            number = named = 0
            page = first if attempt == 0 else await self._page(window, 0)
            while True:
                named = max(named, page.total)
                names.update(payment.id for payment in page.payments)
                number += 1
                ends = number * self._size > page.total
                whole = ends and len(names) == named
                yield Batch(window=window, payments=self._news(page.payments), ends=whole)
                if whole:
                    return
                if ends or (number + 1) * self._size > PAGED_MOST:
                    break
                page = await self._page(window, number)
            listed = len(names)
        why = f"{named:,} payments changed from {window.since:%Y-%m-%d %H:%M:%S} to {window.until:%Y-%m-%d %H:%M:%S}"
        lacks = ListIncompleteError(f"the gateway says that {why} UTC, and lists {listed:,}")
        yield Batch(window=window, payments=(), ends=True, lacks=lacks)

    def _news(self, payments: Sequence[Payment]) -> list[Payment]:
        """Those that were not shown yet, or not as they are now."""
        news = []
        for payment in payments:
            mark = hash(payment)
            if mark not in (self._shown.get(payment.id), self._shown_before.get(payment.id)):
                news.append(payment)
            self._shown[payment.id] = mark
        return news

    async def _page(self, window: Window, number: int) -> ChangedPage:
        since = window.since if window.since == self._span.since else window.since - _EDGE
        return await self._gateway.changed_page(self._store_id, since, window.until, number=number, size=self._size)


def _can_be_halved(window: Window, first: ChangedPage, size: int) -> bool:
    """Whether narrower windows may add up where this one did not: pages may be sorted anew each time, or shift."""
    return window.width > _NARROWEST and max(first.total, len(first.payments)) >= size
