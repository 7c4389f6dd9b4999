"""SECURITY.md names for every threat the test that covers it, or says that there is none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text("utf-8")
ROWS = {row[1]: row[0] for row in re.finditer(r"^\| ([WMA]\d+) \|.*$", PAGE, re.MULTILINE)}
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


def test_every_threat_has_its_row() -> None:
    known = [("W", 17), ("M", 12), ("A", 20)]
    assert list(ROWS) == [f"{letter}{number}" for letter, last in known for number in range(1, last + 1)]


@pytest.mark.parametrize("threat", ROWS)
def test_a_threat_is_tested_or_said_not_to_be(threat: str) -> None:
    assert re.search(r"`tests/[\w/]+\.py::\w+`|\*\*not covered\*\*", ROWS[threat])


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_a_test_that_it_names_exists(file: str, test: str) -> None:
    path = ROOT / file
    assert path.is_file()
    assert re.search(rf"^(async )?def {test}\(", path.read_text("utf-8"), re.MULTILINE)
