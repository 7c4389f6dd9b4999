"""The walls are real: a brick out of any of them turns the build red."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    environment = {"PYTHONPATH": str(folder / "src"), "PATH": ""}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - our own linter


@pytest.fixture
def house(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "src", tmp_path / "src")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_house_as_it_stands_keeps_every_contract(house: Path) -> None:
    result = lint_imports(house)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("room", "brick", "contract"),
    [
        ("domain/money.py", "import application.ports", "points inward"),
        ("application/ports.py", "import adapters.http.app", "points inward"),
        ("adapters/http/app.py", "import adapters.persistence.sql", "points inward"),
        ("adapters/portone/gateway.py", "import bootstrap.settings", "points inward"),
        ("domain/money.py", "import msgspec", "knows no framework"),
        ("application/transact.py", "import sqlalchemy", "knows no framework"),
        ("adapters/http/app.py", "import dependency_injector", "knows the container"),
    ],
)
def test_a_brick_out_of_a_wall_turns_the_build_red(house: Path, room: str, brick: str, contract: str) -> None:
    path = house / "src" / room
    path.write_text(f"{path.read_text()}\n{brick}\n")
    result = lint_imports(house)
    assert result.returncode == 1, result.stdout + result.stderr
    broken = [line for line in result.stdout.splitlines() if "BROKEN" in line]
    assert any(contract in line for line in broken), broken
