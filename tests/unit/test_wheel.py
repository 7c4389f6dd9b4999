"""What production installs: the service as a whole, and nothing that plays."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
PLAYS = re.compile(r"fake|sample|demo|play|narrator|dashboard")
THE_REAL_WINDOW = "adapters/portone/window.py"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZipFile]:
    """The wheel, built from this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(command, env=os.environ | {"PATH": path}, check=True)  # noqa: S603 - our own build
    (built,) = folder.glob("gyeolje-*.whl")
    with ZipFile(built) as archive:
        yield archive


def test_no_fake_no_sample_product_no_demo_and_no_play_window_is_in_it(wheel: ZipFile) -> None:
    names = [name for name in wheel.namelist() if not name.startswith("adapters/http/storefront/")]
    assert [name for name in names if PLAYS.search(name.lower())] == []
    assert [name for name in names if "window" in name] == [THE_REAL_WINDOW]


def test_nothing_in_it_imports_what_plays(wheel: ZipFile) -> None:
    importing = re.compile(
        rb"^\s*(?:from|import)\s+(?:fake_portone|gyeolje_demo|adapters\.portone\.fake_gateway)", re.MULTILINE
    )
    assert [name for name in wheel.namelist() if name.endswith(".py") and importing.search(wheel.read(name))] == []


def test_everything_else_is_in_it(wheel: ZipFile) -> None:
    ours = {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert ours - set(wheel.namelist()) == {"adapters/portone/fake_gateway.py"}


def test_only_the_extra_brings_the_demo_and_its_fake(wheel: ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    needs = message_from_bytes(wheel.read(name)).get_all("Requires-Dist", [])
    assert [need for need in needs if "demo" in need or "fake" in need] == ["gyeolje-demo ; extra == 'demo'"]
    demo = tomllib.loads((ROOT / "packages/gyeolje-demo/pyproject.toml").read_text("utf-8"))["project"]
    assert {"gyeolje", "fake-portone"} <= set(demo["dependencies"])


def test_production_locks_nothing_that_only_the_fake_needs() -> None:
    locked = (ROOT / "requirements.lock").read_text("utf-8")
    assert "fake-portone" not in locked
    assert not re.search(r"^starlette==", locked, re.MULTILINE)
