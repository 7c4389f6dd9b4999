"""PortOne's webhooks over HTTP: kept before they are answered, and nothing is kept of what is not proved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest

from adapters.http.app import HttpSettings
from adapters.persistence.memory import MemoryStore, MemoryUnit
from application.errors import GatewayUnavailableError, StoreUnavailableError
from domain.ids import WebhookId

if TYPE_CHECKING:
    from unit.http.conftest import NewShopfront, Shopfront, Toolbox

PATH = "/api/v1/webhooks/portone"


def paid(placed: Any, kind: str = "Transaction.Paid") -> bytes:
    data = {"paymentId": placed["order"]["paymentId"], "storeId": "store-test", "transactionId": "t"}
    return msgspec.json.encode({"type": kind, "timestamp": "2026-11-23T00:00:00.000Z", "data": data})


async def is_kept(shopfront: Shopfront, webhook_id: str) -> bool:
    async with shopfront.store.reading() as unit:
        return await unit.inbox.seen(WebhookId(webhook_id))


async def test_a_signed_webhook_reconciles_the_order_and_is_kept(shopfront: Shopfront, tools: Toolbox) -> None:
    placed = await shopfront.place()
    shopfront.pays(placed)
    body = paid(placed)
    answer = await shopfront.http.post(PATH, content=body, headers=tools.signed(body))
    assert (answer.status_code, answer.json()) == (200, {"status": "reconciled"})
    assert answer.headers["content-type"] == "application/json"
    assert await is_kept(shopfront, "msg_1")
    assert await shopfront.history(placed) == ["placed", "payment_observed", "completed"]


async def test_the_same_webhook_again_is_a_duplicate(shopfront: Shopfront, tools: Toolbox) -> None:
    placed = await shopfront.place()
    shopfront.pays(placed)
    body = paid(placed)
    await shopfront.http.post(PATH, content=body, headers=tools.signed(body))
    answer = await shopfront.http.post(PATH, content=body, headers=tools.signed(body))
    assert (answer.status_code, answer.json()) == (200, {"status": "duplicate"})
    assert await shopfront.history(placed) == ["placed", "payment_observed", "completed"]


async def test_a_hundred_copies_at_once_reconcile_once(shopfront: Shopfront, tools: Toolbox) -> None:
    placed = await shopfront.place()
    shopfront.pays(placed)
    body = paid(placed)
    headers = tools.signed(body)
    answers = await asyncio.gather(
        *(shopfront.http.post(PATH, content=body, headers=headers) for _ in range(100)),
    )
    assert {answer.status_code for answer in answers} == {200}
    assert [answer.json()["status"] for answer in answers].count("reconciled") == 1
    assert await shopfront.history(placed) == ["placed", "payment_observed", "completed"]


async def test_a_webhook_is_stored_while_the_gateway_is_down(shopfront: Shopfront, tools: Toolbox) -> None:
    placed = await shopfront.place()
    shopfront.gateway.trouble = GatewayUnavailableError("HTML came back")
    body = paid(placed)
    answer = await shopfront.http.post(PATH, content=body, headers=tools.signed(body))
    assert (answer.status_code, answer.json()) == (200, {"status": "stored"})
    assert await is_kept(shopfront, "msg_1")


@pytest.mark.parametrize(
    "body",
    [
        b'{"type":"BillingKey.Issued","data":{"storeId":"s","billingKey":"b"}}',
        b'{"type":"Somehing.New","data":{"paymentId":"x"}}',
        b'{"type":"Transaction.Paid","data":{"paymentId":"never-heard-of","storeId":"s","transactionId":"t"}}',
    ],
)
async def test_what_is_not_about_an_order_of_ours_is_ignored_and_kept(
    shopfront: Shopfront, tools: Toolbox, body: bytes
) -> None:
    answer = await shopfront.http.post(PATH, content=body, headers=tools.signed(body))
    assert (answer.status_code, answer.json()) == (200, {"status": "ignored"})
    assert await is_kept(shopfront, "msg_1")


async def test_another_content_type_is_read_all_the_same(shopfront: Shopfront, tools: Toolbox) -> None:
    placed = await shopfront.place()
    shopfront.pays(placed)
    body = f"payment_id={placed['order']['paymentId']}&tx_id=t&status=Paid".encode()
    headers = tools.signed(body) | {"content-type": "application/x-www-form-urlencoded"}
    answer = await shopfront.http.post(PATH, content=body, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"status": "reconciled"})


def unsigned(headers: dict[str, str]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers.items() if name != "webhook-signature"]


def of_another(headers: dict[str, str]) -> list[tuple[str, str]]:
    return [*(headers | {"webhook-id": "msg_2"}).items()]


def doubled(headers: dict[str, str]) -> list[tuple[str, str]]:
    return [*headers.items(), ("Webhook-Id", headers["webhook-id"])]


def without_scheme(headers: dict[str, str]) -> list[tuple[str, str]]:
    return [*(headers | {"webhook-signature": headers["webhook-signature"].removeprefix("v1,")}).items()]


@pytest.mark.parametrize("forge", [unsigned, of_another, doubled, without_scheme])
async def test_what_is_not_proved_is_refused_without_a_trace(
    shopfront: Shopfront, tools: Toolbox, forge: Callable[[dict[str, str]], list[tuple[str, str]]]
) -> None:
    placed = await shopfront.place()
    shopfront.pays(placed)
    body = paid(placed)
    answer = await shopfront.http.post(PATH, content=body, headers=forge(tools.signed(body)))
    assert answer.status_code == 400
    assert answer.json() == {
        "type": "/problems/webhook-refused",
        "title": "Webhook refused",
        "status": 400,
        "detail": "The message could not be verified.",
    }
    assert not await is_kept(shopfront, "msg_1")
    assert not await is_kept(shopfront, "msg_2")
    assert shopfront.gateway.asked == []


@pytest.mark.parametrize(("seconds", "status"), [(298, 200), (303, 400), (-298, 200), (-303, 400)])
async def test_an_old_or_future_webhook_is_refused(
    shopfront: Shopfront, tools: Toolbox, seconds: int, status: int
) -> None:
    body = b'{"type":"Else"}'
    headers = tools.signed(body, at=datetime.now(UTC) - timedelta(seconds=seconds))
    assert (await shopfront.http.post(PATH, content=body, headers=headers)).status_code == status


async def test_a_signed_webhook_that_is_too_large_is_not_read(shopfront: Shopfront, tools: Toolbox) -> None:
    body = b'{"type":"Else","data":"' + b"x" * 65_536 + b'"}'
    answer = await shopfront.http.post(PATH, content=body, headers=tools.signed(body))
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/content-too-large")
    assert not await is_kept(shopfront, "msg_1")


@pytest.mark.parametrize("size", [70_000, 5_000_000])
async def test_a_client_that_sends_too_much_still_reads_why(served: str, size: int) -> None:
    async with httpx.AsyncClient() as http:
        answer = await http.post(served + PATH, content=b"x" * size)
    assert answer.status_code == 413


class FullStore(MemoryStore):
    """A store whose commits fail, as on a full disk."""

    full = False

    def writing(self) -> MemoryUnit:
        return _FullUnit(self._kept, self._lock, self._seconds) if self.full else super().writing()


class _FullUnit(MemoryUnit):
    async def _commit(self) -> None:
        raise StoreUnavailableError("secret/path/gyeolje.db: the disk is full")


async def test_a_webhook_that_cannot_be_kept_is_sent_back_to_be_sent_again(
    new_shopfront: NewShopfront, tools: Toolbox, fill: Callable[[MemoryStore], Any]
) -> None:
    store = FullStore()
    await fill(store)
    shopfront = new_shopfront(store=store)
    placed = await shopfront.place()
    shopfront.pays(placed)
    body = paid(placed)
    store.full = True
    answer = await shopfront.http.post(PATH, content=body, headers=tools.signed(body))
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/store-unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert "secret" not in answer.text
    store.full = False
    assert (await shopfront.http.post(PATH, content=body, headers=tools.signed(body))).json() == {
        "status": "reconciled"
    }


async def test_the_path_is_a_setting(new_shopfront: NewShopfront, tools: Toolbox) -> None:
    shopfront = new_shopfront(settings=HttpSettings(gateway="fake", webhook_path="/hooks/pay"))
    body = b'{"type":"Else"}'
    assert (await shopfront.http.post("/hooks/pay", content=body, headers=tools.signed(body))).status_code == 200
    assert (await shopfront.http.post(PATH, content=body, headers=tools.signed(body))).status_code == 404
