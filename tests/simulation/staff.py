"""Who works in the shop: a clerk who refunds, also in the console, and an operator who answers what orders ask."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from application.answer_attention import AnswerAttentionCommand
from application.ports import RefundAccount
from application.refund_order import RefundOrderCommand, WithdrawRefundCommand
from domain.attention import AttentionKind
from domain.lifecycle import OrderStatus
from domain.money import Money
from domain.refund import Need, RefundStatus
from fake_portone.ledger import CancelStatus, RefusedError
from simulation.person import Person

if TYPE_CHECKING:
    from domain.order import Order
    from domain.refund import Refund
    from simulation.kept import Kept
    from simulation.world import World

_ACCOUNT = RefundAccount(bank="KAKAO", number="3333000000000", holder="홍길동")


class _Staff(Person):
    """Somebody who may ask for refunds."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self._keys: Counter[str] = Counter()
        self._asked_anew: set[str] = set()

    def _next_key(self, order: Order) -> str:
        """Refund number so-and-so of this order, as merchants name them: the same names for every order."""
        self._keys[order.id] += 1
        return f"{self.name}-{self._keys[order.id]}"

    async def _ask_back(self, order: Order, amount: Money | None, *, to_account: bool) -> bool:
        """Ask for a refund, and again where nobody answers or something is wrong; whether it was promised."""
        command = RefundOrderCommand(
            order_id=order.id,
            amount=amount,
            reason="sorry",
            requested_by=self.name,
            idempotency_key=self._next_key(order),
            account=_ACCOUNT if to_account else None,
        )
        return await self._ask(command)

    async def _ask(self, command: RefundOrderCommand) -> bool:
        judge = self.world.judge

        async def refund() -> None:
            judge.asking_back(command)
            refund = await self.world.ask(lambda process: process.use_cases.refund_order(command), within=200.0)
            judge.refunding(command, refund)

        asked = f"refunds {command.amount or 'all'} of {self.world.story.called(command.order_id)}"
        for _ in range(3):
            if await self.trying(asked, refund):
                self.tell(asked)
                return True
            await asyncio.sleep(self.world.lot.random() * 30.0)
        return False

    def _needs_account(self, order: Order) -> bool:
        record = self.world.judge.record(order.payment_id)
        return record is not None and record.account is not None

    def _cancel_in_console(self, order: Order, some: Money | None) -> None:
        with suppress(RefusedError):
            self.world.fake.buyer.cancel_in_console(order.payment_id, some.minor if some else None)
            self.world.judge.counts["cancelled in the console"] += 1
            self.tell(f"cancels {some or 'all'} of {self.world.story.called(order.id)} in the console")


class Clerk(_Staff):
    """Gives money back on request, in the shop or in PortOne's console, as often as it comes to mind."""

    async def live(self, seconds: float) -> None:
        lot = self.world.lot
        for _ in range(lot.choice((0, 1, 2, 4))):
            await asyncio.sleep(lot.random() * seconds * 0.5)
            orders = [kept.order for _, kept in sorted(self.world.judge.known.items())]
            paid = [order for order in orders if order.status is OrderStatus.COMPLETED]
            if not orders:
                continue
            order = lot.choice(paid or orders)
            if lot.random() < 0.6:
                at_once = [self._refund(order) for _ in range(lot.choice((1, 1, 2)))]
                await asyncio.gather(*at_once)
            else:
                self._cancel_in_console(order, self._some_of(order))

    async def _refund(self, order: Order) -> None:
        to_account = self._needs_account(order) and self.world.wide.random() < 0.5
        await self._ask_back(order, self._some_of(order), to_account=to_account)

    def _some_of(self, order: Order) -> Money | None:
        lot = self.world.lot
        if lot.random() < 0.4:
            return None
        return Money(lot.choice((1, 1000, 20_000, order.price.minor // 2 or 1, order.price.minor)), "KRW")


class Operator(_Staff):
    """Answers what orders ask a person about, as docs/attention.md has it: now and then, and at the end."""

    async def live(self, seconds: float) -> None:
        wide = self.world.wide
        for _ in range(wide.choice((0, 0, 1, 3))):
            await asyncio.sleep(wide.random() * seconds * 0.6)
            await self.see_to_all()

    async def see_to_all(self) -> bool:
        """Answer every question there is; whether there was any."""
        asking = [kept for _, kept in sorted(self.world.judge.known.items()) if kept.order.attention is not None]
        for kept in asking:
            await self._see_to(kept)
        return bool(asking)

    async def _see_to(self, kept: Kept) -> None:
        order, attention = kept.order, kept.order.attention
        assert attention is not None
        self.world.judge.counts[f"answered {attention.kind}"] += 1
        self._give_back_outside(order)
        if unclear := [r for r in kept.refunds if r.needs is Need.WORD and r.status is RefundStatus.REQUESTED]:
            for refund in unclear:
                await self._withdraw(refund)
            return
        match attention.kind:
            case AttentionKind.REFUND_REFUSED if order.refundable and await self._ask_anew(kept):
                pass  # that answers it
            case AttentionKind.REFUND_LATE:
                await self._see_to_late(kept)
                await self._answer(order)
            case _:
                await self._answer(order)

    async def _see_to_late(self, kept: Kept) -> None:
        """What only whoever asked can have done is asked for again, word for word; the provider does the rest."""
        for command in list(self.world.judge.to_accounts.get(kept.order.id, {}).values()):
            await self._ask(command)
        with suppress(RefusedError):
            self.world.fake.ledger.conclude(kept.order.payment_id, CancelStatus.SUCCEEDED)

    async def _ask_anew(self, kept: Kept) -> bool:
        """Money that must not be kept is asked back anew, as the reason of the refusal says; a favour is not."""
        if kept.order.status is not OrderStatus.CANCELLED and self.world.wide.random() < 0.5:
            return False
        if kept.order.id in self._asked_anew:
            return False  # it was of no use before
        self._asked_anew.add(kept.order.id)
        return await self._ask_back(kept.order, self._refused(kept), to_account=self._needs_account(kept.order))

    def _refused(self, kept: Kept) -> Money | None:
        refused = [r.amount for r in kept.refunds if r.status in (RefundStatus.REFUSED, RefundStatus.FAILED)]
        if kept.order.status is OrderStatus.CANCELLED or not refused:
            return None
        return min(refused[-1], kept.order.refundable)

    def _give_back_outside(self, order: Order) -> None:
        """The buyer does not have the money: it is given back where gyeolje counts it as gone already."""
        record = self.world.judge.record(order.payment_id)
        missing = order.refunded.minor - self.world.judge.balance(order.payment_id).cancelled
        if record is not None and missing > 0:
            whole = missing >= record.cancellable
            self._cancel_in_console(order, None if whole else replace(order.refunded, minor=missing))

    async def _answer(self, order: Order) -> None:
        if order.by_hand and order.status is OrderStatus.CANCELLED:
            self._cancel_in_console(order, None)  # else it would be kept, and nobody asked any more
        command = AnswerAttentionCommand(order_id=order.id, by=self.name, note="seen to")
        name = self.world.story.called(order.id)
        await self.trying(
            f"answers {name}", lambda: self.world.ask(lambda process: process.use_cases.answer_attention(command))
        )
        self.tell(f"has seen to {name}")

    async def _withdraw(self, refund: Refund) -> None:
        command = WithdrawRefundCommand(order_id=refund.order_id, refund_id=refund.id, by=self.name)
        await self.trying(
            f"withdraws a refund of {self.world.story.called(refund.order_id)}",
            lambda: self.world.ask(lambda process: process.use_cases.withdraw_refund(command)),
        )
