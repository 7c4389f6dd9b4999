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
        ("get", "/api/v1/orders/{order_id}/return"),
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


async def test_problems_are_the_only_errors_in_it_and_each_status_is_named(shopfront: Shopfront) -> None:
    document = (await shopfront.http.get("/schema")).json()
    errors = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            refused = {status: answer for status, answer in operation["responses"].items() if status >= "3"}
            assert all(list(answer["content"]) == ["application/problem+json"] for answer in refused.values())
            errors[f"{method} {path.removeprefix('/api/v1')}"] = sorted(refused)
    assert errors == {
        "get /products": ["503"],
        "post /orders": ["400", "404", "409", "413", "415", "422", "503"],
        "get /orders/{order_id}": ["404", "503"],
        "post /orders/{order_id}/verify": ["404", "503"],
        "post /orders/{order_id}/cancel": ["404", "409", "503"],
        "post /orders/{order_id}/ticket": ["404", "503"],
        "get /orders/{order_id}/return": ["404", "503"],
        "get /orders/{order_id}/events": ["404", "429", "503"],
        "post /webhooks/portone": ["400", "413", "503"],
        "get /health/live": [],
        "get /health/ready": ["503"],
    }


async def test_an_error_that_may_pass_by_itself_is_described_with_its_header(shopfront: Shopfront) -> None:
    document = (await shopfront.http.get("/schema")).json()
    responses = document["paths"]["/api/v1/orders/{order_id}/events"]["get"]["responses"]
    assert {status for status, answer in responses.items() if "Retry-After" in answer.get("headers", ())} == {
        "429",
        "503",
    }
    assert "`too-many-streams`" in responses["429"]["description"]


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


async def test_it_says_what_may_be_null_and_which_words_there_are(shopfront: Shopfront) -> None:
    schemas = (await shopfront.http.get("/schema")).json()["components"]["schemas"]
    placed, order, back = (schemas[name]["properties"] for name in ("PlacedOut", "OrderOut", "ReturnOut"))
    assert {"type": "null"} in placed["checkout"]["oneOf"]
    assert "lastAttempt" in schemas["OrderOut"]["required"]
    assert "failed" in str(order["lastAttempt"])
    assert sorted(back["status"]["enum"]) == ["not_paid", "open", "paid"]
    assert list(back) == ["status"]
    assert "taxFreeAmount" not in schemas["CheckoutOut"]["required"]
