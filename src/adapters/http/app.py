"""The HTTP application over the table of use cases."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
from litestar import Litestar
from litestar.config.cors import CORSConfig
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler

from adapters.http.buyer.orders import OrderRoutes
from adapters.http.buyer.page import page_routes
from adapters.http.edge import READ, Edge
from adapters.http.openapi import openapi_config
from adapters.http.problems import misused, refused, unforeseen
from adapters.http.sizes import API_BODY_MOST
from adapters.http.webhook import webhook_route
from application.ports import WebhookReader
from application.use_cases import UseCases
from domain.errors import GyeoljeError


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """``gateway`` is the kind of gateway behind us, for the health report. ``allowed_origins`` are exact.

    In ``production`` the interface's description is not served. ``fake`` is where browsers reach a fake PortOne, whose
    payment window the shop page then opens; None where PortOne itself is used.
    """

    gateway: str
    webhook_path: str = "/api/v1/webhooks/portone"
    allowed_origins: tuple[str, ...] = ()
    production: bool = False
    fake: str | None = None

    def __post_init__(self) -> None:
        if any("*" in origin for origin in self.allowed_origins):
            raise ValueError("an allowed origin is exact: it has no *")


class Health(msgspec.Struct, frozen=True):
    """How the service is; ``gateway`` says which kind of payment gateway it uses."""

    status: str
    gateway: str


def create_app(
    use_cases: UseCases,
    *,
    webhook_reader: WebhookReader,
    check: Callable[[], Awaitable[None]],
    settings: HttpSettings,
) -> Litestar:
    """The application. ``check`` raises StoreUnavailableError while no order could be kept."""
    app = Litestar(
        [
            *OrderRoutes(use_cases).handlers(),
            webhook_route(settings.webhook_path, webhook_reader, use_cases.handle_webhook_event),
            *_health(check, settings.gateway),
            *page_routes(settings.fake),
        ],
        exception_handlers={GyeoljeError: refused, HTTPException: misused, Exception: unforeseen},
        cors_config=_cors(settings.allowed_origins),
        openapi_config=None if settings.production else openapi_config(settings.webhook_path),
        request_max_body_size=API_BODY_MOST,
        logging_config=None,
        debug=False,
        pdb_on_exception=False,
    )
    app.asgi_handler = Edge(app.asgi_handler)
    return app


def _health(check: Callable[[], Awaitable[None]], gateway: str) -> list[HTTPRouteHandler]:
    async def live() -> Health:
        """The process answers."""
        return Health("live", gateway)

    async def ready() -> Health:
        """Orders can be kept; else 503."""
        await check()
        return Health("ready", gateway)

    return [HTTPRouteHandler(f"/health/{probe.__name__}", http_method=READ)(probe) for probe in (live, ready)]


def _cors(origins: tuple[str, ...]) -> CORSConfig | None:
    if not origins:
        return None
    return CORSConfig(
        allow_origins=list(origins),
        allow_methods=["GET", "HEAD", "POST"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"],
        expose_headers=["Idempotent-Replayed", "Retry-After"],
    )
