"""The wiring: which adapter stands behind each port, and what each use case is given."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from dependency_injector import containers, providers

from adapters.notify.in_process import InProcessNotifier
from adapters.persistence.engine import create_engine
from adapters.persistence.sql import SqlStore
from adapters.portone.gateway import PortOneGateway
from adapters.portone.transport import gateway_client
from adapters.portone.webhook_reader import PortOneWebhookReader
from adapters.portone.window import PortOneWindow
from application.answer_attention import AnswerAttention
from application.api_keys import Authenticate, CreateApiKey, ListApiKeys, RevokeApiKey
from application.audit_payments import AuditPayments
from application.cancel_order import CancelOrder
from application.carry_out_refunds import CarryOutRefunds
from application.check_due_orders import CheckDueOrders
from application.follow_order import FollowOrder
from application.handle_webhook_event import HandleWebhookEvent
from application.place_order import PlaceOrder
from application.put_product import PutProduct
from application.read_order import ListOrders, ListOrphans, ListProducts, ReadOrder, ShowOrder
from application.reconcile_order import ReconcileOrder
from application.refund_order import RefundOrder, WithdrawRefund
from application.sweep_payments import SweepPayments
from application.tickets import IssueTicket, ReadReturn, RedeemTicket
from application.use_cases import UseCases
from application.verify_payment import VerifyPayment
from bootstrap.settings import Settings
from domain.payment import Shop


def utc_now() -> datetime:
    """The time now."""
    return datetime.now(UTC)


def new_id() -> str:
    """128 random bits as 32 hex digits."""
    return secrets.token_hex(16)


class Container(containers.DeclarativeContainer):
    """Everything there is, each made once, when it is first asked for. Opened and closed by ``bootstrap.service``."""

    settings: providers.Dependency[Settings] = providers.Dependency(instance_of=Settings)

    clock = providers.Object(utc_now)
    new_id = providers.Object(new_id)

    engine = providers.Singleton(create_engine, settings.provided.database_url)
    store = providers.Singleton(SqlStore, engine)
    notifier = providers.Singleton(InProcessNotifier)

    gateway_client = providers.Singleton(gateway_client, settings.provided.api_url)
    gateway = providers.Singleton(
        PortOneGateway,
        gateway_client,
        api_secret=settings.provided.api_secret.reveal.call(),
        store_id=settings.provided.store_id,
    )
    window = providers.Singleton(
        PortOneWindow,
        store_id=settings.provided.store_id,
        channel_key=settings.provided.channel_key,
        public_url=settings.provided.public_url,
    )
    webhook_reader = providers.Singleton(
        PortOneWebhookReader,
        providers.Callable(lambda secrets: [secret.reveal() for secret in secrets], settings.provided.webhook_secrets),
        clock,
    )

    shop = providers.Singleton(Shop, store_id=settings.provided.store_id, channel_type=settings.provided.channel_type)
    policy, limits = settings.provided.policy, settings.provided.limits
    in_production = settings.provided.in_production
    reconcile = providers.Singleton(ReconcileOrder, store, notifier, clock, new_id, shop, policy=policy)
    read_order = providers.Singleton(ReadOrder, store)
    carry_out_refunds = providers.Singleton(CarryOutRefunds, store, gateway, reconcile, clock)

    use_cases = providers.Singleton(
        UseCases,
        place_order=providers.Singleton(
            PlaceOrder,
            store=store,
            gateway=gateway,
            window=window,
            clock=clock,
            new_id=new_id,
            ttl=settings.provided.ttl,
            limits=limits,
            policy=policy,
        ),
        read_order=read_order,
        verify_payment=providers.Singleton(VerifyPayment, read_order, gateway, reconcile, clock),
        cancel_order=providers.Singleton(CancelOrder, read_order, gateway, reconcile),
        follow_order=providers.Singleton(FollowOrder, store, notifier),
        issue_ticket=providers.Singleton(IssueTicket, read_order, clock),
        redeem_ticket=providers.Singleton(RedeemTicket, store, clock),
        read_return=providers.Singleton(ReadReturn, store, clock),
        list_products=providers.Singleton(ListProducts, store),
        put_product=providers.Singleton(PutProduct, store, limits),
        handle_webhook_event=providers.Singleton(HandleWebhookEvent, store, gateway, reconcile, clock),
        refund_order=providers.Singleton(
            RefundOrder, store, notifier, clock, gateway=gateway, carry_out_refunds=carry_out_refunds
        ),
        withdraw_refund=providers.Singleton(WithdrawRefund, store, notifier, clock),
        answer_attention=providers.Singleton(AnswerAttention, store, notifier, clock),
        check_due_orders=providers.Singleton(
            CheckDueOrders,
            store=store,
            gateway=gateway,
            reconcile=reconcile,
            carry_out_refunds=carry_out_refunds,
            clock=clock,
        ),
        sweep_payments=providers.Singleton(
            SweepPayments,
            store=store,
            gateway=gateway,
            shop=shop,
            clock=clock,
            new_id=new_id,
            again=settings.provided.sweep_again,
            policy=policy,
        ),
        audit_payments=providers.Singleton(AuditPayments, store=store, gateway=gateway, shop=shop, clock=clock),
        show_order=providers.Singleton(ShowOrder, store),
        list_orders=providers.Singleton(ListOrders, store),
        list_orphans=providers.Singleton(ListOrphans, store),
        create_api_key=providers.Singleton(CreateApiKey, store, clock, new_id, in_production=in_production),
        list_api_keys=providers.Singleton(ListApiKeys, store, clock),
        revoke_api_key=providers.Singleton(RevokeApiKey, store, clock),
        authenticate=providers.Singleton(Authenticate, store, clock, in_production=in_production),
    )
