"""All that a command prints, and how it ends: sentences, tables, JSON, progress, the exit code."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from datetime import datetime
from typing import NoReturn

import rich_click as click
from rich.console import Console
from rich.table import Column, Table

from domain.money import Money

SHOWN_MOST = 20
"""How many of many things a screen is shown; JSON names more."""

_UNBOUNDED = 100_000  # characters: as wide as its content needs


def say(line: str) -> None:
    """Print one line of what was asked for."""
    click.echo(line)


def remark(line: str) -> None:
    """Print one line beside what was asked for, to standard error."""
    click.echo(line, err=True)


def fail(*sentences: str) -> NoReturn:
    """End with exit code 1, and one sentence for each thing that is wrong."""
    for sentence in sentences:
        remark(f"error: {sentence}")
    sys.exit(1)


def refuse(sentence: str) -> NoReturn:
    """End with exit code 2, and one sentence for what was said and cannot be taken."""
    remark(f"error: {sentence}")
    sys.exit(2)


def end(*, well: bool) -> NoReturn:
    """End with exit code 0, or with 1 where what was found is not well."""
    sys.exit(0 if well else 1)


def print_json(value: object) -> None:
    """Print JSON."""
    say(json.dumps(value, ensure_ascii=False, indent=2))


def print_table(columns: Iterable[str], rows: Iterable[tuple[str, ...]]) -> None:
    """Print a table. What a row is about, its first column, is never folded; off a screen nothing is.

    Cells are shown letter by letter: what others wrote is no markup.
    """
    table = Table(*(Column(name, overflow="fold", no_wrap=not n) for n, name in enumerate(columns)))
    for row in rows:
        table.add_row(*row)
    console = Console(width=None if sys.stdout.isatty() else _UNBOUNDED, markup=False, emoji=False)
    console.print(table)


def print_pairs(names: Iterable[str], values: Iterable[str]) -> None:
    """Print what is said of one thing, a line each; what is empty is left out."""
    for name, value in zip(names, values, strict=True):
        if value:
            say(f"{name:>9}  {value}")


class Progress:
    """Says on standard error how far it is: one line every few seconds."""

    _APART = 2.0

    def __init__(self, doing: str, *, apart: float = _APART) -> None:
        self._doing = doing
        self._apart = apart
        self._last = time.monotonic()

    def tell(self, got_to: str) -> None:
        """Say it, unless something was said just now."""
        now = time.monotonic()
        if now - self._last < self._apart:
            return
        self._last = now
        remark(f"{self._doing}: {got_to}")


def shown(money: Money) -> str:
    """Money as a person reads it."""
    return f"{money.minor:,} {money.currency}"


def money_json(money: Money) -> dict[str, object]:
    """Money as JSON has it."""
    return {"amount": money.minor, "currency": money.currency}


def time_text(moment: datetime) -> str:
    """A moment in UTC, to the millisecond."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def counted(number: int, what: str) -> str:
    """``1 order``, ``2,000 orders``."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def got_to(payments: int, at: datetime | None) -> str:
    """How far work on the gateway's records has come."""
    up_to = f", up to {time_text(at)}" if at is not None else ""
    return f"{counted(payments, 'payment')}{up_to}"
