"""Moments as an operator writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import pytest

from adapters.cli.moments import PastMoment


def read(text: str) -> datetime:
    return PastMoment().convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T09:00:00+09:00", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T00:00:00Z", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31 00:00", datetime(2026, 1, 31, tzinfo=UTC)),
    ],
)
def test_a_date_or_time_is_in_utc_unless_it_says_otherwise(text: str, moment: datetime) -> None:
    assert read(text) == moment
    assert read(text).utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("text", "ago"), [("7d", timedelta(days=7)), ("12h", timedelta(hours=12)), ("30m", timedelta(minutes=30))]
)
def test_it_may_say_how_long_ago(text: str, ago: timedelta) -> None:
    before = datetime.now(UTC)
    assert before <= read(text) + ago <= datetime.now(UTC)


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "99999999d", "999999d", "2999-01-01", "7", "-1d", "٣d", "1.5h", "0001-01-01T00:00+14:00"]
)
def test_what_is_no_time_or_yet_to_come_is_refused_by_name(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"is no time|is yet to come"):
        read(text)
