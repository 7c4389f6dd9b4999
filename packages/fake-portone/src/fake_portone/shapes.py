"""Payments in PortOne's JSON: what its OpenAPI document 1.16.0 requires of each status, and KakaoPay's usual rest."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fake_portone.ledger import CAPTURED, Cancelled, CancelStatus, Dispute, PaymentRecord, Status, vat_within
from fake_portone.webhooks import WAITS, Delivery

_MERCHANT_ID = "merchant-00000000-0000-4000-8000-000000000000"
_CANCELLED = frozenset({Status.PARTIAL_CANCELLED, Status.CANCELLED})
_WITHOUT_METHOD = frozenset({Status.READY, Status.FAILED})


def time_json(at: datetime) -> str:
    """An RFC 3339 time in UTC."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def payment_json(payment: PaymentRecord, said: str | None = None, *, strange: bool = False) -> dict[str, Any]:
    """PortOne's record of a payment; ``said`` in place of its status, and strange fields, where a fault has it so."""
    body: dict[str, Any] = {
        "status": said or payment.status.value,
        "id": payment.id,
        "transactionId": payment.transaction_id,
        "merchantId": _MERCHANT_ID,
        "storeId": payment.purchase.store_id,
        "version": "V2",
        "requestedAt": time_json(payment.requested_at),
        "updatedAt": time_json(payment.updated_at),
        "statusChangedAt": time_json(payment.status_changed_at),
        "orderName": payment.purchase.order_name,
        "amount": _amount(payment),
        "currency": payment.purchase.currency,
        "customer": {},
        "origin": {"platformType": "PC", "ipAddress": "203.0.113.7"},
        "channel": _channel(payment),
        "country": "KR",
    }
    if payment.status not in _WITHOUT_METHOD:
        body["method"] = _method(payment)
    if payment.status is Status.FAILED and payment.failed_at is not None:
        body["failedAt"] = time_json(payment.failed_at)
        body["failure"] = {"reason": payment.failure, "pgCode": "FAKE", "pgMessage": payment.failure}
    if payment.status in CAPTURED and payment.paid_at is not None:
        body |= {
            "paidAt": time_json(payment.paid_at),
            "pgTxId": f"T{payment.transaction_id.replace('-', '')[:19]}",
            "cancellations": [cancellation_json(c) for c in payment.cancellations],
        }
    if payment.status is Status.PAID:
        body["disputes"] = [_dispute(dispute) for dispute in payment.disputes]
    if payment.status in _CANCELLED:
        body["cancelledAt"] = time_json(payment.status_changed_at)
    if strange:
        body |= {"somethingNew": {"status": "PAID", "items": [1, None]}, "amount": body["amount"] | {"somethingNew": 1}}
    return body


def cancellation_json(cancellation: Cancelled) -> dict[str, Any]:
    """PortOne's record of one cancellation."""
    body: dict[str, Any] = {
        "status": cancellation.status.value,
        "id": cancellation.id,
        "totalAmount": cancellation.amount,
        "taxFreeAmount": cancellation.tax_free,
        "vatAmount": cancellation.vat,
        "reason": cancellation.reason,
        "requestedAt": time_json(cancellation.requested_at),
        "trigger": cancellation.trigger,
    }
    if cancellation.discount:
        body["easyPayDiscountAmount"] = cancellation.discount
    if cancellation.status is CancelStatus.SUCCEEDED and cancellation.cancelled_at is not None:
        body["pgCancellationId"] = f"A{cancellation.id.replace('-', '')[:10]}"
        body["cancelledAt"] = time_json(cancellation.cancelled_at)
    return body


def webhook_json(delivery: Delivery) -> dict[str, Any]:
    """PortOne's record of one webhook."""
    body: dict[str, Any] = {
        "paymentStatus": delivery.payment_status,
        "id": delivery.id,
        "url": delivery.url,
        "isAsync": False,
        "currentExecutionCount": len(delivery.attempts),
        "maxExecutionCount": len(WAITS),
        "trigger": "MANUAL",
        "request": {"body": delivery.body.decode()},
    }
    if delivery.attempts:
        last = delivery.attempts[-1]
        failed = "FAILED_UNEXPECTED_ERROR" if last.error else "FAILED_NOT_OK_RESPONSE"
        body["status"] = "SUCCEEDED" if last.succeeded else failed
        body["triggeredAt"] = time_json(delivery.attempts[0].at)
    return body


def _amount(payment: PaymentRecord) -> dict[str, int]:
    total, tax_free = payment.purchase.total, payment.purchase.tax_free
    vat = vat_within(total - tax_free)
    return {
        "total": total,
        "taxFree": tax_free,
        "vat": vat,
        "supply": total - tax_free - vat,
        "discount": payment.discount,
        "paid": payment.captured - payment.discount,
        "cancelled": payment.cancelled,
        "cancelledTaxFree": payment.cancelled_tax_free,
    }


def _dispute(dispute: Dispute) -> dict[str, str]:
    body = {"status": "UNRESOLVED", "reason": dispute.reason, "createdAt": time_json(dispute.created_at)}
    if dispute.resolved_at is None:
        return body
    return body | {"status": "RESOLVED", "resolvedAt": time_json(dispute.resolved_at)}


def _channel(payment: PaymentRecord) -> dict[str, str]:
    purchase = payment.purchase
    return {
        "type": purchase.channel_type,
        "id": f"id-{purchase.channel_key}",
        "key": purchase.channel_key,
        "name": f"kakaopay-{purchase.channel_type.lower()}",
        "pgProvider": "KAKAOPAY",
        "pgMerchantId": "TC0ONETIME" if purchase.channel_type == "TEST" else "CA00000000",
    }


def _method(payment: PaymentRecord) -> dict[str, Any]:
    if payment.account is None:
        charge = {"type": "PaymentMethodEasyPayMethodCharge"}
        return {"type": "PaymentMethodEasyPay", "provider": "KAKAOPAY", "easyPayMethod": charge}
    return {
        "type": "PaymentMethodVirtualAccount",
        "bank": "SHINHAN",
        "accountNumber": payment.account.number,
        "issuedAt": time_json(payment.account.issued_at),
        "expiredAt": time_json(payment.account.due),
    }
