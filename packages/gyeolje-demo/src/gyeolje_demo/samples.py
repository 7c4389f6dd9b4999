"""A concert's seats, for trying things out."""

from __future__ import annotations

from application.put_product import PutProductCommand
from application.use_cases import UseCases
from domain.ids import ProductId
from domain.money import Money

SAMPLE_PRODUCTS = (
    PutProductCommand(id=ProductId("vip-1-1"), name="VIP 1열 1번", price=Money(355_000, "KRW"), capacity=1),
    PutProductCommand(id=ProductId("vip-1-2"), name="VIP 1열 2번", price=Money(355_000, "KRW"), capacity=1),
    PutProductCommand(id=ProductId("r-7-12"), name="R석 7열 12번", price=Money(154_000, "KRW"), capacity=1),
    PutProductCommand(id=ProductId("standing"), name="스탠딩", price=Money(132_000, "KRW"), capacity=500),
    PutProductCommand(id=ProductId("programme"), name="프로그램 북", price=Money(20_000, "KRW")),
)


async def load_samples(use_cases: UseCases) -> None:
    """Put the sample products into an empty catalogue; leave any other as it is."""
    if await use_cases.list_products():
        return
    for product in SAMPLE_PRODUCTS:
        await use_cases.put_product(product)
