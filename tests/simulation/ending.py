"""How a history ends: calm, rest, every question answered, everything judged; then mischief that must not go unnoticed.

Two of what only time or a person ends are left for a while, so that somebody must be asked about them first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from bootstrap.settings import FAKE_CHANNEL_KEY, FAKE_STORE_ID
from fake_portone.ledger import CAPTURED, Cancel, Purchase, Status
from fake_portone.webhooks import State
from simulation.process import Trouble
from simulation.properties import Property
from simulation.staff import Operator

if TYPE_CHECKING:
    from application.audit_payments import Audit
    from simulation.people import Buyer
    from simulation.world import World

_RESTING = 4 * 86_400.0  # seconds in which everything must have come to rest: late checks go on for a day and a half
_STUCK = 27 * 3600.0  # seconds after which whatever asks for a person is left to that person
_SWEEP_EVERY = 2 * 3600.0
_AGAIN = 7 * 3600.0  # seconds after which the sweep goes over the last days again
_ROUNDS = 4  # of answers, until no order may ask anything any more
_STRANGER = "nobodysorder"


async def end(world: World, buyers: Sequence[Buyer]) -> None:
    """Bring a history to its end, and judge it."""
    await _calm(world)
    await _rest(world)
    await _answered(world)
    await world.judge.rest()
    for buyer in buyers:
        buyer.check_followers()
    world.judge.audited(await _audit(world), wrong=False)
    await _mischief(world)
    await _again(world)


async def _calm(world: World) -> None:
    """From now on nothing goes wrong, nobody dies, and most open payments are decided."""
    world.is_calm = True
    world.trouble = Trouble()
    world.fake.faults.put([])
    for process in world.alive():
        process.skew, process.paused_until = timedelta(), 0.0
    if not world.alive():
        world.start()
    world.calm()
    for payment in world.fake.ledger.payments():
        if payment.status is Status.PAY_PENDING and world.wide.random() < 0.8:
            _decide(world, payment.id)
    world.story.tell("seed", "calm from now on")


def _decide(world: World, payment_id: str) -> None:
    if world.lot.random() < 0.5:
        world.fake.ledger.pay(payment_id)
    else:
        world.fake.ledger.fail(payment_id, "declined in the end")


async def _rest(world: World) -> None:
    """Let time pass until nothing is left to do, but for people: no order to check, no webhook to deliver."""
    began = world.seconds()
    swept = began
    while world.seconds() < began + _RESTING:
        await asyncio.sleep(600.0)
        if world.seconds() - swept > _SWEEP_EVERY:
            swept = world.seconds()
            await _sweep(world)
        world.watch.go_round()
        if _is_quiet(world, began):
            await _sweep(world)
            await asyncio.sleep(_AGAIN)
            await _sweep(world)
            world.watch.go_round()
            if _is_quiet(world, began):
                await world.judge.read_all()
                return
    restless = [k.order for k in world.judge.known.values() if k.order.check_at is not None]
    names = ", ".join(world.story.called(order.id) for order in restless)
    world.judge.broken(Property.REST, f"{names or 'webhooks'}: still at it after {_RESTING / 86_400:.0f} days of calm")


def _is_quiet(world: World, began: float) -> bool:
    if any(delivery.state is State.WAITING for delivery in world.fake.webhooks.deliveries):
        return False
    if world.fake.ledger.next_due() is not None:
        return False
    waited = world.seconds() - began
    for kept in world.judge.known.values():
        asks = kept.order.attention
        is_left = asks is not None and (asks.stays or waited > _STUCK)
        if kept.order.check_at is not None and not is_left:
            return False
    return True


async def _answered(world: World) -> None:
    """Whatever is not as it should be asks a person; the audit says so; a person answers, until nobody asks."""
    operator = Operator(world, "operator")
    for _ in range(_ROUNDS):
        wrong = world.judge.asked()
        if wrong:
            world.judge.audited(await _audit(world), wrong=True)
        if not await operator.see_to_all():
            return
        await _rest(world)


async def _audit(world: World) -> Audit:
    return await world.ask(lambda process: process.use_cases.audit_payments())


async def _sweep(world: World) -> None:
    """Find what nobody was told of."""
    for _ in range(5):
        if await world.ask(lambda process: process.use_cases.sweep_payments()) is not None:
            return
        await asyncio.sleep(60.0)  # whoever swept last may have died of it, and holds its turn for a while


async def _mischief(world: World) -> None:
    """Somebody gives money back and tells nobody, and a stranger pays us: the audit names both, the sweep mends one."""
    cancelled = _cancel_in_silence(world)
    stranger = Purchase(
        store_id=FAKE_STORE_ID, channel_key=FAKE_CHANNEL_KEY, order_name="?", total=71_000, currency="KRW"
    )
    world.fake.buyer.pay(_STRANGER, stranger)
    audit = await _audit(world)
    if cancelled:
        world.judge.audited(audit, wrong=True)
    await _rest(world)
    orphans = await world.ask(lambda process: process.use_cases.list_orphans())
    world.judge.found([orphan.payment_id for orphan in orphans], audit, _STRANGER)
    await world.judge.rest()
    world.judge.audited(await _audit(world), wrong=False)


def _cancel_in_silence(world: World) -> bool:
    paid = [p for p in world.fake.ledger.payments() if p.status in CAPTURED and p.cancellable]
    if not paid:
        return False
    payment = world.wide.choice(paid)
    some = Cancel(
        reason="console", amount=(payment.cancellable + 1) // 2, tax_free=None, trigger="CONSOLE", skip_webhook=True
    )
    world.fake.ledger.cancel(payment.id, some)
    world.story.tell("console", f"gives back {some.amount} of {world.story.called(payment.id)}, and tells nobody")
    return True


async def _again(world: World) -> None:
    """Deliver every webhook again, in another order: nothing changes."""
    before = world.judge.standing()
    money = {payment.id: world.fake.ledger.balance(payment.id) for payment in world.fake.ledger.payments()}
    deliveries = world.fake.webhooks.deliveries
    world.lot.shuffle(deliveries)
    for delivery in deliveries:
        await world.deliver(delivery.url, world.fake.webhooks.headers_now(delivery), delivery.body)
    await _rest(world)
    await world.judge.rest()
    after = world.judge.standing()
    for order_id, stood in before.items():
        if after[order_id] != stood:
            world.judge.broken(Property.AGAIN, f"{world.story.called(order_id)}: {stood} became {after[order_id]}")
    if money != {payment.id: world.fake.ledger.balance(payment.id) for payment in world.fake.ledger.payments()}:
        world.judge.broken(Property.AGAIN, "money moved")
