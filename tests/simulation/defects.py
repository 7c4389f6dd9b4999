"""Defects that a payment back end can have, each a small edit of our own source, to see that the judge notices.

``python -m simulation.defects`` plants each in a copy of the source and plays histories until a property breaks.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"
TESTS = Path(__file__).parents[1]
HISTORIES = 2_000  # enough for any, and played only as far as it goes unnoticed


@dataclass(frozen=True, slots=True)
class Edit:
    """``old``, which stands exactly once in ``file``, becomes ``new``."""

    file: str
    old: str
    new: str

    def apply(self, source: Path) -> None:
        """Make the edit. Raises ValueError where the source has moved on and the defect must be written anew."""
        path = source / self.file
        text = path.read_text()
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} holds {text.count(self.old)} times: {self.old}")
        path.write_text(text.replace(self.old, self.new))


@dataclass(frozen=True, slots=True)
class Caught:
    """After how many histories a defect was noticed (None: never), and which property it broke."""

    after: int | None
    broken: str = ""


def import_path(*folders: Path) -> str:
    """Where modules are sought: in these folders first, then wherever we seek them ourselves."""
    return os.pathsep.join([*map(str, folders), *filter(None, [os.environ.get("PYTHONPATH")])])


class Defect:
    """One thing done wrong."""

    def __init__(self, name: str, *edits: tuple[str, str, str]) -> None:
        self.name = name
        self._edits = [Edit(file, old, new) for file, old, new in edits]

    def play(self, histories: int = HISTORIES) -> Caught:
        """Plant it in a copy of the source, and play until a property breaks."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "src"
            shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("__pycache__", "storefront", "static"))
            for edit in self._edits:
                edit.apply(source)
            asked = ["--histories", str(histories), "--store", "memory", "--jobs", "1", "--until-broken", "--json"]
            done = subprocess.run(  # noqa: S603 - our own command
                [sys.executable, "-m", "simulation", *asked],
                env=os.environ | {"PYTHONPATH": import_path(source, TESTS)},
                capture_output=True,
                text=True,
                check=False,
            )
        if not done.stdout:
            raise RuntimeError(f"{self.name}: {done.stderr}")
        told = json.loads(done.stdout)
        if not told["broken"]:
            return Caught(None)
        return Caught(sum(told["histories"].values()), told["broken"][0][2])


_DECISION = "domain/decision.py"
_ORDER = "domain/order.py"
_REVISION = "domain/revision.py"
_WEBHOOK = "application/handle_webhook_event.py"
_CHECK = "application/check_due_orders.py"
_REFUND = "application/refund_order.py"
_PLACE = "application/place_order.py"
_GATEWAY = "adapters/portone/fake_gateway.py"
_CLIENT = "adapters/portone/gateway.py"
_KNOWLEDGE = "domain/knowledge.py"
_RECONCILE = "application/reconcile_order.py"
_CARRY_OUT = "application/carry_out_refunds.py"

_ASK = "            payment = await self._gateway.get(order.payment_id)\n"

