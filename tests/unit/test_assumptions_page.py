"""The page of what we assume about PortOne, and the fake's faults that take the other reading, name each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fake_portone.faults import CATALOGUE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/assumptions.md").read_text("utf-8")
ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if line.startswith("| <a ")]
PLAYED = {row[0]: re.findall(r"`(\w+)`", row[-1]) for row in ROWS}
NAMED = sorted({name for names in PLAYED.values() for name in names})
LINKING = [
    "README.md",
    "docs/architecture.md",
    "docs/attention.md",
    "docs/glossary.md",
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs/adr").glob("*.md")),
]


def numbers() -> list[str]:
    found = [re.fullmatch(r'<a id="([a-z]\d+)"></a>([A-Z]\d+)', row[0]) for row in ROWS]
    assert all(found), "a row begins with its number, and can be linked to by it"
    assert all(number[1] == number[2].lower() for number in found if number is not None)
    return [number[2] for number in found if number is not None]


def test_the_rows_are_numbered_without_gaps() -> None:
    by_letter: dict[str, list[int]] = {}
    for number in numbers():
        by_letter.setdefault(number[0], []).append(int(number[1:]))
    assert len(ROWS) > 40
    assert all(found == list(range(1, len(found) + 1)) for found in by_letter.values())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][-3:].strip(">"))
def test_a_row_says_all_there_is_to_say(row: list[str]) -> None:
    assert len(row) == 5, "number, what, where it is said, if it is wrong, which fault"
    assert all(row)
    assert PLAYED[row[0]] or row[-1].startswith("none: "), "a fault, or why there is none"


@pytest.mark.parametrize("name", NAMED)
def test_a_fault_that_the_page_names_is_in_the_catalogue(name: str) -> None:
    assert name in CATALOGUE


def test_every_fault_that_takes_another_reading_is_named() -> None:
    from fake_portone.faults import READINGS  # noqa: PLC0415 - so that the other tests run without it

    assert CATALOGUE.keys() >= READINGS
    assert sorted(READINGS - set(NAMED)) == []


def test_the_page_names_every_fault_of_the_catalogue() -> None:
    assert sorted(CATALOGUE.keys() - set(NAMED)) == []


def test_a_link_to_an_assumption_leads_to_one() -> None:
    anchors = {number.lower() for number in numbers()}
    linked = {
        (page, anchor)
        for page in LINKING
        for anchor in re.findall(r"assumptions\.md#([\w-]+)", (ROOT / page).read_text("utf-8"))
    }
    assert sorted(link for link in linked if link[1] not in anchors) == []


def test_every_promise_of_the_first_page_links_to_what_it_holds_under() -> None:
    promises = (ROOT / "README.md").read_text("utf-8").partition("\n## What it promises\n")[2].partition("\n## ")[0]
    rows = [line for line in promises.splitlines() if line.startswith("|")][2:]
    assert len(rows) > 5
    assert [row for row in rows if "docs/assumptions.md#" not in row] == []
