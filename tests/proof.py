"""What the tests prove: a table of properties, of the cases run for each, and of how many violated it.

``@pytest.mark.proves("property")`` puts a test under its property; the test is one case, or as many as its ``cases``
fixture counts. The table is printed at the end of the run, and written as JSON where ``--proof FILE`` says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

_CASES = pytest.StashKey["Cases"]()


@dataclass(slots=True)
class Cases:
    """How many cases one test ran, where it is not one, how many violated its property, and what is worth telling."""

    run: int = 0
    violated: int = 0
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Row:
    property: str
    cases: int = 0
    violations: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


@pytest.fixture
def cases(request: pytest.FixtureRequest) -> Cases:
    """Counts this test's cases."""
    counted: Cases = request.node.stash.setdefault(_CASES, Cases())
    return counted


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Whether all of it is to be run, however long it takes, and not the slice that CI runs."""
    return bool(request.config.getoption("--full"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run every case of what CI runs a slice of")
    parser.addoption("--proof", metavar="FILE", help="write what was proved to FILE, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "proves(property): the test is evidence for this property")
    config.pluginmanager.register(_Table(), "proof-table")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    mark = item.get_closest_marker("proves")
    if mark is not None and (call.when == "call" or call.excinfo is not None):
        count = item.stash.get(_CASES, Cases())
        item.user_properties[:] = [p for p in item.user_properties if p[0] != "proves"]
        item.user_properties.append(("proves", (mark.args[0], count.run or 1, count.violated, count.notes)))
    return (yield)


class _Table:
    """The properties met in this run."""

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        proved = dict(report.user_properties).get("proves")
        if not isinstance(proved, tuple | list) or report.skipped or (report.when != "call" and report.passed):
            return
        name, run, violated, notes = proved
        name = name[:1].upper() + name[1:]
        row = self._rows.setdefault(name, _Row(name))
        row.cases += run if report.when == "call" else 0
        row.violations += violated or int(report.failed)
        row.seconds += report.duration
        row.notes += notes

    def pytest_terminal_summary(self, terminalreporter: Any, config: pytest.Config) -> None:
        rows = sorted(self._rows.values(), key=lambda row: row.property)
        if not rows:
            return
        width = max(len(row.property) for row in rows)
        terminalreporter.section("what was proved")
        terminalreporter.line(f"{'property':{width}}  {'cases':>9}  violations")
        for row in rows:
            terminalreporter.line(f"{row.property:{width}}  {row.cases:>9,}  {row.violations:>10,}")
        for note in (note for row in rows for note in row.notes):
            terminalreporter.line(f"  {note}")
        if file := config.getoption("--proof"):
            Path(file).write_text(json.dumps([asdict(row) for row in rows], ensure_ascii=False, indent=2))
