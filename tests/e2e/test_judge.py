"""The judge finds nothing wrong where nothing is, and says so of each thing that may be."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from e2e.judge import Evidence, OrderEvidence, violations

REFUND = "r" * 32


def money(amount: int) -> dict[str, Any]:
    return {"amount": amount, "currency": "KRW"}


def good() -> dict[str, Any]:
    """A COMPLETED order of which a part went back, as everybody sees it."""
    kinds = ("placed", "payment_observed", "completed", "refund_requested", "payment_observed", "refund_succeeded")
    order = {"id": "o", "status": "COMPLETED", "reason": None, "price": money(1000), "refunded": money(300)}
    order |= {"captured": money(1000), "owed": money(0), "checkAt": None}
    cancellation = {"status": "SUCCEEDED", "totalAmount": 300, "reason": f"[{REFUND}] asked", "trigger": "API"}
    return {
        "record": {
            "order": order,
            "history": [{"seq": n, "kind": kind} for n, kind in enumerate(kinds, start=1)],
            "refunds": [{"id": REFUND, "status": "SUCCEEDED", "amount": money(300)}],
        },
        "states": ["PENDING", "PENDING", *["COMPLETED"] * 4],
        "payment": {
            "status": "PARTIAL_CANCELLED",
            "amount": {"total": 1000},
            "currency": "KRW",
            "channel": {"type": "LIVE"},
            "cancellations": [cancellation],
        },
        "balance": {"captured": 1000, "cancelled": 300, "net": 700},
        "acknowledged": {"w1"},
        "kept": {"w1", "w2"},
        "followed": [list(enumerate(kinds, start=1)), [(5, "payment_observed"), (6, "refund_succeeded")]],
    }


def judged(world: dict[str, Any], **more: Any) -> list[str]:
    evidence = Evidence(orders=[OrderEvidence(**world)], intended=1, stock={"a": 5}, available={"a": 4}, held={"a": 1})
    return violations(replace(evidence, **more))


def test_nothing_is_wrong_where_nothing_is() -> None:
    assert judged(good()) == []


WRONGS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "the gateway says READY": lambda w: w["payment"].update(status="READY"),
    "was paid": lambda w: w["payment"]["amount"].update(total=500),
    "over TEST": lambda w: w["payment"]["channel"].update(type="TEST"),
    "was captured, and the order says": lambda w: w["balance"].update(captured=900),
    "went back, and the order says": lambda w: w["record"]["order"]["refunded"].update(amount=200),
    "is kept for an order that is CANCELLED": lambda w: w["record"]["order"].update(status="CANCELLED"),
    "all of its money went back": lambda w: w["balance"].update(net=0, cancelled=1000),
    "[300, 300] went back for it": lambda w: w["payment"]["cancellations"].append(w["payment"]["cancellations"][0]),
    "[] went back for it": lambda w: w["payment"]["cancellations"].clear(),
    "without a refund that says so": lambda w: w["payment"]["cancellations"][0].update(reason="[x]"),
    "went back of": lambda w: w["balance"].update(cancelled=1001, net=-1),
    "are not kept": lambda w: w["kept"].remove("w1"),
    "its history is numbered": lambda w: w["record"]["history"].pop(1),
    "it went": lambda w: w["states"].insert(3, "PENDING"),
    "its history ends": lambda w: w["states"].append("CANCELLED"),
    "more than once in its history": lambda w: w["record"]["history"][4].update(kind="completed"),
    "refunds, and its history tells": lambda w: w["record"]["history"][3].update(kind="attention"),
    "is to be checked again": lambda w: w["record"]["order"].update(checkAt="2026"),
    "is still owed": lambda w: w["record"]["order"]["owed"].update(amount=1),
    "it is still PENDING": lambda w: w["record"]["order"].update(status="PENDING"),
    "a follower saw": lambda w: w["followed"][0].pop(2),
}


@pytest.mark.parametrize("sentence", [*WRONGS])
def test_it_says_what_is_wrong(sentence: str) -> None:
    world = copy.deepcopy(good())
    WRONGS[sentence](world)
    assert any(sentence in said for said in judged(world)), judged(world)


def test_it_counts_orders_and_stock() -> None:
    assert judged(good(), intended=2) == ["2 orders were meant and 1 were placed"]
    assert judged(good(), available={"a": 5}) == ["of 5 a, 5 are available and 1 are held"]
