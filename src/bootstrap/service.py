"""The running service: the application with everything it needs opened, and closed again in the right order."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from adapters.http.app import HttpSettings, create_app
from adapters.http.serving import Server
from adapters.persistence.engine import migrate
from application.errors import StoreUnavailableError
from bootstrap.container import Container
from bootstrap.running import Background, Stoppable, run_together
from bootstrap.worker import keep_sweeping, work
from domain.ids import ProductId

if TYPE_CHECKING:
    from litestar import Litestar

_log = structlog.get_logger("gyeolje")


@asynccontextmanager
async def opened(container: Container) -> AsyncIterator[None]:
    """The wired parts, over a database of the right schema; all of them are closed when the context is left.

    Outside production the schema is brought up to date.
    Raises StoreUnavailableError, which also says that ``gyeolje migrate`` may have to be run.
    """
    try:
        await _prepare(container)
        yield
    finally:
        container.notifier().close()
        await container.gateway_client().aclose()
        await container.engine().dispose()


def application(container: Container) -> Litestar:
    """The ASGI application over the wired parts."""
    settings = container.settings()
    return create_app(
        container.use_cases(),
        webhook_reader=container.webhook_reader(),
        check=container.store().check,
        settings=HttpSettings(
            webhook_path=settings.webhook_path,
            allowed_origins=settings.origins,
            production=settings.in_production,
            gateway=settings.gateway,
            fake=settings.api_url if settings.gateway == "fake" else None,
        ),
    )


async def serve(
    container: Container,
    sock: socket.socket,
    *,
    with_worker: bool,
    beside: Sequence[Stoppable] = (),
    also: Sequence[Background] = (),
    stopping: asyncio.Event | None = None,
) -> None:
    """Serve on ``sock`` until a signal comes or ``stopping`` is set. Open event streams are ended, not waited for."""
    settings = container.settings()
    async with opened(container):
        server = Server(application(container), [sock], before_stop=container.notifier().close)
        background = [*also]
        if with_worker:
            background += _work_of(container)
        _log.info("serving", gateway=settings.gateway, env=settings.env, worker=with_worker)
        await run_together([server, *beside], background, stopping=stopping)


async def work_alone(container: Container) -> None:
    """Check due orders, and sweep, until a signal comes."""
    settings = container.settings()
    async with opened(container):
        _log.info("working", gateway=settings.gateway, env=settings.env)
        await run_together([], _work_of(container))


def _work_of(container: Container) -> list[Background]:
    """What a worker does: check due orders, and sweep, unless that is switched off."""
    use_cases, every = container.use_cases(), container.settings().sweep_every
    parts: list[Background] = [lambda stop: work(use_cases.check_due_orders, stop)]
    if every:
        parts.append(lambda stop: keep_sweeping(use_cases.sweep_payments, stop, every=every))
    return parts


async def _prepare(container: Container) -> None:
    settings = container.settings()
    if not settings.in_production:
        await migrate(container.engine())
    store = container.store()
    try:
        await store.check()
        async with store.writing() as unit:  # what cannot be written to is told now, and not by the first order
            await unit.catalog.release(ProductId(""), 0)
    except StoreUnavailableError as error:
        raise StoreUnavailableError(
            f"{error}; if the schema is older than this version, run `gyeolje migrate`"
        ) from error
