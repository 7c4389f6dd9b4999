"""The page that describes the fake says of every fault what the catalogue says, and what to do about it."""

from __future__ import annotations

from pathlib import Path

from fake_portone.faults import CATALOGUE

PAGE = Path(__file__).parents[1] / "docs" / "fake-portone.md"
FAULTS = "The faults, and what a correct integration does"


def rows_under(heading: str) -> list[list[str]]:
    section = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]


def test_the_page_lists_the_faults_of_the_catalogue_word_for_word() -> None:
    listed = [(name.strip("`"), what) for name, what, _ in rows_under(FAULTS)]
    assert listed == [(kind.name, kind.description) for kind in CATALOGUE.values()]


def test_the_page_says_of_every_fault_what_a_correct_integration_does() -> None:
    assert [name for name, _, does in rows_under(FAULTS) if not does] == []
