"""Moments as an operator writes them: a time, or how long ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

_AGO = re.compile(r"([0-9]{1,6})([dhm])", re.ASCII)
_UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}


class PastMoment(click.ParamType[datetime]):
    """An ISO 8601 date or time (in UTC unless it says otherwise), or ``7d``, ``12h``, ``30m`` ago; never to come."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The moment, aware."""
        now = datetime.now(UTC)
        moment = value if isinstance(value, datetime) else self._read(str(value), now)
        if moment is None:
            self.fail(f"{value!r} is no time: write 2026-01-31, 2026-01-31T09:00:00+09:00, 7d, 12h or 30m", param, ctx)
        if moment > now:
            self.fail(f"{value!r} is yet to come", param, ctx)
        return moment

    def _read(self, text: str, now: datetime) -> datetime | None:
        try:
            if ago := _AGO.fullmatch(text):
                return now - int(ago[1]) * _UNITS[ago[2]]
            moment = datetime.fromisoformat(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            return None