DEFECTS: Sequence[Defect] = (
    Defect(
        "the webhook's body is trusted",
        (
            _WEBHOOK,
            "payment = await self._gateway.get(order.payment_id)",
            "payment = _as_announced(order, event)",
        ),
        (
            _WEBHOOK,
            "class HandleWebhookEvent:",
            """\
def _as_announced(order, event):
    from domain.money import Money
    from domain.payment import Payment, PaymentStatus

    said = PaymentStatus.PAID if event.type == "Transaction.Paid" else PaymentStatus.READY
    return Payment(
        id=order.payment_id,
        status=said,
        said=said.value,
        total=order.price,
        cancelled=Money.zero(order.price.currency),
        store_id=event.store_id,
        channel_type="LIVE",
    )


class HandleWebhookEvent:""",
        ),
    ),
    Defect(
        "the amount is not compared",
        (_DECISION, '        "amount": (payment.total.minor, order.price.minor),\n', ""),
    ),
    Defect(
        "the currency is not compared",
        (_DECISION, '        "currency": (payment.total.currency, order.price.currency),\n', ""),
    ),
    Defect(
        "the channel is not compared",
        (_DECISION, '        "channel": (payment.channel_type, shop.channel_type),\n', ""),
    ),
    Defect(
        "a channel type that nobody knows counts as the wrong one",
        (_DECISION, 'differs == ("channel",) and payment.unknown_channel is not None', "not differs"),
    ),
    Defect(
        "the store is not compared",
        (_DECISION, '        "store": (payment.store_id, shop.store_id),\n', ""),
    ),
    Defect(
        "an older observation is applied",
        (_KNOWLEDGE, "    seen = order.observed\n    if seen is None:\n        return False\n", "    return False\n"),
    ),
    Defect(
        "late money is kept",
        (
            _DECISION,
            "return Decision(status=order.status, reason=order.reason, refund_rest=True)",
            "return _unchanged(order)",
        ),
    ),
    Defect(
        "cancellations carry no key and no expected rest",
        (_GATEWAY, "asked, cancel.key))", "asked, None))"),
        (_GATEWAY, "            expected_left=cancel.left.minor,\n", ""),
    ),
    Defect(
        "a cancellation that timed out counts as failed",
        (_CARRY_OUT, "done = await self._gateway.cancel(", "done = await self._cancelled("),
        (
            _CARRY_OUT,
            "    async def _requested(self",
            """\
    async def _cancelled(self, cancel):
        from application.errors import GatewayError
        from domain.payment import Cancellation

        try:
            return await self._gateway.cancel(cancel)
        except GatewayError:
            reason = f"[{cancel.refund_id}]"
            failed = Cancellation(id="none", status=CancellationStatus.FAILED, amount=cancel.amount, reason=reason)
            async with self._store.reading() as unit:
                order = await unit.orders.by_payment(cancel.payment_id)
            payment = await self._gateway.get(cancel.payment_id)
            await self._reconcile(order, replace(payment, cancellations=(failed,)))
            return failed

    async def _requested(self""",
        ),
    ),
    Defect(
        "a check that timed out counts as no such payment",
        (
            _CHECK,
            _ASK,
            """\
            try:
                payment = await self._gateway.get(order.payment_id)
            except GatewayError:
                payment = None
""",
        ),
    ),
    Defect(
        "a webhook is acknowledged before it is stored",
        (
            _WEBHOOK,
            "        reconciled = await self._reconcile(order, payment, event=event)\n",
            """\
        self._later = asyncio.create_task(self._reconcile(order, payment, event=event))
        return WebhookOutcome.RECONCILED
""",
        ),
    ),
    Defect(
        "a webhook is dropped while the gateway is down",
        (
            _WEBHOOK,
            "            reconciled = await self._reconcile.later(order, event=event)\n",
            "            return WebhookOutcome.STORED\n",
        ),
    ),
    Defect(
        "money is asked back before the refund is committed",
        (
            _CHECK,
            "            reconciled = await self._reconcile(order, payment, on_schedule=True)\n",
            """\
            from application.ports import CancelPayment
            from domain.money import Money

            if payment is not None and payment.captured and order.status == "CANCELLED" and payment.left:
                await self._gateway.cancel(
                    CancelPayment(
                        payment_id=order.payment_id,
                        store_id=payment.store_id,
                        refund_id=order.id,
                        key=order.id,
                        amount=payment.left,
                        tax_free=Money.zero(payment.total.currency),
                        left=payment.left,
                        reason="late",
                    )
                )
            reconciled = await self._reconcile(order, payment, on_schedule=True)
""",
        ),
    ),
    Defect(
        "nobody checks due orders",
        (_CHECK, "            if not await unit.orders.due_count(now):\n", "            if now:\n"),
    ),
    Defect(
        "an order expires without the gateway being asked",
        (
            _CHECK,
            _ASK,
            """\
            payment = None
            if order.status != "PENDING" or self._clock() < order.expires_at:
                payment = await self._gateway.get(order.payment_id)
""",
        ),
    ),
    Defect(
        "a failed attempt ends the order",
        (
            _DECISION,
            "    if now >= unpaid_until(order, payment, policy):\n        return",
            (
                "    failed = payment is not None and payment.status is PaymentStatus.FAILED\n"
                "    if failed or now >= unpaid_until(order, payment, policy):\n        return"
            ),
        ),
    ),
    Defect(
        "an order expires while its payment is being approved",
        (
            _DECISION,
            "    if now < order.expires_at + grace(order, policy):\n        return _unchanged(order)\n",
            (
                "    if now >= order.expires_at:\n"
                "        return Decision(status=OrderStatus.CANCELLED, reason=CancelReason.EXPIRED)\n"
            ),
        ),
    ),
    Defect(
        "a cancellation that is only REQUESTED counts as done",
        (
            _REVISION,
            "if cancellation is not None and cancellation.status is CancellationStatus.SUCCEEDED:",
            "if cancellation is not None and cancellation.status is not CancellationStatus.FAILED:",
        ),
    ),
    Defect(
        "whatever is not PAID is refunded, as in the article this began with",
        (
            _DECISION,
            "    if payment.is_charged_back and payment.went_back > order.refunded:\n",
            (
                "    if payment.status is PaymentStatus.PARTIAL_CANCELLED:\n"
                "        back = CancelReason.REFUNDED\n"
                "        return Decision(status=OrderStatus.CANCELLED, reason=back, refund_rest=True)\n"
                "    if payment.is_charged_back and payment.went_back > order.refunded:\n"
            ),
        ),
    ),
    Defect("a cancelled order keeps what it held", (_REVISION, "restock=self._restock,", "restock=False,")),
    Defect(
        "what is already on its way back is asked back again",
        (_ORDER, "self.captured.less(self.refunded + self.owed)", "self.captured.less(self.refunded)"),
    ),
    Defect(
        "a refund that is asked for again is another one",
        (
            _REFUND,
            "        refund_id = _refund_id(command)\n",
            "        refund_id = RefundId(hashlib.sha256(f'{command} {self._clock()}'.encode()).hexdigest()[:32])\n",
        ),
    ),
    Defect(
        "an Idempotency-Key is not found again",
        (_PLACE, "(before := await unit.placements.by_key(_hash(key))) is not None", "(before := None)"),
        (_PLACE, "                await unit.placements.add(remembered)\n", "                assert remembered\n"),
    ),
    Defect(
        "two who change one order overwrite each other",
        (
            "adapters/persistence/memory/orders.py",
            "        if before is None or before.version != order.version:\n",
            "        if before is None:\n",
        ),
    ),
    Defect(
        "a follower is told of the latest change only",
        (
            "application/follow_order.py",
            "                for entry in entries:\n",
            "                for entry in entries[-1:]:\n",
        ),
    ),
    Defect(
        "nobody sweeps",
        ("application/sweep_payments.py", "        if sweep is None:\n", "        if sweep is None or sweep:\n"),
    ),
    # --- what histories alone did not notice before (reality.md, G) ---
    Defect(
        "a partial refund cancels everything that is left",
        (_GATEWAY, "amount=cancel.amount.minor,\n            expected_left", "amount=None,\n            expected_left"),
    ),
    Defect(
        "a partial refund over HTTP cancels everything that is left",
        (_CLIENT, '            body["amount"] = cancel.amount.minor\n', '            body.pop("amount", None)\n'),
    ),
    Defect(
        "the operator's key alone names a refund",
        (_REFUND, 'f"refund {command.order_id} {command.idempotency_key}"', 'f"refund {command.idempotency_key}"'),
    ),
    Defect(
        "a webhook stored while the gateway is down makes nothing due",
        (_RECONCILE, "return Reconciliation(order=announced.check_by(now))", "return Reconciliation(order=announced)"),
    ),
    Defect(
        "a lagging record is not asked again",
        (
            _RECONCILE,
            "        if event is None or event.is_shown_by(payment):\n",
            "        if event is None or event:\n",
        ),
    ),
    Defect(
        "the audit never sees that what is left is not ours",
        ("domain/audit.py", "return None if ours == payment.left else f", "return None if ours or not ours else f"),
    ),
    Defect(
        "contradictions are ignored",
        (
            _DECISION,
            "            why = f\"completed, but the gateway says {status or 'that it knows no such payment'}\"\n",
            "            if order:\n                return _unchanged(order)\n            why = ''\n",
        ),
    ),
    Defect(
        "orphans are dropped",
        (
            "domain/sweep.py",
            "    if payment.status in _TOOK_NOTHING or",
            "    if payment.status not in _TOOK_NOTHING or",
        ),
    ),
    Defect(
        "there is no lease",
        (
            "adapters/persistence/memory/orders.py",
            "leased = [replace(order, check_at=until, version=order.version + 1) for _, order in due]",
            "leased = [replace(order, version=order.version + 1) for _, order in due]",
        ),
    ),
    # --- the gateway as it may really be ---
    Defect(
        "dates come before what was captured",
        (_KNOWLEDGE, "    if theirs > ours or theirs > _depth_seen(seen, ours):\n        return False\n", ""),
    ),
    Defect(
        "a payment under way that vanishes expires",
        (
            _DECISION,
            "    if payment is None and order.observed is not None and order.observed.is_under_way:\n        until",
            "    if payment is None and order.observed is None:\n        until",
        ),
    ),
    Defect(
        "what a webhook announced postpones nothing",
        (
            _DECISION,
            "    if order.announced_at is not None:\n        until",
            "    if order.announced_at is not None and order.captured is not None:\n        until",
        ),
    ),
    Defect(
        "whoever quotes a refund is taken for it",
        ("domain/payment.py", "if c.quotes(refund_id) and c.amount == amount)", "if c.quotes(refund_id))"),
    ),
    Defect(
        "the gateway's own name of a cancellation is not kept",
        (
            _CARRY_OUT,
            "return Reconciliation(order=order, refunds=(refund.answered(cancellation_id),))",
            "return Reconciliation(order=order)",
        ),
    ),
    Defect(
        "what was refused for good is asked for again for ever",
        (_CARRY_OUT, "        needs = _NEEDS.get(refused.kind)\n", "        needs = None\n"),
    ),
    Defect(
        "a refund that is late asks nobody",
        (
            _REVISION,
            "promised = self._now - self._policy.refund_promise",
            "promised = self._now - 1000 * self._policy.refund_promise",
        ),
    ),
    Defect(
        "what was charged back goes on sale again",
        (
            _REVISION,
            "return after.reason is CancelReason.REFUNDED and",
            "return after.reason is not CancelReason.EXPIRED and",
        ),
    ),
    Defect(
        "money that came back is not noticed",
        (
            _DECISION,
            "    if payment is not None and came_back(payment, order):\n",
            "    if payment is not None and order.seq < 0:\n",
        ),
    ),
    Defect(
        "an account waits for as long as the browser asked for",
        (
            _DECISION,
            "        return order.expires_at\n    most =",
            "        return due or order.expires_at\n    most =",
        ),
    ),
    Defect(
        "an account is not closed when its order is given up",
        (_REVISION, "close_account=self._close_account,", "close_account=False,"),
    ),
    Defect(
        "a person's refund that fails asks nobody",
        (_REVISION, "is_by_hand = self.order.by_hand and", "is_by_hand = self.order.seq < 0 and"),
    ),
    Defect(
        "a refund of a part gives all that is left back",
        (_CARRY_OUT, "        amount=sent.amount,\n", "        amount=sent.left,\n"),
    ),
    Defect(
        "a refund is asked for before it is written down what",
        (
            _CARRY_OUT,
            "            return Reconciliation(order=current, refunds=(sent,))\n",
            "            return Reconciliation(order=current)\n",
        ),
    ),
    Defect(
        "one key asks in other words",
        (
            "domain/refund.py",
            "            return replace(before, times=before.times + 1)\n",
            "            return replace(self._anew(payment, before.key, now), times=before.times + 1)\n",
        ),
    ),
    Defect(
        "there is no grace between the buyer's time and the next buyer's",
        (
            _DECISION,
            "    return min(time / 10, policy.grace_most)\n",
            "    return timedelta()\n",
        ),
    ),
    Defect(
        "money that the gateway refused to give back is asked back again without end",
        (
            _REVISION,
            "        if self.order.refundable and not self.order.by_hand:\n",
            "        if self.order.refundable:\n",
        ),
    ),
    Defect(
        "nothing, captured in another currency, cannot be kept",
        (
            "adapters/persistence/memory/orders.py",
            "    captured = Money.zero(order.price.currency) if order.captured is None else order.captured\n",
            "    captured = order.captured or Money.zero(order.price.currency)\n",
        ),
    ),
)


def main() -> int:
    """Plant each defect, or those named; 1 where one was not noticed."""
    wanted = [defect for defect in DEFECTS if not sys.argv[1:] or any(word in defect.name for word in sys.argv[1:])]
    missed = 0
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for defect, caught in zip(wanted, pool.map(Defect.play, wanted), strict=True):
            missed += caught.after is None
            found = f"after {caught.after:>5,}: {caught.broken}" if caught.after else f"NOT in {HISTORIES:,} histories"
            print(f"{defect.name:70} {found}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
