"""The command line. Each command imports what it needs, so that none waits for what another needs."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Coroutine
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click

from adapters.cli.moments import PastMoment
from bootstrap.settings import (
    FAKE_API_SECRET,
    FAKE_STORE_ID,
    FAKE_WEBHOOK_SECRET,
    SettingsError,
    read_settings,
)

T = TypeVar("T")

_HOST = click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def main() -> None:
    """Run a command; every foreseen failure is one sentence and exit code 1."""
    from application.errors import GatewayError, StoreUnavailableError
    from domain.errors import GyeoljeError

    try:
        gyeolje(standalone_mode=True)
    except SettingsError as error:
        for problem in error.problems:
            click.echo(f"error: {problem}", err=True)
        sys.exit(1)
    except (GyeoljeError, StoreUnavailableError, GatewayError, OSError, RuntimeError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)


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
    from bootstrap.demo import play_once, run_demo

    sys.exit(_run(play_once(), least=logging.WARNING) if once else _run(run_demo(host, port)))


@gyeolje.command()
@_HOST
@click.option("--port", default=8000, show_default=True, help="Port to listen on.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="How many processes.")
@click.option("--no-worker", is_flag=True, help="Leave due orders to `gyeolje worker`.")
def serve(host: str, port: int, workers: int, *, no_worker: bool) -> None:
    """Run the service, and a worker inside it."""
    from adapters.http.serving import address, listen
    from bootstrap import service
    from bootstrap.container import Container
    from bootstrap.processes import serve_in_processes

    settings = read_settings()
    sock = listen(host, port)
    click.echo(f"serving on {address(sock)}", err=True)
    if workers > 1:
        sys.exit(serve_in_processes(sock, workers, with_worker=not no_worker))
    _run(service.serve(Container(settings=settings), sock, with_worker=not no_worker))


@gyeolje.command()
def worker() -> None:
    """Check due orders: retries, lost webhooks, expiry, refunds."""
    from bootstrap import service
    from bootstrap.container import Container

    _run(service.work_alone(Container(settings=read_settings())))


@gyeolje.command()
def migrate() -> None:
    """Bring the database's schema up to date."""
    from adapters.persistence.engine import create_engine
    from adapters.persistence.engine import migrate as bring_up_to_date

    settings = read_settings()

    async def run() -> None:
        engine = create_engine(settings.database_url)
        try:
            await bring_up_to_date(engine)
        finally:
            await engine.dispose()

    _run(run())
    click.echo("the schema is up to date")


@gyeolje.command("fake-portone")
@_HOST
@click.option("--port", default=8100, show_default=True, help="Port to listen on.")
@click.option("--api-secret", default=FAKE_API_SECRET, show_default=True, help="The secret it asks for.")
@click.option("--store-id", default=FAKE_STORE_ID, show_default=True, help="The store whose payments it keeps.")
@click.option(
    "--webhook-url",
    default="http://127.0.0.1:8000/api/v1/webhooks/portone",
    show_default=True,
    help="Where it sends webhooks.",
)
@click.option("--webhook-secret", default=FAKE_WEBHOOK_SECRET, show_default=True, help="What it signs them with.")
@click.option("--speed", default=60.0, show_default=True, help="How much faster than real its retries' clock runs.")
@click.option("--seed", default=0, show_default=True, help="Seed of everything that is left to chance.")
@click.option(
    "--scenario",
    "scenario_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Play this story, then stop: exit code 0 if it went as it should, 1 if not, 2 if the file is none.",
)
@click.option("--stay", is_flag=True, help="Keep serving after the story.")
def fake_portone(scenario_file: Path | None, *, stay: bool, **options: Any) -> None:
    """Run a fake PortOne: its REST API, its signed webhooks, and `/_fake/` to play the buyer and the faults."""
    from fake_portone.script import ScenarioError, read_scenario
    from fake_portone.serve import run_fake

    if _in_production():
        raise SettingsError(["GYEOLJE_ENV=production: the fake takes no money and does not run there"])
    if stay and scenario_file is None:
        raise click.UsageError("--stay goes with --scenario")
    try:
        scenario = read_scenario(scenario_file) if scenario_file else None
    except ScenarioError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    sys.exit(_run(run_fake(**options, scenario=scenario, stay=stay)))


