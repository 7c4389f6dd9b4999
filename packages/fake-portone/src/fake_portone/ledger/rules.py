"""What PortOne refuses, and with which word.

The rules are those of developers.portone.io (OpenAPI 1.16.0, checkout, cancel). Where these are silent we assume, and
say so here: a storeId is only compared where one is given, else any store of the account answers; what a cancellation
is still REQUESTED for is not cancellable; a pre-registered sum is noted and not enforced; a payment whose virtual
account was closed is FAILED, and may be tried again; a paymentId is one payment in the whole account; a cancellation
that says nothing of its untaxed part has none, and is refused where less than that is left with tax.
"""

from __future__ import annotations

from http import HTTPStatus

from fake_portone.ledger.records import CAPTURED, Cancel, PaymentRecord, Status

_UNDER_WAY = frozenset({Status.READY, Status.PAY_PENDING})


class RefusedError(Exception):
    """PortOne says no: ``kind`` is its error's ``type``, ``status`` the HTTP status that goes with it."""

    def __init__(self, kind: str, message: str, status: HTTPStatus = HTTPStatus.CONFLICT) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status


def invalid(message: str) -> RefusedError:
    """The refusal of a request that makes no sense."""
    return RefusedError("INVALID_REQUEST", message, HTTPStatus.BAD_REQUEST)


def found(payment: PaymentRecord | None, store_id: str | None = None) -> PaymentRecord:
    """The payment, if there is one, and of this store where one is named."""
    if payment is None or store_id not in (None, payment.purchase.store_id):
        raise RefusedError("PAYMENT_NOT_FOUND", "there is no such payment", HTTPStatus.NOT_FOUND)
    return payment


def check_unpaid(payment: PaymentRecord) -> None:
    """One paymentId succeeds once."""
    if payment.status in CAPTURED:
        raise RefusedError("ALREADY_PAID", "this paymentId was paid before, and can be paid once only")


def check_under_way(payment: PaymentRecord) -> None:
    """An attempt goes on until it failed, or an account was issued for it."""
    if payment.status not in _UNDER_WAY:
        raise RefusedError("PAYMENT_WAITING_FOR_DEPOSIT", "an account was issued: deposit, or open it anew")


def check_waiting_for_deposit(payment: PaymentRecord) -> None:
    """Money is sent to an account that was issued and is not closed."""
    if payment.status is not Status.VIRTUAL_ACCOUNT_ISSUED:
        raise RefusedError("PAYMENT_NOT_WAITING_FOR_DEPOSIT", f"the payment is {payment.status}")


def check_disputable(payment: PaymentRecord) -> None:
    """What was paid can be disputed, as long as nothing of it went back."""
    if payment.status is not Status.PAID:
        raise RefusedError("PAYMENT_NOT_PAID", f"the payment is {payment.status}")


def amount_to_cancel(payment: PaymentRecord, cancel: Cancel) -> int:
    """How much goes back for this request, if it may."""
    if payment.status is Status.CANCELLED:
        raise RefusedError("PAYMENT_ALREADY_CANCELLED", "everything went back already")
    if payment.status not in CAPTURED:
        raise RefusedError("PAYMENT_NOT_PAID", f"the payment is {payment.status}")
    if payment.account is not None and cancel.trigger == "API" and not cancel.to_account:
        raise invalid("refundAccount: it was paid by a deposit, and goes back to an account only")
    left = payment.cancellable
    if cancel.expected_left not in (None, left):
        raise RefusedError(
            "CANCELLABLE_AMOUNT_CONSISTENCY_BROKEN", f"{left} is cancellable, not {cancel.expected_left}"
        )
    amount = left if cancel.amount is None else cancel.amount
    if amount > left or not left:
        raise RefusedError("CANCEL_AMOUNT_EXCEEDS_CANCELLABLE_AMOUNT", f"{left} is cancellable")
    return amount


def tax_free_to_cancel(payment: PaymentRecord, cancel: Cancel, amount: int) -> int:
    """How much of ``amount`` goes back untaxed, if it may."""
    left = payment.cancellable_tax_free
    taxed_left = payment.cancellable - left
    if cancel.tax_free is None:
        return max(0, amount - taxed_left)
    if cancel.tax_free + (cancel.vat or 0) > amount:
        raise RefusedError("SUM_OF_PARTS_EXCEEDS_CANCEL_AMOUNT", f"the parts are more than {amount}")
    if cancel.tax_free > left:
        raise RefusedError("CANCEL_TAX_FREE_AMOUNT_EXCEEDS_CANCELLABLE_TAX_FREE_AMOUNT", f"{left} of it is tax free")
    if amount - cancel.tax_free > taxed_left:
        raise RefusedError("CANCEL_TAX_AMOUNT_EXCEEDS_CANCELLABLE_TAX_AMOUNT", f"{taxed_left} of it is taxed")
    if (cancel.vat or 0) > payment.cancellable_vat:
        raise RefusedError(
            "CANCEL_TAX_AMOUNT_EXCEEDS_CANCELLABLE_TAX_AMOUNT", f"{payment.cancellable_vat} of it is value added tax"
        )
    return cancel.tax_free
