"""The payment window: what it was opened for, and what a person chooses in it.

Names and shapes: @portone/browser-sdk 0.1.11, PaymentResponse and PaymentError. Where PortOne is silent we assume: a
window the buyer closes leaves the attempt READY, and ``code`` is FAILURE_TYPE_PG, as shops report it.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Literal
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec

from fake_portone.api import PortOneApi
from fake_portone.buyer import Buyer
from fake_portone.clock import Background
from fake_portone.faults import Fault, Faults
from fake_portone.ledger import Ledger, PaymentRecord, Purchase, RefusedError, invalid
from fake_portone.opening import Opening, Text, is_web_address

_Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-:\[\]]+", re.ASCII)
_CLOSED = ("USER_CANCEL", "사용자가 결제를 취소하였습니다")
_DECLINED = ("DECLINED", "결제가 승인되지 않았습니다")
_WITH_SECONDS = frozenset({"approve_after_close", "virtual_account"})
_FATES = frozenset({"webhook_duplicated", "webhook_delayed", "webhook_dropped", "webhook_before_answer"})


class WindowRequest(Opening, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """What the shop's page asked ``requestPayment`` for, as far as the window needs it."""

    payment_id: Text
    redirect_url: str | None = None
    locale: str | None = None


class Choice(Opening, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """What the person does. Fields of the purchase are what a dishonest browser asks for in place of the shop's.

    ``seconds`` are real ones, because the shop counts them; ``webhookSeconds`` are the fake's.
    """

    choice: Literal["approve", "decline", "close", "approve_after_close", "pending", "virtual_account"]
    seconds: _Seconds | None = None
    webhook: Literal["normal", "twice", "late", "never", "before_return"] = "normal"
    webhook_seconds: _Seconds = 300.0

    def fate(self, payment_id: str) -> list[Fault]:
        """The faults that make the webhooks of this payment fare so."""
        match self.webhook:
            case "normal":
                return []
            case "twice":
                return [Fault("webhook_duplicated", match=payment_id)]
            case "late":
                return [Fault("webhook_delayed", seconds=self.webhook_seconds, match=payment_id)]
            case "never":
                return [Fault("webhook_dropped", match=payment_id)]
            case "before_return":
                return [Fault("webhook_before_answer", match=payment_id)]


@dataclass(slots=True, eq=False)
class WindowSession:
    """One window that was opened, by which page, for what; ``result`` is what it returned, once it has."""

    payment_id: str
    purchase: Purchase
    transaction_id: str
    origin: str | None
    redirect_url: str | None
    locale: str | None
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    result: dict[str, str] | None = None

    @property
    def return_url(self) -> str | None:
        """Where a redirect leads back to: the shop's URL with the result in its query, beside what was there."""
        if self.redirect_url is None or self.result is None:
            return None
        parts = urlsplit(self.redirect_url)
        query = "&".join(filter(None, (parts.query, urlencode(self.result))))
        return urlunsplit(parts._replace(query=query))


class Windows:
    """Every window opened so far, and what a person does in them."""

    def __init__(
        self, *, buyer: Buyer, ledger: Ledger, faults: Faults, api: PortOneApi, background: Background
    ) -> None:
        self._buyer = buyer
        self._ledger = ledger
        self._faults = faults
        self._api = api
        self._background = background
        self._sessions: dict[str, WindowSession] = {}

    def open(self, asked: WindowRequest, origin: str | None) -> WindowSession:
        """Open a window for a page of this origin. Raises RefusedError for what PortOne would not open one for."""
        if asked.redirect_url is not None and not is_web_address(asked.redirect_url):
            raise invalid("redirectUrl is not an http or https address")
        purchase = asked.purchase(None)
        assert purchase is not None  # noqa: S101 - narrowing: None is for the bare class with nothing said
        payment = self._buyer.open(asked.payment_id, purchase)
        session = WindowSession(
            payment_id=payment.id,
            purchase=purchase,
            transaction_id=payment.transaction_id,
            origin=origin if origin and _ORIGIN.fullmatch(origin) else None,
            redirect_url=asked.redirect_url,
            locale=asked.locale,
        )
        self._sessions[session.id] = session
        return session

    def find(self, session_id: str) -> WindowSession:
        """The window of this id."""
        try:
            return self._sessions[session_id]
        except KeyError as error:
            raise RefusedError("WINDOW_NOT_FOUND", "there is no such window", HTTPStatus.NOT_FOUND) from error

    async def choose(self, session: WindowSession, choice: Choice) -> None:
        """Do what the person chose, once: a second choice changes nothing, and gets the first one's result."""
        if choice.seconds is not None and choice.choice not in _WITH_SECONDS:
            raise invalid(f"seconds: only with {', '.join(sorted(_WITH_SECONDS))}")
        if session.result is None:
            self._faults.set_for(session.payment_id, _FATES, choice.fate(session.payment_id))
            session.result = self._act(session, choice)
            await self._api.tell_first(session.payment_id)

    def _act(self, session: WindowSession, choice: Choice) -> dict[str, str]:
        buyer, payment_id, purchase = self._buyer, session.payment_id, choice.purchase(session.purchase)
        try:
            match choice.choice:
                case "approve":
                    return _result(buyer.pay(payment_id, purchase))
                case "decline":
                    return _result(buyer.fail(payment_id, purchase, _DECLINED[1]), *_DECLINED)
                case "pending":
                    return _result(buyer.pend(payment_id, purchase))
                case "virtual_account":
                    issued = buyer.issue_account(payment_id, purchase)
                    if choice.seconds is not None:
                        self._later(choice.seconds, lambda: buyer.deposit(payment_id))
                    return _result(issued)
                case "approve_after_close":
                    self._later(choice.seconds or 0.0, lambda: buyer.pay(payment_id, purchase))
                case "close":
                    pass
            return _result(self._ledger.find(payment_id), *_CLOSED)
        except RefusedError as refused:
            return _refused(session, refused)

    def _later(self, seconds: float, act: Callable[[], PaymentRecord]) -> None:
        async def work() -> None:
            await asyncio.sleep(seconds)
            with suppress(RefusedError):  # by then it may have been paid otherwise
                act()

        self._background.spawn(work())


def _result(payment: PaymentRecord, pg_code: str | None = None, message: str = "") -> dict[str, str]:
    """A PaymentResponse; with a ``code`` where the payment did not come about."""
    result = {"transactionType": "PAYMENT", "txId": payment.transaction_id, "paymentId": payment.id}
    if pg_code is None:
        return result
    return result | {"code": "FAILURE_TYPE_PG", "message": message, "pgCode": pg_code, "pgMessage": message}


def _refused(session: WindowSession, refused: RefusedError) -> dict[str, str]:
    result = {"transactionType": "PAYMENT", "txId": session.transaction_id, "paymentId": session.payment_id}
    code = "PaymentAlreadyPaid" if refused.kind == "ALREADY_PAID" else "PGProviderError"
    return result | {"code": code, "message": refused.message}
