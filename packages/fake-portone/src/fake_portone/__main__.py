"""The command ``fake-portone``, and ``python -m fake_portone``."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import click

from fake_portone.defaults import (
    DEFAULT_API_SECRET,
    DEFAULT_STORE_ID,
    DEFAULT_WEBHOOK_SECRET,
    DEFAULT_WEBHOOK_URL,
)
from fake_portone.fake import FakePortOneSettings
from fake_portone.script import Scenario, ScenarioError, read_scenario
from fake_portone.serve import run_fake
from fake_portone.webhooks import sign


def main() -> None:
    """Run the command; every foreseen failure is one sentence and an exit code."""
    try:
        fake_portone(prog_name="fake-portone")
    except (OSError, RuntimeError) as error:
        _tell(f"error: {error}")
        sys.exit(1)


def _signing(_: click.Context, parameter: click.Parameter, secret: str) -> str:
    """The secret, if webhooks can be signed with it."""
    try:
        sign(secret, "", 0, b"")
    except ValueError:
        raise click.BadParameter("not whsec_ and base64", param=parameter) from None
    return secret


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fake-portone")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8100, show_default=True, help="Port to listen on; 0 takes any free one, and names it.")
@click.option(
    "--api-secret",
    envvar="FAKE_PORTONE_API_SECRET",
    default=DEFAULT_API_SECRET,
    show_default=True,
    show_envvar=True,
    help="The secret it asks for.",
)
@click.option(
    "--store-id",
    envvar="FAKE_PORTONE_STORE_ID",
    default=DEFAULT_STORE_ID,
    show_default=True,
    show_envvar=True,
    help="The store whose payments it keeps.",
)
@click.option(
    "--webhook-url",
    envvar="FAKE_PORTONE_WEBHOOK_URL",
    default=DEFAULT_WEBHOOK_URL,
    show_default=True,
    show_envvar=True,
    help="Where it sends webhooks.",
)
@click.option(
    "--webhook-secret",
    envvar="FAKE_PORTONE_WEBHOOK_SECRET",
    default=DEFAULT_WEBHOOK_SECRET,
    show_default=True,
    show_envvar=True,
    callback=_signing,
    help="What it signs them with.",
)
@click.option("--speed", default=60.0, show_default=True, help="How much faster than real its retries' clock runs.")
@click.option("--seed", default=0, show_default=True, help="Seed of everything that is left to chance.")
@click.option(
    "--scenario",
    "scenario_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Play this story, then stop: exit code 0 if it went as it should, 1 if not, 2 if the file is none.",
)
@click.option("--stay", is_flag=True, help="Keep serving after the story.")
def fake_portone(
    *,
    host: str,
    port: int,
    api_secret: str,
    store_id: str,
    webhook_url: str,
    webhook_secret: str,
    speed: float,
    seed: int,
    scenario_file: Path | None,
    stay: bool,
) -> None:
    """Run a fake PortOne: its REST API, its signed webhooks, and `/_fake/` to play the buyer and the faults."""
    _refuse_production()
    if stay and scenario_file is None:
        raise click.UsageError("--stay goes with --scenario")
    scenario = _read(scenario_file) if scenario_file else None
    settings = FakePortOneSettings(
        api_secret=api_secret,
        store_id=store_id,
        webhook_url=webhook_url,
        webhook_secret=webhook_secret,
        speed=speed,
        seed=seed,
    )
    sys.exit(asyncio.run(run_fake(settings, host=host, port=port, tell=_tell, scenario=scenario, stay=stay)))


def _refuse_production() -> None:
    if os.environ.get("GYEOLJE_ENV") == "production":
        _tell("error: GYEOLJE_ENV=production: the fake takes no money and does not run there")
        sys.exit(1)


def _read(scenario_file: Path) -> Scenario:
    try:
        return read_scenario(scenario_file)
    except ScenarioError as error:
        _tell(f"error: {error}")
        sys.exit(2)


def _tell(line: str) -> None:
    click.echo(line, err=True)


if __name__ == "__main__":
    main()
