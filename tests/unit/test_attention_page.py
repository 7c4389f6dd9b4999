"""The page of what a person is asked about has every kind, says rightly who ends it, and no number that is not ours."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import pytest
import rich_click as click

from adapters.cli.commands import gyeolje
from bootstrap.settings import Settings
from domain.attention import ENDED_BY_A_PERSON, AttentionKind
from domain.policy import Policy

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/attention.md").read_text("utf-8")

_UNITS = {"d": 86400, "h": 3600, "min": 60, "s": 1, "checks": 1}
_DURATION = re.compile(r"\d+ (?:d|h|min|s)\b(?: \d+ (?:min|s)\b)*")
_NAMED = re.compile(r"`([a-z_.]+\.(?:[A-Z]\w*\.)?\w+)` = (\d+ \w+(?: \d+ \w+)*)")
_TERM = re.compile(rf"((?:[\d.]+ × )*){_NAMED.pattern}")


def rows_under(heading: str) -> list[list[str]]:
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]


KINDS = rows_under("The list")
WAITS = rows_under("How long an order can wait in silence")
NAMED = sorted(set(_NAMED.findall(PAGE)))
COMMANDS = sorted(set(re.findall(r"`(gyeolje [^`]+)`", PAGE)))


def seconds(text: str) -> int:
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+) (\w+)", text))


def constant(name: str) -> object:
    """The value of ``module.CONSTANT``, or the usual one of ``module.Class.field``."""
    module, _, last = name.rpartition(".")
    owner = module.rpartition(".")[2]
    if not owner[0].isupper():
        return getattr(import_module(module), last)
    kind: Any = getattr(import_module(module.rpartition(".")[0]), owner)
    if kind is Settings:
        return next(field.default for field in msgspec.structs.fields(Settings) if field.name == last)
    return getattr(kind(), last)


def in_seconds(value: object) -> float:
    if isinstance(value, tuple):
        return sum(map(in_seconds, value))
    if isinstance(value, timedelta):
        return value.total_seconds()
    assert isinstance(value, int | float)
    return value


def longest(made_of: str) -> float:
    """The sum of a row's third cell: named constants, each so many times."""
    parts = [_TERM.fullmatch(part) for part in made_of.split(" + ")]
    assert all(parts), made_of
    return sum(
        math.prod(float(times) for times in re.findall(r"([\d.]+) ×", part[1])) * seconds(part[3])
        for part in parts
        if part is not None
    )


def test_the_page_has_every_kind_and_no_other_in_the_order_of_the_code() -> None:
    assert [row[0] for row in KINDS] == [f"`{kind.value}`" for kind in AttentionKind]
    assert {len(row) for row in KINDS} == {5}
    assert all(all(row) for row in KINDS)


@pytest.mark.parametrize("row", KINDS, ids=lambda row: row[0])
def test_the_page_says_rightly_who_ends_it(row: list[str]) -> None:
    by_a_person = AttentionKind(row[0].strip("`")) in ENDED_BY_A_PERSON
    assert row[4].startswith("by a person" if by_a_person else "by itself")


@pytest.mark.parametrize(("name", "said"), NAMED)
def test_a_number_is_that_of_the_constant_it_names(name: str, said: str) -> None:
    assert seconds(said) == in_seconds(constant(name))


def test_the_page_names_every_bound_of_the_policy() -> None:
    bounds = {name for name in Policy.__dataclass_fields__ if isinstance(getattr(Policy(), name), timedelta)}
    assert bounds == {name.rpartition(".")[2] for name, _ in NAMED if ".Policy." in name}


@pytest.mark.parametrize("row", [row for row in WAITS if row[2]], ids=lambda row: row[0])
def test_a_longest_wait_is_the_sum_of_what_it_is_made_of(row: list[str]) -> None:
    stated = _DURATION.match(row[1])
    assert stated is not None
    assert seconds(stated[0]) == math.ceil(round(longest(row[2]), 6))


def test_no_time_stands_on_the_page_but_a_constant_or_a_longest_wait() -> None:
    known = {seconds(said) for _, said in NAMED}
    known |= {seconds(stated[0]) for row in WAITS if (stated := _DURATION.match(row[1]))}
    said = {text for text in _DURATION.findall(PAGE) if seconds(text) not in known}
    assert said == set()


def test_the_sixth_failed_check_comes_after_31_times_the_first_pause() -> None:
    first, most = constant("domain.schedule._FAILED_FIRST"), constant("domain.schedule._FAILED_MOST")
    times = constant("domain.reconciliation._FAILED_LONG")
    assert isinstance(times, int)
    pauses = [min(in_seconds(first) * 2**n, in_seconds(most)) for n in range(times - 1)]
    assert sum(pauses) == 31 * in_seconds(first)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_the_page_names_exists(command: str) -> None:
    here: click.Command = gyeolje
    for word in command.split()[1:]:
        if word.startswith("--"):
            assert any(word in option.opts for option in here.params), word
        elif isinstance(here, click.Group):
            assert word in here.commands, word
            here = here.commands[word]


def test_the_page_names_commands() -> None:
    assert "gyeolje orders show" in COMMANDS
