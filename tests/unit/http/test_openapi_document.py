"""The description for machines says what the routes do, and is not served in production."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from adapters.http.app import HttpSettings

if TYPE_CHECKING:
    from unit.http.conftest import NewShopfront, Shopfront


async def test_it_lists_every_route(shopfront: Shopfront) -> None:
    document = (await shopfront.http.get("/schema")).json()
    assert document["openapi"] == "3.1.0"
    assert {(method, path) for path, operations in document["paths"].items() for method in operations} == {
        ("get", "/api/v1/products"),
        ("post", "/api/v1/orders"),
        ("get", "/api/v1/orders/{order_id}"),
        ("post", "/api/v1/orders/{order_id}/verify"),
        ("post", "/api/v1/orders/{order_id}/cancel"),
        ("post", "/api/v1/orders/{order_id}/ticket"),
        ("get", "/api/v1/orders/{order_id}/events"),
        ("post", "/api/v1/webhooks/portone"),
        ("get", "/health/live"),
        ("get", "/health/ready"),
    }
    assert (await shopfront.http.get("/schema/openapi.json")).json() == document


async def test_it_names_no_schema_that_it_does_not_have(shopfront: Shopfront) -> None:
    answer = await shopfront.http.get("/schema")
    references = {part.split('"')[0] for part in answer.text.split('"$ref":"#/components/schemas/')[1:]}
    assert references
    assert references <= answer.json()["components"]["schemas"].keys()


async def test_it_describes_the_body_that_places_an_order(shopfront: Shopfront) -> None:
    document = (await shopfront.http.get("/schema")).json()
    placing = document["paths"]["/api/v1/orders"]["post"]
    assert placing["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/PlaceOrderBody"
    }
    quantity = document["components"]["schemas"]["ItemBody"]["properties"]["quantity"]
    assert quantity == {"type": "integer", "minimum": 1, "maximum": 100}


async def test_problems_are_the_only_errors_in_it(shopfront: Shopfront) -> None:
    document = (await shopfront.http.get("/schema")).json()
    for operations in document["paths"].values():
        for operation in operations.values():
            assert {status for status in operation["responses"] if status >= "3"} == {"default"}
            assert list(operation["responses"]["default"]["content"]) == ["application/problem+json"]


async def test_the_event_stream_and_the_token_are_in_it(shopfront: Shopfront) -> None:
    document = (await shopfront.http.get("/schema")).json()
    events = document["paths"]["/api/v1/orders/{order_id}/events"]["get"]
    assert list(events["responses"]["200"]["content"]) == ["text/event-stream"]
    assert events["security"] == [{"orderToken": []}]
    assert document["components"]["securitySchemes"]["orderToken"]["scheme"] == "bearer"


@pytest.mark.parametrize("path", ["/schema", "/schema/openapi.json"])
async def test_production_does_not_serve_it(new_shopfront: NewShopfront, path: str) -> None:
    shopfront = new_shopfront(settings=HttpSettings(gateway="portone", production=True))
    answer = await shopfront.http.get(path)
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")
