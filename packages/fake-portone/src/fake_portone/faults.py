"""The catalogue of what can go wrong at PortOne, switched on by name, drawn by seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import msgspec


@dataclass(frozen=True, slots=True)
class Kind:
    """One entry of the catalogue. ``seconds`` is its default where it takes a time, None where it takes none."""

    name: str
    description: str
    seconds: float | None = None


CATALOGUE = {
    kind.name: kind
    for kind in (
        # webhooks
        Kind("webhook_duplicated", "a webhook is sent twice at once, under one id"),
        Kind("webhook_dropped", "a webhook is never sent, nor retried"),
        Kind("webhook_delayed", "a webhook is sent `seconds` later, on the fake's clock", 60.0),
        Kind("webhook_reordered", "a webhook waits for the payment's next one to go first, `seconds` at most", 60.0),
        Kind("webhook_before_answer", "the webhook is delivered before the request that caused it is answered"),
        Kind(
            "webhook_signed_twice",
            "a webhook carries a second secret's signature before the right one, as in a rotation",
        ),
        Kind("webhook_other_secret", "a webhook is signed with a secret that the shop does not have"),
        Kind("webhook_stale", "a webhook is dated and signed `seconds` ago, as by a broken clock", 600.0),
        Kind("webhook_forged", "a stranger's webhook goes along that says Transaction.Paid, wrongly signed, once"),
        Kind("webhook_2024_01_01", "a webhook's body is of version 2024-01-01, in JSON"),
        Kind("webhook_2024_01_01_form", "a webhook's body is of version 2024-01-01, as a form"),
        Kind("unknown_webhook_type", "another webhook goes along, of a type nobody has heard of"),
        Kind("unknown_webhook_fields", "a webhook has fields nobody has heard of"),
        # the API
        Kind("gateway_slow", "the API answers `seconds` late, in real time; the request is carried out then", 5.0),
        Kind("gateway_5xx", "the API answers 503, and the request is not carried out"),
        Kind("gateway_html", "the API answers 200 with an HTML page, and the request is not carried out"),
        Kind("gateway_reset", "the connection breaks before an answer, and the request is not carried out"),
        Kind("gateway_truncated", "the request is carried out, and its JSON answer is cut short"),
        Kind("gateway_401", "the API answers 401 although the secret is right, as if it had been revoked"),
        Kind("gateway_429", "the API answers 429, and the request is not carried out"),
        Kind("gateway_lag", "a payment is read as it stood `seconds` ago on the fake's clock, or not found", 60.0),
        Kind("unknown_status", "a payment is read with a status nobody has heard of"),
        Kind("unknown_channel_type", "a payment is read with a type of channel nobody has heard of"),
        Kind("unknown_payment_fields", "a payment is read with fields nobody has heard of"),
        # cancels
        Kind("cancel_answer_lost", "a cancel is carried out, and the connection breaks before its answer"),
        Kind("cancel_502", "a cancel answers 502 PG_PROVIDER, and is not carried out"),
        Kind("cancel_done_502", "a cancel is carried out, and answers 502 PG_PROVIDER"),
        Kind("cancel_outstanding", "a cancel answers 409 IDEMPOTENCY_OUTSTANDING_REQUEST, and is not carried out"),
        Kind("cancel_refused", "a cancel is refused with 409 MAX_CANCEL_COUNT_REACHED, and so is its key from then on"),
        Kind("cancel_failed", "a cancel answers 200, and its cancellation is FAILED"),
        Kind(
            "cancel_requested", "a cancellation is REQUESTED first, and done `seconds` later on the fake's clock", 60.0
        ),
        Kind("cancel_requested_then_failed", "a cancellation is REQUESTED first, and FAILED `seconds` later", 60.0),
        # the browser and the buyer
        Kind("amount_tampered", "the browser asks for half the amount"),
        Kind("currency_tampered", "the browser asks in another currency"),
        Kind("store_tampered", "the browser pays into another store of the account"),
        Kind("channel_tampered", "the browser uses a channel of the other type: TEST for LIVE, LIVE for TEST"),
        Kind("failed_then_paid", "the attempt that is paid fails first, and a second one succeeds"),
        Kind("approval_pending", "an approved payment is PAY_PENDING first, and PAID `seconds` later", 60.0),
        Kind("approval_late", "an approved payment stays READY, and is PAID `seconds` later", 1200.0),
        Kind(
            "deposit_late", "a deposit arrives `seconds` after it was sent, if the account is still open then", 3600.0
        ),
        Kind("paid_with_points", "a tenth is paid with points: amount.paid is less than amount.total"),
        # the console and the card network
        Kind("console_cancel", "somebody cancels the payment in the console, `seconds` after it was paid", 60.0),
        Kind("console_cancel_part", "somebody cancels half of it in the console, `seconds` after it was paid", 60.0),
        Kind(
            "disputed", "the payment is disputed `seconds` after it was paid, and the dispute ends as much later", 60.0
        ),
        Kind("charged_back", "the card network takes all of it back, `seconds` after it was paid", 60.0),
        # other readings: dates
        Kind("stamps_in_seconds", "every date of a payment's record is cut to whole seconds"),
        Kind(
            "paid_dated_early",
            "PAID is dated `seconds` before the READY or FAILED that it followed; half the time updatedAt is too",
            60.0,
        ),
        Kind("cancelled_dated_early", "a cancellation's status is dated `seconds` before the one it followed", 60.0),
        Kind("second_part_cancel_unstamped", "a later cancel of a part leaves statusChangedAt as it was"),
        # other readings: lists and records
        Kind(
            "list_by_approval_time",
            "the list goes by approval times, `seconds` earlier than when statuses changed",
            2.0,
        ),
        Kind(
            "list_late", "the list shows a payment as it stood `seconds` ago on the fake's clock, or not at all", 600.0
        ),
        Kind("list_unsorted", "the list is in no order of time"),
        Kind("list_short_count", "a page of the list lacks its last payment, or totalCount counts one too few"),
        Kind("record_vanishes", "a payment that was read before is not found"),
        # other readings: cancels
        Kind("reason_cut", "the reason of a cancellation comes back cut after 10 characters"),
        Kind("reason_changed", "the reason of a cancellation comes back as another text"),
        Kind("cancel_undone", "a cancellation is undone `seconds` later, and the payment PAID again", 3600.0),
        Kind("cancel_bounces", "the same, and no webhook tells of it", 3600.0),
        Kind("cancel_period_over", "every cancel of a payment is refused, with a word nobody has heard of"),
        Kind("cancel_deposit_lacking", "every cancel of a payment answers 502 PG_PROVIDER, and is not carried out"),
        Kind("cancel_needs_tax_part", "a cancel is refused unless it says taxFreeAmount and vatAmount"),
        Kind("cancel_requested_for_ever", "every cancellation of a payment is REQUESTED, and stays so"),
        Kind(
            "console_cancel_quotes_refund",
            "when a cancel comes, somebody cancels half as much in the console first, for the same reason",
        ),
        # other readings: the window
        Kind("zero_amount_capture", "the browser asks for nothing, and a payment of 0 is PAID"),
        Kind(
            "account_by_browser",
            "the browser chooses a virtual account in place of what it was to pay with, due in `seconds`",
            10 * 365 * 86_400.0,
        ),
        Kind("tax_free_by_browser", "the browser asks for another taxFreeAmount"),
        Kind("discount_limits_cancel", "a tenth is paid with points, and only amount.paid can be cancelled"),
        Kind("pending_for_ever", "an approved payment is PAY_PENDING, and stays so"),
    )
}
READINGS = frozenset(
    {
        "stamps_in_seconds",
        "paid_dated_early",
        "cancelled_dated_early",
        "second_part_cancel_unstamped",
        "list_by_approval_time",
        "list_late",
        "list_unsorted",
        "list_short_count",
        "record_vanishes",
        "reason_cut",
        "reason_changed",
        "cancel_undone",
        "cancel_bounces",
        "cancel_period_over",
        "cancel_deposit_lacking",
        "cancel_needs_tax_part",
        "cancel_requested_for_ever",
        "console_cancel_quotes_refund",
        "zero_amount_capture",
        "account_by_browser",
        "tax_free_by_browser",
        "discount_limits_cancel",
        "pending_for_ever",
    }
)
"""The faults that take another reading of what PortOne's documents say, or leave open, than the rest of the fake."""


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A fault that is on: on which part of its occasions, how often at most, and for which only.

    ``match`` is a paymentId, a webhook's type (``Transaction.Paid``), or an operation of the API (``get``, ``list``,
    ``cancel``, ``pre_register``, ``close_virtual_account``, ``resend_webhook``).
    """

    name: str
    probability: float = 1.0
    times: int | None = None
    seconds: float | None = None
    match: str | None = None

    def problem(self) -> str | None:
        """What is wrong with it, None if nothing is."""
        kind = CATALOGUE.get(self.name)
        if kind is None:
            return f"there is no fault {self.name!r}; there are {', '.join(CATALOGUE)}"
        if not 0 <= self.probability <= 1:
            return f"{self.name}: probability must be from 0 to 1"
        if self.times is not None and self.times < 1:
            return f"{self.name}: times must be 1 or more"
        if self.seconds is not None and kind.seconds is None:
            return f"{self.name} takes no seconds"
        if self.seconds is not None and not 0 <= self.seconds <= 10**9:
            return f"{self.name}: seconds must be from 0 to 10^9"
        return None


@dataclass(slots=True)
class _Active:
    fault: Fault
    seconds: float
    chance: random.Random
    fired: int = 0
    drawn: dict[str, bool] = field(default_factory=dict)

    def fires(self, labels: Sequence[str]) -> bool:
        if self.fault.match is not None and self.fault.match not in labels:
            return False
        if self.fault.times is not None and self.fired >= self.fault.times:
            return False
        if self.chance.random() >= self.fault.probability:
            return False
        self.fired += 1
        return True

    def holds(self, payment_id: str) -> bool:
        if payment_id not in self.drawn:
            self.drawn[payment_id] = self.fires([payment_id])
        return self.drawn[payment_id]


@dataclass(frozen=True, slots=True)
class Fired:
    """A fault that happens here and now, with the time it takes."""

    name: str
    seconds: float
    chance: random.Random

    def also(self) -> bool:
        """Whether it takes the worse of two forms: half the time it does."""
        return self.chance.random() < 0.5  # noqa: PLR2004 - half


class Faults:
    """The faults that are on. Each draws from a stream of its own, so one seed always gives one run."""

    def __init__(self, seed: int = 0, *, changed: Callable[[], None] = lambda: None) -> None:
        self._seed = seed
        self._changed = changed
        self._active: list[_Active] = []

    def put(self, faults: Sequence[Fault]) -> None:
        """Switch exactly these on, and every other off. Raises ValueError that names what is wrong."""
        for fault in faults:
            if problem := fault.problem():
                raise ValueError(problem)
        self._active = [self._activate(fault, number) for number, fault in enumerate(faults)]
        self._changed()

    def set_for(self, match: str, names: Collection[str], faults: Sequence[Fault]) -> None:
        """Of the faults with this match and one of these names have exactly ``faults`` on; leave the others alone."""
        others = [a for a in self._active if a.fault.match != match or a.fault.name not in names]
        self._active = others + [self._activate(fault, len(others) + n) for n, fault in enumerate(faults)]
        self._changed()

    def on(self) -> list[tuple[Fault, int]]:
        """The faults that are on, and how often each has happened."""
        return [(active.fault, active.fired) for active in self._active]

    def fires(self, name: str, *labels: str) -> Fired | None:
        """Whether this fault happens on an occasion with these labels; asking uses the occasion up."""
        for active in self._active:
            if active.fault.name == name and active.fires(labels):
                self._changed()
                return Fired(name, active.seconds, active.chance)
        return None

    def holds(self, name: str, payment_id: str) -> Fired | None:
        """Whether this is a fault of this payment's, which is drawn once for each payment."""
        for active in self._active:
            if active.fault.name == name:
                before = active.fired
                if active.holds(payment_id):
                    if active.fired != before:
                        self._changed()
                    return Fired(name, active.seconds, active.chance)
        return None

    def _activate(self, fault: Fault, number: int) -> _Active:
        return _Active(
            fault,
            fault.seconds if fault.seconds is not None else CATALOGUE[fault.name].seconds or 0.0,
            random.Random(f"{self._seed}/{number}/{fault.name}"),  # noqa: S311 - repeatable on purpose
        )