@gyeolje.command()
@_JSON
def doctor(*, as_json: bool) -> None:
    """Check settings, database, gateway and clock; secrets are shown as fingerprints only."""
    from bootstrap.doctor import examine, report

    findings = _run(examine())
    report(findings, as_json=as_json)
    sys.exit(0 if all(finding.ok for finding in findings) else 1)


@gyeolje.group()
def orders() -> None:
    """Check orders."""


@orders.command("list")
@click.option("--status", type=click.Choice(["PENDING", "COMPLETED", "CANCELLED"]), help="Only these.")
@click.option("--attention", is_flag=True, help="Only those that need a person.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="How many at the most.")
@_JSON
def list_orders(status: str | None, limit: int, *, attention: bool, as_json: bool) -> None:
    """List orders, the newest first."""
    from adapters.cli.operator import print_orders

    _run(print_orders(read_settings(), status=status, attention=attention, limit=limit, as_json=as_json))


@orders.command("show")
@click.argument("order_id", metavar="ID")
@_JSON
def show_order(order_id: str, *, as_json: bool) -> None:
    """Show one order with its history and refunds."""
    from adapters.cli.operator import print_order

    _run(print_order(read_settings(), order_id, as_json=as_json))


@gyeolje.group()
def products() -> None:
    """Say what can be bought."""


@products.command("put")
@click.argument("product_id", metavar="ID")
@click.option("--name", required=True, help="What buyers see.")
@click.option("--price", required=True, type=click.IntRange(1), help="In minor units: 355000 is 355,000 won.")
@click.option("--currency", default="KRW", show_default=True, help="Three letters.")
@click.option("--stock", type=click.IntRange(0), help="How many there are to sell; without limit if left out.")
def put_product(product_id: str, name: str, price: int, currency: str, stock: int | None) -> None:
    """Add a product, or replace it, stock included."""
    from adapters.cli.operator import put_product as put

    _run(put(read_settings(), product_id, name=name, price=price, currency=currency, stock=stock))


@products.command("list")
@_JSON
def list_products(*, as_json: bool) -> None:
    """List what can be bought."""
    from adapters.cli.operator import print_products

    _run(print_products(read_settings(), as_json=as_json))


@gyeolje.command()
@click.option("--since", type=PastMoment(), help="Sweep from then on: 2026-01-31T09:00:00+09:00, 7d, 12h.")
@_JSON
def sweep(since: datetime | None, *, as_json: bool) -> None:
    """Ask PortOne what changed, and make due whichever order is not in line with its payment.

    It goes on from where the last sweep got to, and moves no money: the worker checks what is due.
    """
    from adapters.cli.reconcile import run_sweep

    _run(run_sweep(read_settings(), since=since, as_json=as_json), least=logging.WARNING)


@gyeolje.group()
def orphans() -> None:
    """Check payments that no order is for."""


@orphans.command("list")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="How many at the most.")
@_JSON
def list_orphans(limit: int, *, as_json: bool) -> None:
    """List what sweeps have met, the newest first."""
    from adapters.cli.reconcile import print_orphans

    _run(print_orphans(read_settings(), limit=limit, as_json=as_json))


@gyeolje.command()
@click.option("--since", type=PastMoment(), help="Begin then: 2026-01-31, 7d, 12h.  [default: 30d]")
@click.option("--until", type=PastMoment(), help="End then.  [default: now]")
@_JSON
def audit(since: datetime | None, until: datetime | None, *, as_json: bool) -> None:
    """Say where each captured won of a period is; the exit code is 1 where something is unexplained."""
    from adapters.cli.reconcile import run_audit

    work = run_audit(read_settings(), since=since, until=until, as_json=as_json)
    sys.exit(0 if _run(work, least=logging.WARNING) else 1)


def _in_production() -> bool:
    import os

    return os.environ.get("GYEOLJE_ENV") == "production"


def _run(work: Coroutine[Any, Any, T], *, least: int = logging.INFO) -> T:
    from bootstrap.logs import configure_logs

    configure_logs(least=least)
    try:
        import uvloop
    except ImportError:  # not made for Windows
        return asyncio.run(work)
    return uvloop.run(work)
