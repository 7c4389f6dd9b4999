"""The tree of commands. Each imports what it needs, so that none waits for what another needs.

``ctx.obj`` is the Program that the composition root hands over.
"""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

import rich_click as click

from adapters.cli.moments import PastMoment
from adapters.cli.printing import end, fail, refuse, remark, say
from adapters.cli.program import Program

if TYPE_CHECKING:  # as in ``program``: a tenth of a second that `--help` does not need
    from application.use_cases import UseCases

_HOST = click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gyeolje")
def gyeolje() -> None:
    """Take money through PortOne V2 without losing any."""


@gyeolje.command()
@_HOST
@click.option("--port", default=8000, show_default=True, help="Port of the service; the fake takes the next one.")
@click.option("--once", is_flag=True, help="Play one purchase over real HTTP on free ports, and exit.")
def demo(host: str, port: int, *, once: bool) -> None:
    """Run the service, a worker and a fake PortOne on one SQLite file, with sample products."""
    from adapters.cli.extras import installed_demo

    run = installed_demo()
    if run is None:
        fail("the demo is not installed, as it brings a fake PortOne with it: pip install 'gyeolje[demo]'")
    sys.exit(run(host, port, once))


@gyeolje.command()
@_HOST
@click.option("--port", default=8000, show_default=True, help="Port to listen on.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="How many processes.")
@click.option("--no-worker", is_flag=True, help="Leave due orders to `gyeolje worker`.")
@click.pass_obj
def serve(program: Program, host: str, port: int, workers: int, *, no_worker: bool) -> None:
    """Run the service, and a worker inside it."""

    def listening(address: str) -> None:
        remark(f"serving on {address}")

    sys.exit(program.serve(host, port, processes=workers, with_worker=not no_worker, listening=listening))


@gyeolje.command()
@click.pass_obj
def worker(program: Program) -> None:
    """Check due orders: retries, lost webhooks, expiry, refunds."""
    program.work()


@gyeolje.command()
@click.pass_obj
def migrate(program: Program) -> None:
    """Bring the database's schema up to date.

    Stop the processes of the older version first, and start those of this one afterwards. On a schema that is not its
    own a process can keep nothing: its statements fail, and its webhooks get 503, so that PortOne sends them again.
    """
    program.migrate()
    say("the schema is up to date")


@gyeolje.command()
@_JSON
@click.pass_obj
def doctor(program: Program, *, as_json: bool) -> None:
    """Check settings, database, gateway and clock; secrets are shown as fingerprints only."""
    from adapters.cli.doctor import report

    end(well=report(program.examine(), as_json=as_json))


@gyeolje.group()
def orders() -> None:
    """See orders."""


@orders.command("list")
@click.option("--status", type=click.Choice(["PENDING", "COMPLETED", "CANCELLED"]), help="Only these.")
@click.option("--attention", is_flag=True, help="Only those that need a person.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="How many at the most.")
@_JSON
@click.pass_obj
def list_orders(program: Program, status: str | None, limit: int, *, attention: bool, as_json: bool) -> None:
    """List orders, the newest first."""
    from adapters.cli.orders import print_orders

    program.ask(lambda ask: print_orders(ask, status=status, attention=attention, limit=limit, as_json=as_json))


@orders.command("show")
@click.argument("order_id", metavar="ID")
@_JSON
@click.pass_obj
def show_order(program: Program, order_id: str, *, as_json: bool) -> None:
    """Show one order with its history and refunds."""
    from adapters.cli.orders import print_order

    program.ask(lambda ask: print_order(ask, order_id, as_json=as_json))


@orders.command("refund")
@click.argument("order_id", metavar="ID")
@click.option(
    "--amount", type=click.IntRange(1), help="In minor units of the order's currency; all that is left if left out."
)
@click.option("--reason", required=True, help="Why; PortOne and the payment provider keep it.")
@click.option(
    "--to", "account", metavar="BANK:NUMBER:HOLDER", help="The buyer's account, for money that was sent to one."
)
@click.option("--key", help="Your name for this refund: asked again with it, nothing is asked twice.")
@_JSON
@click.pass_obj
def refund_order(
    program: Program,
    order_id: str,
    *,
    amount: int | None,
    reason: str,
    account: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Give money of a paid order back. The worker carries it out; with --to it is carried out at once."""
    from adapters.cli.refunds import request_refund

    program.ask(
        lambda ask: request_refund(
            ask, order_id, amount=amount, reason=reason, account=account, key=key, as_json=as_json
        )
    )


@orders.command("withdraw-refund")
@click.argument("order_id", metavar="ID")
@click.argument("refund_id", metavar="REFUND")
@_JSON
@click.pass_obj
def withdraw_refund(program: Program, order_id: str, refund_id: str, *, as_json: bool) -> None:
    """Take back a refund that PortOne was not asked for yet, or of which nobody can tell whether it was done."""
    from adapters.cli.refunds import withdraw

    program.ask(lambda ask: withdraw(ask, order_id, refund_id, as_json=as_json))


@orders.command("answer")
@click.argument("order_id", metavar="ID")
@click.option("--note", required=True, help="What was done about it; it stands in the order's history.")
@click.pass_obj
def answer_attention(program: Program, order_id: str, *, note: str) -> None:
    """Say that what an order asks a person about was seen to. It is checked at once, and asks again if it has to."""
    from adapters.cli.orders import answer

    program.ask(lambda ask: answer(ask, order_id, note=note))


@gyeolje.group()
def products() -> None:
    """Say what can be bought."""


@products.command("put")
@click.argument("product_id", metavar="ID")
@click.option("--name", required=True, help="What buyers see.")
@click.option("--price", required=True, type=int, help="In minor units: 355000 is 355,000 won. 0: nothing to pay.")
@click.option("--currency", default="KRW", show_default=True, help="Three letters.")
@click.option("--stock", type=int, help="How many there ever are, those sold and held among them.  [default: as it is]")
@click.option("--unlimited", is_flag=True, help="As many as anybody wants, as with a new product.")
@click.option("--below-held", is_flag=True, help="Let --stock be less than what is sold and held.")
@click.option("--tax-free/--taxed", default=None, help="Without value added tax, or with it.  [default: as it is]")
@click.pass_obj
def put_product(program: Program, /, product_id: str, **said: Any) -> None:
    """Add a product, or change it. What is sold and held of it stays so."""
    from adapters.cli.products import put_product as put

    if said["unlimited"] and said["stock"] is not None:
        refuse("say --stock or --unlimited, and not both")
    program.ask(lambda ask: put(ask, product_id, **said))


@products.command("list")
@_JSON
@click.pass_obj
def list_products(program: Program, *, as_json: bool) -> None:
    """List what can be bought."""
    from adapters.cli.products import print_products

    program.ask(lambda ask: print_products(ask, as_json=as_json))


@gyeolje.group()
def keys() -> None:
    """Let the shop's servers in."""


@keys.command("create")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    help="What it may do: orders:read, orders:write, refunds:write or webhooks:manage. Say it once for each.",
)
@click.option("--test/--live", "is_test", default=None, help="For trials or for money.  [default: live in production]")
@click.option("--expires-in-days", type=int, metavar="N", help="It is good for so long.  [default: until revoked]")
@click.pass_obj
def create_key(
    program: Program, name: str, *, scopes: tuple[str, ...], is_test: bool | None, expires_in_days: int | None
) -> None:
    """Make an API key, and print it this once.

    To replace one, make another of the same NAME; both are good until you revoke the old one.
    """
    from adapters.cli.keys import create

    program.ask(lambda ask: create(ask, name, scopes=scopes, is_test=is_test, days=expires_in_days), quiet=True)


@keys.command("list")
@_JSON
@click.pass_obj
def list_keys(program: Program, *, as_json: bool) -> None:
    """List API keys, the newest first: whose they are, what they may do, and when they were used last, to the hour."""
    from adapters.cli.keys import print_keys

    program.ask(lambda ask: print_keys(ask, as_json=as_json))


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
@click.pass_obj
def revoke_key(program: Program, key_id: str) -> None:
    """Revoke an API key, for good and at once. ID is what `keys list` says, and the third part of the key's text."""
    from adapters.cli.keys import revoke

    program.ask(lambda ask: revoke(ask, key_id))


@gyeolje.command()
@click.option("--since", type=PastMoment(), help="Sweep from then on: 2026-01-31T09:00:00+09:00, 7d, 12h.")
@_JSON
@click.pass_obj
def sweep(program: Program, since: datetime | None, *, as_json: bool) -> None:
    """Ask PortOne what changed, and make due whichever order is not in line with its payment.

    It goes on from where the last sweep got to, and moves no money: the worker checks what is due.
    """
    from adapters.cli.sweep import run_sweep

    program.ask(lambda ask: run_sweep(ask, since=since, as_json=as_json), quiet=True)


@gyeolje.group()
def orphans() -> None:
    """See payments that no order is for."""


@orphans.command("list")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="How many at the most.")
@_JSON
@click.pass_obj
def list_orphans(program: Program, limit: int, *, as_json: bool) -> None:
    """List what sweeps have met, the newest first."""
    from adapters.cli.sweep import print_orphans

    program.ask(lambda ask: print_orphans(ask, limit=limit, as_json=as_json))


@gyeolje.command()
@click.option("--since", type=PastMoment(), help="Begin then: 2026-01-31, 7d, 12h.  [default: 30d]")
@click.option("--until", type=PastMoment(), help="End then.  [default: now]")
@click.option("--full", is_flag=True, help="Begin before the first order, and leave none out.")
@click.option("--resume", metavar="CURSOR", help="Go on where an audit was broken off, as it said then.")
@_JSON
@click.pass_obj
def audit(
    program: Program, since: datetime | None, until: datetime | None, resume: str | None, *, full: bool, as_json: bool
) -> None:
    """Say where each captured won of a period is; the exit code is 1 where something is wrong with any."""
    from adapters.cli.audit import read_cursor, run_audit

    if resume is not None and (since is not None or until is not None or full):
        raise click.UsageError(
            "--resume goes on with the period of the audit that was broken off: leave the others out"
        )
    cursor = read_cursor(resume)

    async def run(ask: UseCases) -> bool:
        return await run_audit(ask, since=since, until=until, full=full, resume=cursor, as_json=as_json)

    end(well=program.ask(run, quiet=True))
