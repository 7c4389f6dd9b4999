"""Mutants of what mutmut leaves alone, and the figures of both together.

mutmut changes plain functions and methods only. Its own operators go on here where it stops (properties, constants,
defaults of fields), and two more go everywhere: a statement is left out, a condition is turned round. Each mutant is
one changed file in a copy of the tree, on which the fast tests run until one of them fails.

    python benchmarks/mutants.py             try them all, but for those that were killed before in the same file
    python benchmarks/mutants.py --figures   the table of docs/mutants.md, from the last run of each
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import itertools
import json
import multiprocessing
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import cast

import libcst as cst
import pytest
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "mutants" / "others.json"
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutmut"]
TESTS = CONFIG["pytest_add_cli_args_test_selection"]
SLOW = "test_random_walks.py"
WARM = "src/domain/revision.py"
AT_ONCE, PATIENCE = 2, 45.0
FORK, MOMENTS = multiprocessing.get_context("fork"), itertools.count(1_000_000_000)

for _slow_to_import in ("aiosqlite", "alembic", "asyncpg", "httpx", "hypothesis.stateful", "msgspec", "pytest_asyncio"):
    importlib.import_module(_slow_to_import)
for _slow_to_import in ("sqlalchemy.ext.asyncio", "sqlalchemy.dialects.sqlite.aiosqlite", "uvicorn", "litestar"):
    importlib.import_module(_slow_to_import)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One changed file, and the change."""

    file: str
    line: int
    change: str
    code: str

    @property
    def key(self) -> str:
        """The same for as long as the file it changes is."""
        return hashlib.sha256(f"{self.file}\n{self.code}".encode()).hexdigest()


