"""The process behind the ``gyeolje`` command. Each command imports what it needs, so that none waits for another's."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from adapters.cli.commands import gyeolje
from adapters.cli.printing import fail
from adapters.cli.program import Finding, Program
from application.errors import GatewayError, StoreUnavailableError
from bootstrap.running import run
from bootstrap.settings import SettingsError, read_settings
from domain.errors import GyeoljeError

if TYPE_CHECKING:
    from application.use_cases import UseCases

T = TypeVar("T")


def main() -> None:
    """Run a command; every foreseen failure is one sentence and exit code 1."""
    try:
        gyeolje(obj=Process(), standalone_mode=True)
    except SettingsError as error:
        fail(*error.problems)
    except (GyeoljeError, StoreUnavailableError, GatewayError, OSError, RuntimeError) as error:
        fail(str(error))


class Process(Program):
    """This process, with the settings of its environment."""

    def ask(self, work: Callable[[UseCases], Coroutine[Any, Any, T]], *, quiet: bool = False) -> T:
        """See Program."""

        async def asked() -> T:
            async with _use_cases() as use_cases:
                return await work(use_cases)

        return run(asked(), least=logging.WARNING if quiet else logging.INFO)

    def serve(
        self, host: str, port: int, *, processes: int, with_worker: bool, listening: Callable[[str], None]
    ) -> int:
        """See Program."""
        from adapters.http.serving import address, listen
        from bootstrap import service
        from bootstrap.container import Container
        from bootstrap.processes import serve_in_processes

        settings = read_settings()
        sock = listen(host, port)
        listening(address(sock))
        if processes > 1:
            return serve_in_processes(sock, processes, with_worker=with_worker)
        run(service.serve(Container(settings=settings), sock, with_worker=with_worker))
        return 0

    def work(self) -> None:
        """See Program."""
        from bootstrap import service
        from bootstrap.container import Container

        run(service.work_alone(Container(settings=read_settings())))

    def migrate(self) -> None:
        """See Program."""
        from adapters.persistence.engine import create_engine, migrate

        async def bring_up_to_date() -> None:
            engine = create_engine(read_settings().database_url)
            try:
                await migrate(engine)
            finally:
                await engine.dispose()

        run(bring_up_to_date())

    def examine(self) -> list[Finding]:
        """See Program."""
        from bootstrap.doctor import examine

        return run(examine())


@asynccontextmanager
async def _use_cases() -> AsyncIterator[UseCases]:
    from bootstrap.container import Container

    container = Container(settings=read_settings())
    try:
        await container.store().check()
        yield container.use_cases()
    finally:
        await container.gateway_client().aclose()
        await container.engine().dispose()
