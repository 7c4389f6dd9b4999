"""The judge of every test in which something fails: our orders, held against the fake's ledger, never against us.

``Evidence`` is what there is to see once everything has come to rest. ``violations`` says which of the invariants in
design.md, section 11, it contradicts, one sentence each; it is a pure function, so that it can be tested by itself.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from sqlalchemy import bindparam, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from adapters.cli.orders import record_json
from adapters.persistence.engine import READS, create_engine
from adapters.persistence.sql import SqlStore
from application.read_order import OrderRecord, ShowOrder
from bootstrap.container import Container
from bootstrap.settings import FAKE_API_SECRET, read_settings
from domain.ids import OrderId

_CAPTURED = frozenset({"PAID", "PARTIAL_CANCELLED", "CANCELLED"})
_STILL_PAID = frozenset({"PAID", "PARTIAL_CANCELLED"})
_MOVES = frozenset({("PENDING", "COMPLETED"), ("PENDING", "CANCELLED"), ("COMPLETED", "CANCELLED")})


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderEvidence:
    """One order: ``record`` is what ``orders show --json`` prints, ``states`` the status after each history entry.

    ``payment`` is PortOne's record of its payment and ``balance`` the ledger's line for it, None where there is none.
    ``acknowledged`` are the webhooks of its payment that were answered with a 2xx, ``kept`` those in our inbox.
    ``followed`` is what each follower saw, entry numbers and kinds.
    """

    record: Mapping[str, Any]
    states: Sequence[str]
    payment: Mapping[str, Any] | None
    balance: Mapping[str, Any] | None
    acknowledged: Collection[str] = ()
    kept: Collection[str] = ()
    followed: Sequence[Sequence[tuple[int, str]]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All of it. ``intended`` is how many orders buyers meant to place, ``stock`` what each product began with.

    ``available`` is what is left of it, ``held`` how much of each product live orders in the database hold.
    """

    orders: Sequence[OrderEvidence]
    intended: int
    stock: Mapping[str, int] = field(default_factory=dict)
    available: Mapping[str, int] = field(default_factory=dict)
    held: Mapping[str, int] = field(default_factory=dict)


def violations(evidence: Evidence) -> list[str]:
    """Every invariant that ``evidence`` contradicts; none if all is well."""
    found = [f"{order.record['order']['id']}: {what}" for order in evidence.orders for what in _of_order(order)]
    if len(evidence.orders) != evidence.intended:
        found.append(f"{evidence.intended} orders were meant and {len(evidence.orders)} were placed")
    for product, stock in evidence.stock.items():
        left, held = evidence.available[product], evidence.held.get(product, 0)
        if left + held != stock:
            found.append(f"of {stock} {product}, {left} are available and {held} are held")
    return found


def _of_order(order: OrderEvidence) -> list[str]:
    return [
        *_completed_only_if_paid(order),
        *_every_won_is_somewhere(order),
        *_each_refund_once(order),
        *_acknowledged_is_kept(order),
        *_never_backwards(order),
        *_at_rest(order),
        *_followers_see_it_all(order),
    ]


def _completed_only_if_paid(order: OrderEvidence) -> list[str]:
    """Invariant 1. The gateway's record must have been a matching PAID, whatever became of it since."""
    if "COMPLETED" not in order.states:
        return []
    ours, theirs = order.record["order"], order.payment
    if theirs is None or theirs["status"] not in _CAPTURED:
        return [f"it was COMPLETED, and the gateway says {theirs and theirs['status']}"]
    sums = theirs["amount"]["total"], theirs["currency"]
    if sums != (ours["price"]["amount"], ours["price"]["currency"]) or theirs["channel"]["type"] != "LIVE":
        return [f"it was COMPLETED for {ours['price']}, and {sums} was paid over {theirs['channel']['type']}"]
    return []


