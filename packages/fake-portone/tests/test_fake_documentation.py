"""The pages that describe the fake say what the code says: every fault, every option, an example that runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

from fake_portone.__main__ import fake_portone
from fake_portone.faults import CATALOGUE

PROJECT = Path(__file__).parents[1]
PAGE, README = PROJECT / "docs" / "fake-portone.md", PROJECT / "README.md"
FAULTS = "The faults, and what a correct integration does"


def rows_under(heading: str, page: Path = PAGE) -> list[list[str]]:
    section = page.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]


def test_the_page_lists_the_faults_of_the_catalogue_word_for_word() -> None:
    listed = [(name.strip("`"), what) for name, what, _ in rows_under(FAULTS)]
    assert listed == [(kind.name, kind.description) for kind in CATALOGUE.values()]


def test_the_page_says_of_every_fault_what_a_correct_integration_does() -> None:
    assert [name for name, _, does in rows_under(FAULTS) if not does] == []


def test_the_readme_counts_the_faults() -> None:
    assert f"a catalogue of {len(CATALOGUE)} faults" in README.read_text(encoding="utf-8")


def test_the_readme_lists_the_options_of_the_command_with_their_variables_and_defaults() -> None:
    rows = rows_under("Options", README)
    for option in fake_portone.params:
        name = option.opts[0]
        if isinstance(option, click.Option) and name != "--version":
            (row,) = (row for row in rows if f"`{name}" in row[0])
            assert row[1] == (f"`{option.envvar}`" if option.envvar else "")
            assert option.is_flag or name == "--scenario" or f"`{option.default}`" in row[2].replace("`60`", "`60.0`")


def test_the_example_of_the_readme_runs() -> None:
    example = README.read_text(encoding="utf-8").split("```python\n")[-1].partition("```")[0]
    subprocess.run([sys.executable, "-W", "error", "-c", example], check=True)  # noqa: S603 - our own example