class _Finder(cst.CSTVisitor):
    """Every node that can be changed, with what it is changed into."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self) -> None:
        self.found: list[tuple[cst.CSTNode, cst.CSTNode]] = []
        self._functions: list[cst.FunctionDef] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.Annotation | cst.Decorator | cst.Import | cst.ImportFrom) or _is_for_types(node):
            return False
        if isinstance(node, cst.FunctionDef):
            self._functions.append(node)
        if self._functions:
            self.found += ((node, changed) for changed in _without_or_turned_round(node))
        if not self._functions or not _is_mutmuts(self._functions[0]):
            for kind, operator in mutation_operators:
                if isinstance(node, kind):
                    self.found += ((node, changed) for changed in operator(node))
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if self._functions and original_node is self._functions[-1]:
            self._functions.pop()


def _is_mutmuts(function: cst.FunctionDef) -> bool:
    decorators = [d.decorator.value for d in function.decorators if isinstance(d.decorator, cst.Name)]
    plain = len(decorators) == len(function.decorators) and set(decorators) <= {"classmethod", "staticmethod"}
    return plain and function.name.value != "__new__"


def _is_for_types(node: cst.CSTNode) -> bool:
    """Blocks for the type checker, names of types, and ``__slots__``."""
    if isinstance(node, cst.If):
        return isinstance(node.test, cst.Name) and node.test.value == "TYPE_CHECKING"
    if not isinstance(node, cst.Assign):
        return False
    called = node.value.func if isinstance(node.value, cst.Call) else None
    is_alias = isinstance(node.value, cst.Subscript) or (
        isinstance(called, cst.Name) and called.value in ("NewType", "TypeVar")
    )
    target = node.targets[0].target
    return is_alias or (isinstance(target, cst.Name) and target.value == "__slots__")


def _without_or_turned_round(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    if isinstance(node, cst.If | cst.While | cst.CompIf):
        condition = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        yield node.with_changes(test=cst.UnaryOperation(cst.Not(), condition))
    if isinstance(node, cst.SimpleStatementLine):
        (statement, *_) = node.body
        text = cst.Module([]).code_for_node(statement)
        is_words = isinstance(statement, cst.Expr) and isinstance(statement.value, cst.SimpleString)
        if not is_words and not isinstance(statement, cst.Pass | cst.Assert) and "assert_never" not in text:
            yield node.with_changes(body=[cst.Pass()])


def mutants_of(file: str) -> Iterator[Mutant]:
    """Every mutant of one file."""
    wrapper = MetadataWrapper(cst.parse_module((ROOT / file).read_text()))
    places, finder = wrapper.resolve(PositionProvider), _Finder()
    wrapper.visit(finder)
    for node, changed in finder.found:
        code = cast("cst.Module", wrapper.module.deep_replace(node, changed)).code
        if code != wrapper.module.code:
            shown = [" ".join(wrapper.module.code_for_node(n).split())[:160] for n in (node, changed)]
            yield Mutant(file, places[node].start.line, " → ".join(shown), code)


def _run_tests(folder: Path, files: list[str]) -> None:
    os.chdir(folder)
    sys.path.insert(0, str(folder / "src"))
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        # what is imported already, its assertions with it, is not the tests' own
        quiet = ["-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
        code = pytest.main(["-x", *quiet, *files])
    os._exit(code)


def fate(folder: Path, file: str, code: str) -> str:
    """What becomes of ``code`` as ``file`` of ``folder``, which is as it was afterwards."""
    layers = ["application"] if file.startswith("src/application/") else ["domain", "application"]
    files = [f"{part}/{p.name}" for part in TESTS for p in (folder / part).glob("test_*.py")]
    files = [name for layer in layers for name in sorted(files) if f"/{layer}/" in name and not name.endswith(SLOW)]
    files += [f"{part}/{SLOW}" for part in TESTS if "domain" in layers and (folder / part / SLOW).exists()]
    target = folder / file
    original = target.read_text()
    _write(target, code)
    child = FORK.Process(target=_run_tests, args=(folder, files))
    child.start()
    child.join(PATIENCE)
    if child.exitcode is None:
        child.kill()
        child.join()
        end = "timeout"
    else:
        end = "killed" if child.exitcode else "survived"
    _write(target, original)
    return end


def _write(target: Path, code: str) -> None:
    target.write_text(code)
    os.utime(target, (moment := next(MOMENTS), moment))  # one that no compiled file is of


def try_all() -> None:
    """Try every mutant that was not killed before, and keep what became of each."""
    files = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "src").rglob("*.py"))]
    mutants = [m for file in files if any(fnmatch(file, p) for p in CONFIG["only_mutate"]) for m in mutants_of(file)]
    before: dict[str, dict[str, str]] = (
        {r["key"]: r for r in json.loads(RESULTS.read_text())} if RESULTS.exists() else {}
    )
    folders: queue.SimpleQueue[Path] = queue.SimpleQueue()

    def one(mutant: Mutant) -> dict[str, str]:
        if before.get(mutant.key, {}).get("fate") == "killed":
            return before[mutant.key]
        folder = folders.get()
        end = fate(folder, mutant.file, mutant.code)
        folders.put(folder)
        if end != "killed":
            print(f"{end}: {mutant.file}:{mutant.line}: {mutant.change}", flush=True)
        return {"key": mutant.key, "file": mutant.file, "change": mutant.change, "fate": end}

    results = []
    with tempfile.TemporaryDirectory() as temporary:
        for folder in (Path(temporary) / str(number) for number in range(AT_ONCE)):
            for part in ("src", "tests"):
                shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
            shutil.copy(ROOT / "pyproject.toml", folder)
            folders.put(folder)
        for folder in (Path(temporary) / str(number) for number in range(AT_ONCE)):
            if fate(folder, WARM, (ROOT / WARM).read_text()) != "survived":
                raise SystemExit("the tests fail before anything is changed")
        print(f"{len(mutants)} mutants, of which {sum(m.key in before for m in mutants)} were tried before", flush=True)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for result in pool.map(one, mutants):
                results.append(result)
                RESULTS.parent.mkdir(exist_ok=True)
                RESULTS.write_text(json.dumps(results, ensure_ascii=False, indent=1))


def figures() -> None:
    ends: dict[str, Counter[str]] = defaultdict(Counter)
    mutmut = [sys.executable, "-m", "mutmut", "results", "--all", "true"]
    for line in subprocess.run(mutmut, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines():
        name, _, end = line.strip().rpartition(": ")
        if name:
            module = name.rpartition(".")[0]
            ends[f"src/{module.replace('.', '/')}.py"][end] += 1
    for result in json.loads(RESULTS.read_text()):
        ends[result["file"]][result["fate"]] += 1
    ends["all"] = sum(ends.values(), Counter())
    print("| file | mutants | killed | timed out | survived |\n| --- | ---: | ---: | ---: | ---: |")
    for file, count in ends.items():
        unknown = count.total() - sum(count[end] for end in ("killed", "timeout", "survived"))
        print(f"| {file} | {count.total()} | {count['killed']} | {count['timeout']} | {count['survived']} |")
        if unknown:
            raise SystemExit(f"{unknown} of {file} were never tried: {dict(count)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figures", action="store_true", help="print the table of the last runs, and run nothing")
    figures() if parser.parse_args().figures else try_all()
