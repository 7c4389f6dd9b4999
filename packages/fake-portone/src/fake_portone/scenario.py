"""Plays a scripted story on one fake, and says whether it went as it should.

The player knows PortOne's API and the fake's ledger, and nothing of the shop but what the shop asks of PortOne and
answers to its webhooks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from fake_portone.fake import FakePortOne
from fake_portone.ledger import Balance, CancelStatus, Purchase, RefusedError
from fake_portone.opening import Opening
from fake_portone.script import (
    AwaitPayment,
    AwaitWebhook,
    CancelInConsole,
    Deposit,
    ExpectPayment,
    ExpectTotals,
    ExpectWebhooks,
    Fail,
    IssueAccount,
    OpenWindow,
    Pay,
    Pend,
    ResendWebhook,
    Scenario,
    SetClock,
    SetFaults,
    Step,
)
from fake_portone.webhooks import Attempt, Delivery, State

_PAUSE = 0.02  # seconds between two questions whether it is so
_SHOWN = 100  # characters of what the shop answered
_CHANNEL_KEY = "channel-key-of-the-story"
_ORDER_NAME = "an order of the story"

_Act = OpenWindow | Pay | Fail | Pend | IssueAccount | Deposit | CancelInConsole | ResendWebhook


class StoryFailedError(Exception):
    """A step could not be done, or what it expects is not so. The text is an account for whoever has to find out."""


@dataclass(frozen=True, slots=True)
class _Differs:
    """One thing that is not as it is wanted; ``for_good`` if time cannot mend it."""

    wanted: str
    seen: str
    for_good: bool = False


class _UnmetError(Exception):
    def __init__(self, differs: Sequence[_Differs]) -> None:
        super().__init__()
        self.differs = differs


class Player:
    """Plays ``scenario`` on ``fake``, which somebody else runs. ``tell`` hears of each step as it happens."""

    def __init__(self, fake: FakePortOne, scenario: Scenario, tell: Callable[[str], None] = lambda _: None) -> None:
        self._fake = fake
        self._scenario = scenario
        self._tell = tell
        self._ids: dict[str, str] = {}

    async def play(self) -> None:
        """Play every step in its order. Raises StoryFailedError at the first that cannot be played or does not hold."""
        steps = self._scenario.step
        self._tell(f"{self._scenario.title}: {len(steps)} steps")
        for number, step in enumerate(steps, start=1):
            named = _line(step)
            self._tell(f"[{number}/{len(steps)}] {named}" + (f"  # {step.note}" if step.note else ""))
            with self._accounting(f"step {number} of {len(steps)} failed: {named}", step):
                await self._do(step)
        self._tell("the story went as it should")

    @contextmanager
    def _accounting(self, headline: str, step: Step) -> Iterator[None]:
        try:
            yield
        except _UnmetError as unmet:
            lines = [f"wanted: {differs.wanted}; seen: {differs.seen}" for differs in unmet.differs]
        except RefusedError as refused:
            lines = [f"PortOne refused it: {refused.kind}, {refused.message}"]
        except ValueError as error:
            lines = [str(error)]
        else:
            return
        raise StoryFailedError("\n  ".join([headline, *lines, *self._circumstances(step)]))

    async def _do(self, step: Step) -> None:
        match step:
            case AwaitPayment():
                await self._until(step.timeout, lambda: self._unheard_of(step))
                self._tell(f"      {step.payment} is {self._ids[step.payment]}")
            case SetFaults():
                self._fake.faults.put(
                    [fault.of(self._ids[fault.payment] if fault.payment else None) for fault in step.on]
                )
            case SetClock():
                self._fake.clock.set(speed=step.speed, advance=step.advance)
                self._fake.live.tell()
            case AwaitWebhook():
                await self._until(step.timeout, lambda: self._unanswered(step))
            case ExpectPayment():
                await self._holds(step.timeout, step.hold, lambda: self._payment_differs(step))
            case ExpectWebhooks():
                await self._holds(step.timeout, step.hold, lambda: self._webhooks_differ(step))
            case ExpectTotals():
                totals = self._fake.ledger.totals
                await self._holds(
                    step.timeout, step.hold, lambda: _money_differs(step, totals().get(step.currency, Balance()))
                )
            case _:
                await self._act(step)

    # --- people ---

    async def _act(self, step: _Act) -> None:
        payment_id = self._ids[step.payment]
        try:
            self._act_on(payment_id, step)
        except RefusedError as refused:
            if step.refused != refused.kind:
                raise
            return
        if step.refused is not None:
            raise _UnmetError([_Differs(f"a refusal, {step.refused}", "it was done")])
        await self._fake.api.tell_first(payment_id)

    def _act_on(self, payment_id: str, step: _Act) -> None:
        buyer = self._fake.buyer
        match step:
            case OpenWindow():
                buyer.open(payment_id, self._purchase(payment_id, step) or self._asked_again(payment_id))
            case Pay():
                buyer.pay(payment_id, self._purchase(payment_id, step))
            case Fail():
                buyer.fail(payment_id, self._purchase(payment_id, step))
            case Pend():
                buyer.pend(payment_id, self._purchase(payment_id, step))
            case IssueAccount():
                buyer.issue_account(payment_id, self._purchase(payment_id, step))
            case Deposit():
                buyer.deposit(payment_id)
            case CancelInConsole():
                buyer.cancel_in_console(payment_id, step.amount, step.reason)
            case ResendWebhook():
                latest = [d for d in self._fake.webhooks.deliveries if _is_about(d, payment_id, step.type)]
                self._fake.webhooks.resend(payment_id, latest[-1].id if latest else step.type)

    def _purchase(self, payment_id: str, step: Opening) -> Purchase | None:
        """What the browser asks the window for: None is what it asked for before."""
        said = _opening(step)
        asked = self._fake.buyer.asked(payment_id)
        return said.purchase(asked) if asked is not None else self._expected(payment_id, said).purchase(None)

    def _asked_again(self, payment_id: str) -> Purchase:
        asked = self._fake.buyer.asked(payment_id)
        assert asked is not None  # noqa: S101 - narrowing: nothing new was said, so it is what was asked before
        return asked

    def _expected(self, payment_id: str, said: Opening) -> Opening:
        """What an honest page would ask for, with ``said`` in place of it."""
        total, currency = self._fake.ledger.registered(payment_id) or (None, None)
        usual = Opening(
            store_id=self._fake.store_id,
            channel_key=_CHANNEL_KEY,
            order_name=_ORDER_NAME,
            total_amount=total,
            currency=currency,
            tax_free_amount=self._fake.ledger.registered_tax_free(payment_id) or None,
        )
        return _over(_over(usual, self._scenario.window), said)

    # --- what is waited for ---

    def _unheard_of(self, step: AwaitPayment) -> list[_Differs]:
        taken = set(self._ids.values())
        new = [known for known in self._fake.ledger.heard_of() if known not in taken and step.id in (None, known)]
        if not new:
            what = "a payment the shop pre-registers or a window is opened for" if step.id is None else step.id
            return [_Differs(what, "none")]
        self._ids[step.payment] = new[0]
        return []

    def _unanswered(self, step: AwaitWebhook) -> list[_Differs]:
        attempts = [a for d in self._about(step.payment, step.type) for a in d.attempts if a.status is not None]
        fitting = [attempt for attempt in attempts if step.answered in (None, attempt.status)]
        if len(fitting) >= step.times:
            return []
        wanted = f"{step.times} × {step.type or 'a webhook'} answered" + (f" {step.answered}" if step.answered else "")
        return [_Differs(wanted, ", ".join(map(_answer, attempts)) or "none")]

    def _payment_differs(self, step: ExpectPayment) -> list[_Differs]:
        payment_id = self._ids[step.payment]
        differs = _money_differs(step, self._fake.ledger.balance(payment_id))
        payment = next((p for p in self._fake.ledger.payments() if p.id == payment_id), None)
        status = payment.status if payment else None
        if step.status not in (None, status):
            differs.append(_Differs(f"status {step.status}", status or "no window was opened for it"))
        cancellations = payment.cancellations if payment else ()
        done = sum(cancellation.status is not CancelStatus.FAILED for cancellation in cancellations)
        if step.cancellations_at_most is not None and done > step.cancellations_at_most:
            differs.append(_Differs(f"at most {step.cancellations_at_most} cancellations", str(done), for_good=True))
        asked = self._fake.api.requests("cancel", payment_id)
        if step.cancel_requests_at_most is not None and asked > step.cancel_requests_at_most:
            wanted = f"at most {step.cancel_requests_at_most} requests to cancel"
            differs.append(_Differs(wanted, str(asked), for_good=True))
        read = self._fake.api.requests("get", payment_id)
        if step.reads_at_least is not None and read < step.reads_at_least:
            differs.append(_Differs(f"the shop asks for the payment {step.reads_at_least} times", str(read)))
        return differs

    def _webhooks_differ(self, step: ExpectWebhooks) -> list[_Differs]:
        allowed = (step.answered,) if isinstance(step.answered, int) else step.answered
        said = " or ".join(map(str, allowed))
        sent = [d for d in self._about(step.payment, step.type, forged=step.forged) if d.state is not State.DROPPED]
        differs = []
        for delivery in sent:
            wrong = [attempt for attempt in delivery.attempts if attempt.status not in allowed]
            if wrong:
                wanted = f"{delivery.type} answered {said}"
                differs.append(_Differs(wanted, ", ".join(map(_answer, wrong)), for_good=True))
            elif delivery.state is State.WAITING:
                differs.append(_Differs(f"{delivery.type} answered {said}", "it is still under way"))
        if len(sent) < step.at_least:
            differs.append(_Differs(f"at least {step.at_least} × {step.type or 'a webhook'}", str(len(sent))))
        return differs

    def _about(self, payment: str | None, kind: str | None, *, forged: bool = False) -> list[Delivery]:
        payment_id = self._ids[payment] if payment is not None else None
        return [d for d in self._fake.webhooks.deliveries if _is_about(d, payment_id, kind, forged=forged)]

    async def _until(self, seconds: float | None, differ: Callable[[], list[_Differs]]) -> None:
        """Wait until nothing differs; raise _UnmetError once that cannot be, or took too long."""
        loop = asyncio.get_running_loop()
        until = loop.time() + (seconds or self._scenario.timeout)
        while differs := differ():
            if loop.time() >= until or any(one.for_good for one in differs):
                raise _UnmetError(differs)
            await asyncio.sleep(_PAUSE)

    async def _holds(self, seconds: float | None, hold: float | None, differ: Callable[[], list[_Differs]]) -> None:
        await self._until(seconds, differ)
        loop = asyncio.get_running_loop()
        until = loop.time() + (hold or 0.0)
        while loop.time() < until:
            await asyncio.sleep(_PAUSE)
            if differs := differ():
                raise _UnmetError(differs)

    # --- what to say when it went wrong ---

    def _circumstances(self, step: Step) -> Iterator[str]:
        """All that was seen of the payment the step is about, or of every named one."""
        name = getattr(step, "payment", None)
        for known, payment_id in self._ids.items():
            if name in (None, known):
                yield from self._told_of(known, payment_id)

    def _told_of(self, name: str, payment_id: str) -> Iterator[str]:
        trail = " → ".join(step["status"] for step in self._fake.live.trail(payment_id)) or "no window was opened"
        balance = self._fake.ledger.balance(payment_id)
        read, cancel = (self._fake.api.requests(operation, payment_id) for operation in ("get", "cancel"))
        yield f"{name} ({payment_id}): {trail}; {balance.captured} taken, {balance.cancelled} went back"
        yield f"  the shop asked for it {read}×, and to cancel it {cancel}×"
        for delivery in self._fake.webhooks.deliveries:
            if delivery.payment_id == payment_id:
                kind = f"{delivery.type}, forged" if delivery.forged else delivery.type
                answers = ", ".join(map(_answer, delivery.attempts)) or "not tried yet"
                yield f"  {kind} ({delivery.state}): {answers}"


def _is_about(delivery: Delivery, payment_id: str | None, kind: str | None, *, forged: bool = False) -> bool:
    return payment_id in (None, delivery.payment_id) and kind in (None, delivery.type) and delivery.forged is forged


def _money_differs(step: ExpectPayment | ExpectTotals, balance: Balance) -> list[_Differs]:
    wanted = {"captured": step.captured, "cancelled": step.cancelled, "net": step.net}
    seen = {"captured": balance.captured, "cancelled": balance.cancelled, "net": balance.net}
    return [
        _Differs(f"{name} {sum_}", f"{seen[name]}") for name, sum_ in wanted.items() if sum_ not in (None, seen[name])
    ]


def _answer(attempt: Attempt) -> str:
    said = " ".join(attempt.answer.split())[:_SHOWN]
    return f"{attempt.status or attempt.error}{f' {said}' if said else ''}"


def _opening(step: Opening) -> Opening:
    return Opening(**{name: getattr(step, name) for name in Opening.__struct_fields__})


def _over(usual: Opening, said: Opening) -> Opening:
    """``usual`` with everything in its place that was said."""
    fields = Opening.__struct_fields__
    return msgspec.structs.replace(usual, **{n: v for n in fields if (v := getattr(said, n)) is not None})


def _line(step: Step) -> str:
    """The step as it stands in the file, on one line."""
    said = msgspec.to_builtins(step)
    words = [said.pop("do")]
    said.pop("note", None)
    if isinstance(payment := said.pop("payment", None), str):
        words.append(payment)
    return " ".join([*words, *(f"{name}={msgspec.json.encode(value).decode()}" for name, value in said.items())])