def _every_won_is_somewhere(order: OrderEvidence) -> list[str]:
    """Invariant 2."""
    ours, balance = order.record["order"], order.balance
    captured, net = (balance["captured"], balance["net"]) if balance else (0, 0)
    refunded = ours["refunded"]["amount"]
    said = ours["captured"]["amount"] if ours["captured"] else 0
    found = []
    if captured != said:
        found.append(f"{captured} was captured, and the order says {said}")
    if captured - net != refunded:
        found.append(f"{captured - net} went back, and the order says {refunded}")
    if ours["status"] != "COMPLETED" and net:
        found.append(f"{net} is kept for an order that is {ours['status']}")
    if ours["status"] == "COMPLETED" and not net:
        found.append("it is COMPLETED, and all of its money went back")
    return found


def _each_refund_once(order: OrderEvidence) -> list[str]:
    """Invariant 3."""
    done = [c for c in (order.payment or {}).get("cancellations", ()) if c["status"] == "SUCCEEDED"]
    found = []
    for refund in order.record["refunds"]:
        its = [c["totalAmount"] for c in done if f"[{refund['id']}]" in c["reason"]]
        expected = [refund["amount"]["amount"]] if refund["status"] == "SUCCEEDED" else []
        if its != expected:
            found.append(f"a refund of {refund['amount']['amount']} is {refund['status']}, and {its} went back for it")
    known = tuple(f"[{refund['id']}]" for refund in order.record["refunds"])
    strangers = [c for c in done if c["trigger"] == "API" and not any(name in c["reason"] for name in known)]
    if strangers:
        found.append(f"we gave {[c['totalAmount'] for c in strangers]} back without a refund that says so")
    balance = order.balance
    if balance is not None and not 0 <= balance["cancelled"] <= balance["captured"]:
        found.append(f"{balance['cancelled']} went back of {balance['captured']}")
    return found


def _acknowledged_is_kept(order: OrderEvidence) -> list[str]:
    """Invariant 4."""
    lost = set(order.acknowledged) - set(order.kept)
    return [f"{len(lost)} webhooks were answered with 200, and are not kept"] if lost else []


def _never_backwards(order: OrderEvidence) -> list[str]:
    """Invariant 5."""
    numbers = [entry["seq"] for entry in order.record["history"]]
    found = []
    if numbers != list(range(1, len(numbers) + 1)) or not numbers:
        found.append(f"its history is numbered {numbers}")
    moves = [(old, new) for old, new in zip(order.states, order.states[1:], strict=False) if old != new]
    if [*order.states[:1]] != ["PENDING"] or not _MOVES.issuperset(moves):
        found.append(f"it went {' → '.join(order.states)}")
    if list(order.states[-1:]) != [order.record["order"]["status"]]:
        found.append(f"it is {order.record['order']['status']}, and its history ends {order.states[-1:]}")
    kinds = Counter(entry["kind"] for entry in order.record["history"])
    twice = [kind for kind in ("placed", "completed", "cancelled") if kinds[kind] > 1]
    if twice:
        found.append(f"{twice} stand more than once in its history")
    asked = len(order.record["refunds"])
    if kinds["refund_requested"] != asked or kinds["refund_succeeded"] + kinds["refund_failed"] != asked:
        found.append(f"{asked} refunds, and its history tells of {dict(kinds)}")
    return found


def _at_rest(order: OrderEvidence) -> list[str]:
    """Invariant 6."""
    ours = order.record["order"]
    found = []
    if ours["checkAt"] is not None:
        found.append(f"it is to be checked again at {ours['checkAt']}")
    if ours["owed"]["amount"]:
        found.append(f"{ours['owed']['amount']} is still owed")
    if ours["status"] == "PENDING":
        found.append("it is still PENDING")
    return found


def _followers_see_it_all(order: OrderEvidence) -> list[str]:
    """Invariant 7. What a follower sees first is a snapshot, of whatever moment it came at."""
    history = [(entry["seq"], entry["kind"]) for entry in order.record["history"]]
    wrong = [seen for seen in order.followed if not seen or seen != history[-len(seen) :]]
    return [f"a follower saw {seen}, and the history is {history}" for seen in wrong]


