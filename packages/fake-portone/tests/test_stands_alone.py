"""The package needs nobody but those whom it names."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import fake_portone
from fake_portone import FakePortOne, FakePortOneSettings

PROJECT = Path(__file__).parents[1]
SOURCES = sorted((PROJECT / "src" / "fake_portone").rglob("*.py"))
OURS = {"domain", "application", "adapters", "bootstrap", "gyeolje", "gyeolje_demo"}


def imported_by(path: Path) -> Iterator[str]:
    """Every module that a file imports, under whatever condition."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield node.module or ""


def roots(paths: list[Path]) -> set[str]:
    return {name.partition(".")[0] for path in paths for name in imported_by(path)}


def test_it_imports_nothing_of_gyeolje() -> None:
    assert roots(SOURCES) & OURS == set()


def test_its_tests_import_nothing_of_gyeolje() -> None:
    assert roots(sorted(PROJECT.glob("tests/**/*.py"))) & OURS == set()


def test_it_declares_exactly_what_it_imports() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.split(r"[^a-z0-9-]", requirement, maxsplit=1)[0] for requirement in project["dependencies"]}
    assert declared == roots(SOURCES) - set(sys.stdlib_module_names) - {"fake_portone"}


def test_no_part_of_it_imports_the_assembly() -> None:
    """Parts get what they need handed over. Above the assembly stand the player of stories, the server, the command."""
    above = {"__init__.py", "__main__.py", "scenario.py", "serve.py"}
    knows = {path.name for path in SOURCES if {"fake_portone", "fake_portone.fake"} & set(imported_by(path))}
    assert knows == above


def test_no_import_is_hidden_from_the_reader() -> None:
    assert [path for path in SOURCES if "TYPE_CHECKING" in path.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize("name", fake_portone.__all__)
def test_what_it_offers_is_there(name: str) -> None:
    assert getattr(fake_portone, name)


def test_a_fake_of_the_defaults_can_be_had_in_one_line() -> None:
    fake = FakePortOne(FakePortOneSettings())
    assert (fake.api_secret, fake.store_id) == (fake_portone.DEFAULT_API_SECRET, fake_portone.DEFAULT_STORE_ID)
