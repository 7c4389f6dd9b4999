"""The walls are real: a brick out of any of them turns the build red."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("src", "packages/fake-portone/src", "packages/gyeolje-demo/src")
HEXAGON, FRAMEWORKS, CONTAINER = "points inward", "knows no framework", "knows the container"
FAKE, OURS = "The fake knows nobody of ours", "Nobody of ours knows the fake"
MODULES, PACKAGES = "No module goes in circles", "No package goes in circles"
GATEWAY = "no gateway over the fake"


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    environment = {"PYTHONPATH": ":".join(str(folder / source) for source in SOURCES), "PATH": "", "COLUMNS": "200"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - our own linter


@pytest.fixture
def house(tmp_path: Path) -> Path:
    for source in SOURCES:
        shutil.copytree(ROOT / source, tmp_path / source, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests/circles.py", tmp_path / "tests")
    return tmp_path


def room_of(house: Path, module: str) -> Path:
    """The file of a module."""
    path = module.replace(".", "/")
    rooms = (house / source / name for source in SOURCES for name in (f"{path}.py", f"{path}/__init__.py"))
    return next(room for room in rooms if room.is_file())


def test_the_house_as_it_stands_keeps_every_contract(house: Path) -> None:
    result = lint_imports(house)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("room", "brick", "contract"),
    [
        ("domain.money", "application.ports", HEXAGON),
        ("application.ports.storing", "adapters.http.app", HEXAGON),
        ("adapters.http.app", "adapters.persistence.sql", HEXAGON),
        ("adapters.http.app", "adapters.cli.printing", HEXAGON),
        ("adapters.cli.orders", "adapters.persistence.sql", HEXAGON),
        ("adapters.cli.commands", "bootstrap.settings", HEXAGON),
        ("adapters.portone.gateway", "bootstrap.settings", HEXAGON),
        ("bootstrap.service", "gyeolje_demo.samples", HEXAGON),
        ("domain.money", "msgspec", FRAMEWORKS),
        ("application.transact", "sqlalchemy", FRAMEWORKS),
        ("application.put_product", "rich_click", FRAMEWORKS),
        ("adapters.http.app", "dependency_injector", CONTAINER),
        ("gyeolje_demo.narrator", "dependency_injector", CONTAINER),
        ("fake_portone.clock", "domain.money", FAKE),
        ("fake_portone.clock", "adapters.http.serving", FAKE),
        ("bootstrap.service", "fake_portone", OURS),
        ("adapters.http.app", "fake_portone.faults", OURS),
        ("adapters.portone.gateway", "fake_portone.api", OURS),
        ("adapters.cli.extras", "gyeolje_demo", OURS),
        ("bootstrap.container", "adapters.portone.fake_gateway", GATEWAY),
        ("domain.money", "domain.order", MODULES),
        ("domain.money", "domain.order", PACKAGES),
        ("application.transact", "application.place_order", MODULES),
        ("adapters.http.problems", "adapters.http.app", MODULES),
        ("fake_portone.clock", "fake_portone", MODULES),
        ("fake_portone.faults", "fake_portone.api", PACKAGES),
        ("adapters.persistence.tables", "adapters.persistence.sql.values", PACKAGES),
    ],
)
def test_a_brick_out_of_a_wall_turns_the_build_red(house: Path, room: str, brick: str, contract: str) -> None:
    path = room_of(house, room)
    path.write_text(f"{path.read_text()}\nimport {brick}\n")
    result = lint_imports(house)
    assert result.returncode == 1, result.stdout + result.stderr
    broken = [line for line in result.stdout.splitlines() if "BROKEN" in line]
    assert any(contract in line for line in broken), broken
