"""The format of a scripted story, and how it is read: TOML, strictly. docs/fake-portone.md describes it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias, get_args

import msgspec

from fake_portone.faults import Fault
from fake_portone.ledger import Status
from fake_portone.opening import Opening, Text, Won

_Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,39}\Z")]
_Count = Annotated[int, msgspec.Meta(ge=0)]
_Once = Annotated[int, msgspec.Meta(ge=1)]
_Amount = Annotated[int, msgspec.Meta(ge=0, le=10**15)]
_Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
_Answered = Annotated[int, msgspec.Meta(ge=100, le=599)]
_Currency = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}\Z")]


class ScenarioError(Exception):
    """The file holds no story that can be played: which file, which step, which field, and why."""


# --- the steps ---


class _Step(
    msgspec.Struct,
    frozen=True,
    rename="camel",
    forbid_unknown_fields=True,
    omit_defaults=True,
    kw_only=True,
    tag_field="do",
):
    """``note`` is for whoever reads the story, or its telling."""

    note: str | None = None


class _Waiting(_Step, frozen=True, kw_only=True):
    """``timeout`` and ``hold`` are real seconds: the shop counts those."""

    timeout: _Seconds | None = None


class AwaitPayment(_Waiting, frozen=True, kw_only=True, tag="await_payment"):
    """Wait for the next payment that the shop pre-registers or a window is opened for, and name it."""

    payment: _Name
    id: str | None = None


class _Acting(
    Opening,
    frozen=True,
    rename="camel",
    forbid_unknown_fields=True,
    omit_defaults=True,
    kw_only=True,
    tag_field="do",
):
    """Fields of the window are what the browser asks for in place of the shop's page.

    ``refused`` is the ``type`` of the error with which PortOne must refuse it.
    """

    note: str | None = None
    payment: _Name
    refused: str | None = None


class OpenWindow(_Acting, frozen=True, kw_only=True, tag="open"):
    """The buyer opens the payment window."""


class Pay(_Acting, frozen=True, kw_only=True, tag="pay"):
    """The buyer approves."""


class Fail(_Acting, frozen=True, kw_only=True, tag="fail"):
    """The attempt fails."""


class Pend(_Acting, frozen=True, kw_only=True, tag="pending"):
    """The approval takes its time."""


class IssueAccount(_Acting, frozen=True, kw_only=True, tag="issue_virtual_account"):
    """The buyer chooses to send money to an account."""


class Deposit(_Step, frozen=True, kw_only=True, tag="deposit"):
    """The money is sent to the account."""

    payment: _Name
    refused: str | None = None


class CancelInConsole(_Step, frozen=True, kw_only=True, tag="cancel_in_console"):
    """Somebody cancels in PortOne's console."""

    payment: _Name
    amount: Won | None = None
    reason: Text = "cancelled in the console"
    refused: str | None = None


class ResendWebhook(_Step, frozen=True, kw_only=True, tag="resend_webhook"):
    """Somebody sends a webhook again by hand: the latest of this payment, or of this type."""

    payment: _Name
    type: Text | None = None
    refused: str | None = None


