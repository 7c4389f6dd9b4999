"""The one table of use cases that is handed to whoever drives them."""

from __future__ import annotations

from dataclasses import dataclass

from application.answer_attention import AnswerAttention
from application.api_keys import Authenticate, CreateApiKey, ListApiKeys, RevokeApiKey
from application.audit_payments import AuditPayments
from application.cancel_order import CancelOrder
from application.check_due_orders import CheckDueOrders
from application.follow_order import FollowOrder
from application.handle_webhook_event import HandleWebhookEvent
from application.place_order import PlaceOrder
from application.put_product import PutProduct
from application.read_order import ListOrders, ListOrphans, ListProducts, ReadOrder, ShowOrder
from application.refund_order import RefundOrder, WithdrawRefund
from application.sweep_payments import SweepPayments
from application.tickets import IssueTicket, ReadReturn, RedeemTicket
from application.verify_payment import VerifyPayment


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCases:
    """Everything that this product can be asked to do. Each is one instance for all callers."""

    place_order: PlaceOrder
    read_order: ReadOrder
    verify_payment: VerifyPayment
    cancel_order: CancelOrder
    follow_order: FollowOrder
    issue_ticket: IssueTicket
    redeem_ticket: RedeemTicket
    read_return: ReadReturn
    list_products: ListProducts
    put_product: PutProduct
    handle_webhook_event: HandleWebhookEvent
    refund_order: RefundOrder
    withdraw_refund: WithdrawRefund
    answer_attention: AnswerAttention
    check_due_orders: CheckDueOrders
    sweep_payments: SweepPayments
    audit_payments: AuditPayments
    show_order: ShowOrder
    list_orders: ListOrders
    list_orphans: ListOrphans
    create_api_key: CreateApiKey
    list_api_keys: ListApiKeys
    revoke_api_key: RevokeApiKey
    authenticate: Authenticate
