"""What must hold in every history, whatever PortOne turns out to be."""

from __future__ import annotations

from enum import StrEnum


class Property(StrEnum):
    """What must hold in every history."""

    PAID = "COMPLETED only with a matching payment in the gateway's ledger"
    KEPT = "every captured won is on one completed order, or went back"
    ONCE = "one intent to give money back, at most one cancellation"
    AMOUNTS = "what goes back for a refund is what was asked for, won by won"
    ASKED = "no buyer is turned away before the gateway was asked"
    ANNOUNCED = "what was seen or announced is not given up before its time"
    FINAL = "what PortOne refuses for good is not asked for again and again"
    ALONE = "whoever checks an order has it to themselves for a while"
    DURABLE = "what was acknowledged is never lost"
    FORWARD = "no order moves back, and every change has its history"
    PROMPT = "nothing that happened waits to be noticed while gateway and database answer"
    SILENT = "no order waits beyond its time without a person being asked"
    TOLD = "money that comes back to us is told"
    REST = "every order comes to rest once faults stop"
    FOLLOWED = "every follower sees every change, in order"
    AGAIN = "delivering everything again changes nothing"
    AUDITED = "the audit explains every captured won, and says so where it cannot"
    STOCK = "no seat is sold twice, and what is on hold is held once"
    FORESEEN = "nothing happens that nobody foresaw"


class ViolationError(AssertionError):
    """A property did not hold."""

    def __init__(self, broken: Property, what: str) -> None:
        super().__init__(f"{broken.value}: {what}")
        self.property = broken
        self.what = what