class ScriptedFault(Fault, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A fault; ``payment`` in place of ``match`` narrows it to a payment by its name in the story."""

    payment: _Name | None = None

    def problem(self) -> str | None:
        """What is wrong with it, None if nothing is."""
        if self.match is not None and self.payment is not None:
            return f"{self.name}: either match or payment"
        return Fault.problem(self)

    def of(self, payment_id: str | None) -> Fault:
        """The fault, for this payment where it is for one."""
        match = self.match if payment_id is None else payment_id
        return Fault(self.name, self.probability, self.times, self.seconds, match)


class SetFaults(_Step, frozen=True, kw_only=True, tag="faults"):
    """Exactly these faults are on from now."""

    on: tuple[ScriptedFault, ...] = ()


class SetClock(_Step, frozen=True, kw_only=True, tag="clock"):
    """The fake's clock runs at another speed, or is pushed on."""

    speed: Annotated[float, msgspec.Meta(ge=0, le=10**6)] | None = None
    advance: Annotated[float, msgspec.Meta(ge=0, le=10**9)] = 0.0


class AwaitWebhook(_Waiting, frozen=True, kw_only=True, tag="await_webhook"):
    """Wait until so many attempts to deliver such a webhook were answered, with this status if one is given."""

    payment: _Name | None = None
    type: Text | None = None
    answered: _Answered | None = None
    times: _Once = 1


class ExpectPayment(_Waiting, frozen=True, kw_only=True, tag="expect_payment"):
    """Wait until the payment and its money stand so, and see that they stay so for ``hold`` seconds."""

    payment: _Name
    hold: _Seconds | None = None
    status: Status | None = None
    captured: _Amount | None = None
    cancelled: _Amount | None = None
    net: _Amount | None = None
    cancellations_at_most: _Count | None = None
    cancel_requests_at_most: _Count | None = None
    reads_at_least: _Once | None = None

    @property
    def expects(self) -> bool:
        """Whether it expects anything at all."""
        said = (self.status, self.captured, self.cancelled, self.net, self.cancellations_at_most)
        return any(value is not None for value in (*said, self.cancel_requests_at_most, self.reads_at_least))


class ExpectWebhooks(_Waiting, frozen=True, kw_only=True, tag="expect_webhooks"):
    """Every attempt to deliver such a webhook was answered so, none is under way, and there were enough of them."""

    answered: _Answered | tuple[_Answered, ...] = 200
    payment: _Name | None = None
    type: Text | None = None
    forged: bool = False
    at_least: _Once = 1
    hold: _Seconds | None = None


class ExpectTotals(_Waiting, frozen=True, kw_only=True, tag="expect_totals"):
    """Wait until the account's money in one currency stands so."""

    currency: _Currency
    captured: _Amount | None = None
    cancelled: _Amount | None = None
    net: _Amount | None = None
    hold: _Seconds | None = None

    @property
    def expects(self) -> bool:
        """Whether it expects anything at all."""
        return any(value is not None for value in (self.captured, self.cancelled, self.net))


Step: TypeAlias = (
    AwaitPayment
    | OpenWindow
    | Pay
    | Fail
    | Pend
    | IssueAccount
    | Deposit
    | CancelInConsole
    | ResendWebhook
    | SetFaults
    | SetClock
    | AwaitWebhook
    | ExpectPayment
    | ExpectWebhooks
    | ExpectTotals
)
WORDS: dict[str, type] = {kind.__struct_config__.tag: kind for kind in get_args(Step)}
"""What ``do`` may say."""


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One story. ``timeout`` is for every step that waits and says nothing else.

    ``window`` is what the shop's page would have asked the payment window for, where no page takes part.
    """

    title: Text
    timeout: _Seconds = 30.0
    window: Opening = Opening()
    step: Annotated[tuple[Step, ...], msgspec.Meta(min_length=1)]


def read_scenario(path: Path) -> Scenario:
    """The story in this file. Raises ScenarioError, and OSError where there is no file."""
    try:
        return _understood(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:  # TOML's and Unicode's errors, and ours
        raise ScenarioError(f"{path}: {error}") from error


def _understood(said: dict[str, Any]) -> Scenario:
    try:
        scenario = msgspec.convert(said, Scenario)
    except msgspec.ValidationError as error:
        raise ValueError(_where(str(error), said)) from None
    for problem in _problems(scenario.step):
        raise ValueError(problem)
    return scenario


_PATH = re.compile(r"(?P<what>.*) - at `\$\.(?P<path>.*)`", re.DOTALL)
_STEP = re.compile(r"step\[(?P<index>\d+)\]\.?(?P<field>.*)")


def _where(complaint: str, said: dict[str, Any]) -> str:
    """The complaint with the step and the field it is about, as whoever wrote the file counts and names them."""
    found = _PATH.fullmatch(complaint)
    if found is None:
        return complaint
    what, path = found["what"], found["path"]
    step = _STEP.fullmatch(path)
    if step is None:
        return f"field `{path}`: {what}"
    index, field = int(step["index"]), step["field"]
    if field == "do":
        what = f"{what}; there are {', '.join(WORDS)}"
    written = said["step"][index]
    named = _named(index, written.get("do") if isinstance(written, dict) else None)
    return named + (f", field `{field}`" if field else "") + f": {what}"


def _named(index: int, do: object) -> str:
    return f"step {index + 1}" + (f" ({do})" if isinstance(do, str) else "")


def _problems(steps: Sequence[Step]) -> Iterator[str]:
    """What the shape alone does not show: names nobody gave, faults that make no sense, expectations of nothing."""
    known: set[str] = set()
    for index, step in enumerate(steps):
        named = _named(index, step.__struct_config__.tag)
        if isinstance(step, AwaitPayment):
            if step.payment in known:
                yield f"{named}, field `payment`: {step.payment!r} is the name of another payment already"
            known.add(step.payment)
        for name in _names_in(step):
            if name not in known:
                yield f"{named}, field `payment`: no step before has awaited a payment named {name!r}"
        if isinstance(step, SetFaults):
            yield from (f"{named}, field `on[{n}]`: {p}" for n, fault in enumerate(step.on) if (p := fault.problem()))
        if isinstance(step, ExpectPayment | ExpectTotals) and not step.expects:
            yield f"{named}: it expects nothing"


def _names_in(step: Step) -> Iterator[str]:
    if isinstance(step, SetFaults):
        yield from (fault.payment for fault in step.on if fault.payment is not None)
    elif not isinstance(step, SetClock | ExpectTotals) and step.payment is not None:
        yield step.payment
