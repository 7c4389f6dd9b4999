"""The one table from errors to problem documents: nothing is missing, and nothing inside gets out."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

import application
import domain
from adapters.http.problems import BY_ERROR, BY_STATUS, Kind, kind_of
from adapters.persistence.memory import MemoryStore, MemoryUnit
from application.errors import GatewayRefusedError, ScopeMissingError, StoreUnavailableError, UnauthenticatedError
from domain.errors import GyeoljeError, MalformedApiKeyError

if TYPE_CHECKING:
    from unit.http.conftest import NewShopfront, Toolbox


def every_error() -> set[type[GyeoljeError]]:
    """The errors of the core, wherever in it they are declared."""
    for package in (domain, application):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    return {error for error in heirs(GyeoljeError) if error.__module__.partition(".")[0] in {"domain", "application"}}


def heirs(error: type[GyeoljeError]) -> Iterator[type[GyeoljeError]]:
    for heir in error.__subclasses__():
        yield heir
        yield from heirs(heir)


def missing_from(table: Mapping[type[GyeoljeError], Kind]) -> set[type[GyeoljeError]]:
    return every_error() - table.keys()


def test_every_error_has_its_problem() -> None:
    assert missing_from(BY_ERROR) == set()
    assert len(every_error()) >= 15


@pytest.mark.parametrize("error", [error for error in BY_ERROR if error is not GyeoljeError])
def test_an_error_without_a_problem_would_be_noticed(error: type[GyeoljeError]) -> None:
    without = {known: kind for known, kind in BY_ERROR.items() if known is not error}
    assert missing_from(without) == {error}


def test_the_statuses_and_slugs_are_part_of_the_interface() -> None:
    assert {error.__name__: (kind.status, kind.slug) for error, kind in BY_ERROR.items()} == {
        "GyeoljeError": (500, "internal-error"),
        "InvalidMoneyError": (422, "invalid-amount"),
        "InvalidProductError": (422, "invalid-product"),
        "BelowHeldError": (409, "stock-below-held"),
        "BeyondLimitsError": (409, "beyond-limits"),
        "InvalidIdError": (400, "invalid-id"),
        "InvalidApiKeyError": (422, "invalid-api-key"),
        "MalformedApiKeyError": (401, "unauthenticated"),
        "OrderNotCancellableError": (409, "order-not-cancellable"),
        "RefundNotPossibleError": (409, "refund-not-possible"),
        "NothingToAnswerError": (409, "nothing-to-answer"),
        "OrderNotFoundError": (404, "order-not-found"),
        "RefundNotFoundError": (404, "refund-not-found"),
        "ProductNotFoundError": (404, "product-not-found"),
        "ApiKeyNotFoundError": (404, "api-key-not-found"),
        "UnauthenticatedError": (401, "unauthenticated"),
        "ScopeMissingError": (403, "scope-missing"),
        "SoldOutError": (409, "sold-out"),
        "OrderNotPlaceableError": (422, "order-not-placeable"),
        "IdempotencyKeyReusedError": (409, "idempotency-key-reused"),
        "TooManyStreamsError": (429, "too-many-streams"),
        "WebhookRefusedError": (400, "webhook-refused"),
        "StoreUnavailableError": (503, "store-unavailable"),
        "ConflictError": (503, "store-busy"),
        "GatewayError": (503, "gateway-unavailable"),
        "GatewayUnavailableError": (503, "gateway-unavailable"),
        "ListIncompleteError": (503, "gateway-unavailable"),
        "UnreadableRecordError": (503, "gateway-unavailable"),
        "GatewayBusyError": (503, "gateway-busy"),
        "GatewayDeniedError": (503, "gateway-denied"),
        "GatewayRefusedError": (409, "gateway-refused"),
    }
    assert {status: kind.slug for status, kind in BY_STATUS.items()} == {
        400: "malformed-request",
        404: "not-found",
        405: "method-not-allowed",
        413: "content-too-large",
        415: "unsupported-media-type",
        500: "internal-error",
    }


def test_whatever_may_pass_by_itself_says_when_to_come_back() -> None:
    assert {kind.slug for kind in BY_ERROR.values() if kind.retry_after is None and kind.status in {429, 503}} == set()


def test_a_new_error_is_treated_as_its_nearest_known_ancestor() -> None:
    class NewError(GatewayRefusedError):
        pass

    assert kind_of(NewError("CODE")).slug == "gateway-refused"


class BrokenStore(MemoryStore):
    """A store that is broken in a way that nobody foresaw, or away."""

    error: Exception = RuntimeError("010-1234-5678 secret-token")

    def reading(self) -> MemoryUnit:
        raise self.error

    async def check(self) -> None:
        raise StoreUnavailableError("secret/path/gyeolje.db does not answer")


async def test_what_nobody_foresaw_tells_the_client_nothing_and_the_log_only_where(
    new_shopfront: NewShopfront,
) -> None:
    shopfront = new_shopfront(store=BrokenStore())
    with capture_logs([merge_contextvars]) as lines:
        answer = await shopfront.http.get("/api/v1/products")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "/problems/internal-error",
        "title": "Internal error",
        "status": 500,
        "detail": "Something went wrong here. It was recorded.",
    }
    (error,) = [line for line in lines if line["event"] == "unforeseen error"]
    assert error["error"] == ["RuntimeError"]
    assert any("test_problems.py" in place and place.endswith(" reading") for place in error["trace"])
    assert "secret" not in repr(lines)
    assert "010-1234" not in repr(lines)


async def test_whoever_is_not_let_in_is_told_what_would_let_them_in_and_nothing_else(
    new_shopfront: NewShopfront,
) -> None:
    store = BrokenStore()
    told = []
    for error in (UnauthenticatedError("why"), MalformedApiKeyError("another why")):
        store.error = error
        answer = await new_shopfront(store=store).http.get("/api/v1/products")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        told.append(answer.content)
    assert told[0] == told[1]
    assert b"why" not in told[0]


async def test_a_missing_scope_is_named(new_shopfront: NewShopfront) -> None:
    store = BrokenStore()
    store.error = ScopeMissingError("this API key lacks the scope orders:read")
    answer = await new_shopfront(store=store).http.get("/api/v1/products")
    assert (answer.status_code, answer.json()["detail"]) == (403, "this API key lacks the scope orders:read")
    assert "www-authenticate" not in answer.headers


async def test_a_cause_is_followed_in_the_log(new_shopfront: NewShopfront) -> None:
    store = BrokenStore()
    store.error = ValueError("outer")
    store.error.__cause__ = KeyError("inner")
    with capture_logs() as lines:
        await new_shopfront(store=store).http.get("/api/v1/products")
    assert lines[0]["error"] == ["ValueError", "KeyError"]


async def test_a_store_that_is_away_is_503_and_only_the_log_says_why(new_shopfront: NewShopfront) -> None:
    store = BrokenStore()
    store.error = StoreUnavailableError("secret/path/gyeolje.db is locked")
    with capture_logs([merge_contextvars]) as lines:
        answer = await new_shopfront(store=store).http.get("/api/v1/products")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "secret" not in answer.text
    assert [line.get("why") for line in lines] == ["StoreUnavailableError: secret/path/gyeolje.db is locked"]


async def test_ready_is_503_while_orders_cannot_be_kept(new_shopfront: NewShopfront) -> None:
    shopfront = new_shopfront(store=BrokenStore())
    assert (await shopfront.http.get("/health/ready")).status_code == 503
    assert (await shopfront.http.get("/health/live")).status_code == 200


@pytest.mark.parametrize("order_id", ["%00", "x", "0" * 31, "0" * 33, "A" * 32])
async def test_no_database_is_asked_for_an_id_that_is_none_of_ours(new_shopfront: NewShopfront, order_id: str) -> None:
    shopfront = new_shopfront(store=BrokenStore())
    assert (await shopfront.http.get(f"/api/v1/orders/{order_id}")).status_code == 404
    assert (await shopfront.http.get(f"/api/v1/orders/{order_id}/events?ticket=1.a")).status_code == 404


async def test_an_order_whose_token_is_wrong_says_nothing_of_its_order(
    new_shopfront: NewShopfront, tools: Toolbox, fill: Callable[[MemoryStore], Any]
) -> None:
    store = MemoryStore()
    await fill(store)
    shopfront = new_shopfront(store=store)
    placed = await shopfront.place()
    headers = tools.bearer(placed | {"token": "f" * 64})
    answer = await shopfront.http.get(f"/api/v1/orders/{placed['order']['id']}", headers=headers)
    assert msgspec.json.decode(answer.content) == {
        "type": "/problems/order-not-found",
        "title": "Order not found",
        "status": 404,
        "detail": "There is no such order, or this request may not know of it.",
    }