# --- how the evidence is gathered ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bench:
    """Where the judge checks: the fake's addresses, and one database."""

    http: httpx.AsyncClient
    fake_url: str
    database_url: str

    async def evidence(
        self,
        order_ids: Sequence[str] | None = None,
        *,
        intended: int,
        stock: Mapping[str, int] | None = None,
        followed: Mapping[str, Sequence[Sequence[tuple[int, str]]]] | None = None,
    ) -> Evidence:
        """What there is to see of these orders, or of all in the database."""
        ledger = await self._json("/_fake/ledger")
        balances = {payment["id"]: payment for payment in ledger["payments"]}
        acknowledged: dict[str, set[str]] = {}
        for delivery in (await self._json("/_fake/deliveries"))["deliveries"]:
            if any(attempt["status"] is not None and attempt["status"] // 100 == 2 for attempt in delivery["attempts"]):
                acknowledged.setdefault(delivery["payment"], set()).add(delivery["id"])
        async with self._connected() as connection:
            rows = (await connection.execute(text("SELECT id, payment_id FROM webhooks"))).all()
            ids = [row.id for row in (await connection.execute(text("SELECT id FROM orders"))).all()]
            left = (await connection.execute(text("SELECT id, capacity, held FROM products"))).all()
        kept: dict[str, set[str]] = {}
        for row in rows:
            kept.setdefault(row.payment_id, set()).add(row.id)
        records = await self._records(ids if order_ids is None else order_ids)
        limit = asyncio.Semaphore(8)

        async def one(record: OrderRecord) -> OrderEvidence:
            payment_id = record.order.payment_id
            async with limit:
                payment = await self._payment(payment_id)
            return OrderEvidence(
                record=record_json(record),
                states=[entry.status.value for entry in record.history],
                payment=payment,
                balance=balances.get(payment_id),
                acknowledged=acknowledged.get(payment_id, set()),
                kept=kept.get(payment_id, set()),
                followed=(followed or {}).get(record.order.id, ()),
            )

        everybody = records if order_ids is None else await self._records(ids)
        held: Counter[str] = Counter()
        for record in everybody:
            if record.order.status.value != "CANCELLED":
                held.update({line.product_id: line.quantity for line in record.order.lines})
        return Evidence(
            orders=await asyncio.gather(*map(one, records)),
            intended=intended,
            stock=stock or {},
            available={row.id: row.capacity - row.held for row in left if row.capacity is not None},
            held=held,
        )

    async def make_due(self, order_ids: Sequence[str] | None = None) -> int:
        """Let time pass until every order that is not at rest is due, leased or not; how many there are."""
        its = "" if order_ids is None else " AND id IN :ids"
        statement = text(f"UPDATE orders SET check_at = 0 WHERE check_at IS NOT NULL{its}")  # noqa: S608 - ours
        try:
            async with self._connected(writes=True) as connection:
                if order_ids is not None:
                    statement = statement.bindparams(bindparam("ids", expanding=True))
                done = await connection.execute(statement, {} if order_ids is None else {"ids": list(order_ids)})
                await connection.commit()
        except DBAPIError:  # somebody sleeps with a lock on one of them
            return 1
        return int(done.rowcount)

    async def rest(self, order_ids: Sequence[str] | None = None, *, patience: float = 60.0) -> None:
        """Let time pass until these orders, or all, are at rest."""
        async with asyncio.timeout(patience):
            while await self.make_due(order_ids):  # noqa: ASYNC110 - another process's rows
                await asyncio.sleep(0.15)

    async def calm(self, order_ids: Sequence[str], payment_ids: Collection[str], *, patience: float = 60.0) -> None:
        """The same, once none of their webhooks is still to come: one that comes late may make its order due again."""
        async with asyncio.timeout(patience):
            while any(  # noqa: ASYNC110 - another process's webhooks
                delivery["state"] == "waiting" and delivery["payment"] in payment_ids
                for delivery in (await self._json("/_fake/deliveries"))["deliveries"]
            ):
                await asyncio.sleep(0.1)
        await self.rest(order_ids, patience=patience)

    async def order_ids(self) -> set[str]:
        """Every order there is."""
        async with self._connected() as connection:
            return {row.id for row in (await connection.execute(text("SELECT id FROM orders"))).all()}

    async def everything(self, order_ids: Collection[str]) -> list[Any]:
        """Each row about these orders, webhooks apart: what delivering anything twice must not change."""
        names = "status, reason, captured_minor, refunded_minor, owed_minor, seq, attention, check_at"
        shown = [
            f"SELECT id, {names} FROM orders WHERE id IN :ids ORDER BY id",  # noqa: S608 - ours
            "SELECT order_id, seq, kind, at, status, data FROM history WHERE order_id IN :ids ORDER BY order_id, seq",
            "SELECT id, order_id, minor, status, ended_at FROM refunds WHERE order_id IN :ids ORDER BY id",
        ]
        async with self._connected() as connection:
            result = []
            for statement in shown:
                bound = text(statement).bindparams(bindparam("ids", expanding=True))
                result.append([tuple(row) for row in await connection.execute(bound, {"ids": sorted(order_ids)})])
            return result

    async def deliver_again(self, payment_ids: Collection[str], *, patience: float = 30.0) -> list[str]:
        """Send every webhook of these payments once more, the latest first; what is wrong with the answers."""
        all_of_them = (await self._json("/_fake/deliveries"))["deliveries"]
        its = {d["id"]: len(d["attempts"]) for d in all_of_them if d["payment"] in payment_ids}
        for delivery_id in reversed(its):
            answer = await self.http.post(f"{self.fake_url}/_fake/deliveries/{delivery_id}/resend")
            assert answer.is_success, answer.text
        wrong: list[str] = []
        async with asyncio.timeout(patience):
            for delivery_id, tried in its.items():
                found: Any = {"attempts": []}
                while len(found["attempts"]) <= tried:
                    found = await self._json(f"/_fake/deliveries/{delivery_id}")
                    await asyncio.sleep(0.02)
                if (last := found["attempts"][-1])["status"] != 200:
                    wrong.append(f"{found['type']} delivered again was answered {last['status']} {last['error']}")
        return wrong

    async def audit(self) -> list[str]:
        """What our own audit cannot explain: the judge does not need it, but it must not be behind the judge."""
        variables = {
            "GYEOLJE_GATEWAY": "fake",
            "GYEOLJE_DATABASE_URL": self.database_url,
            "PORTONE_API_URL": self.fake_url,
        }
        container = Container(settings=read_settings(variables))
        try:
            audit = await container.use_cases().audit_payments()
        finally:
            await container.gateway_client().aclose()
            await container.engine().dispose()
        if audit.is_clean and audit.payments:
            return []
        return [f"the audit of {audit.payments} payments says {[*map(repr, audit.findings)]}"]

    async def _records(self, order_ids: Sequence[str]) -> list[OrderRecord]:
        engine = create_engine(self.database_url)
        try:
            show = ShowOrder(SqlStore(engine))
            return [await show(OrderId(order_id)) for order_id in order_ids]
        finally:
            await engine.dispose()

    async def _payment(self, payment_id: str) -> Any:
        headers = {"Authorization": f"PortOne {FAKE_API_SECRET}"}
        answer = await self.http.get(f"{self.fake_url}/payments/{payment_id}", headers=headers)
        return answer.json() if answer.status_code != 404 else None

    async def _json(self, path: str) -> Any:
        answer = await self.http.get(f"{self.fake_url}{path}")
        assert answer.is_success, answer.text
        return answer.json()

    @asynccontextmanager
    async def _connected(self, *, writes: bool = False) -> AsyncIterator[AsyncConnection]:
        engine = create_engine(self.database_url)
        try:
            async with engine.execution_options(**{READS: not writes}).connect() as connection:
                yield connection
        finally:
            await engine.dispose()


async def followed(http: httpx.AsyncClient, url: str, order_id: str, token: str) -> list[tuple[int, str]]:
    """What a follower who comes now, and saw the first entry before, sees until the stream ends."""
    headers = {"Authorization": f"Bearer {token}", "Last-Event-ID": "1"}
    seen: list[tuple[int, str]] = []
    number = 0
    async with http.stream("GET", f"{url}/api/v1/orders/{order_id}/events", headers=headers) as stream:
        assert stream.status_code == 200, stream.status_code
        async for line in stream.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                number = int(value)
            elif name == "event":
                seen.append((number, "placed" if value == "snapshot" and number == 1 else value))
    return seen
