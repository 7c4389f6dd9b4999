"""Somebody with a life of their own, who asks the shop for things and foresees that it may say no."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from application.errors import (
    GatewayError,
    IdempotencyKeyReusedError,
    OrderNotFoundError,
    RefundNotFoundError,
    SoldOutError,
    StoreUnavailableError,
)
from domain.errors import NothingToAnswerError, OrderNotCancellableError, RefundNotPossibleError
from fake_portone.ledger import RefusedError
from simulation.process import NoAnswerError
from simulation.properties import Property

if TYPE_CHECKING:
    from simulation.world import World

_FORESEEN = (
    NoAnswerError,
    StoreUnavailableError,
    GatewayError,
    SoldOutError,
    OrderNotFoundError,
    OrderNotCancellableError,
    RefundNotPossibleError,
    RefundNotFoundError,
    IdempotencyKeyReusedError,
    NothingToAnswerError,
)


class Person:
    """Somebody with a life of their own."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name

    async def live(self, seconds: float) -> None:
        """Do what they do, in about so many seconds."""
        raise NotImplementedError

    def tell(self, what: str) -> None:
        """Add to the story."""
        self.world.story.tell(self.name, what)

    async def trying(self, what: str, request: Callable[[], Awaitable[object]]) -> bool:
        """Whether ``request`` was answered well; what is foreseen is told, anything else broken."""
        try:
            await request()
        except _FORESEEN as error:
            breaks_a_rule = type(error) is StoreUnavailableError and str(error).startswith("refused: ")
            if breaks_a_rule and self.world.store_takes_everything():
                self.world.judge.broken(Property.FORESEEN, f"{what} was not kept: {error}")
            self.tell(f"{what}: {str(error) or type(error).__name__}")
            return False
        except Exception as error:  # noqa: BLE001 - exactly this is judged
            self.world.judge.broken(Property.FORESEEN, f"{what} ended in {error!r}")
            return False
        return True

    def act(self, what: str, do: Callable[[], object]) -> None:
        """Do something at PortOne, which may refuse it."""
        try:
            do()
        except RefusedError as refused:
            self.tell(f"{what}: PortOne says {refused.kind}")
        else:
            self.tell(what)
