"""The command ``fake-portone``, as somebody would start it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

import fake_portone as package
from fake_portone.__main__ import fake_portone

PATIENCE = 30.0
ADDRESS = re.compile(r"on (http://\S+);")
NOTHING_HAPPENS = """
title = "Nothing happens"
[[step]]
do = "expect_totals"
currency = "KRW"
net = 0
"""
SOMETHING_HAPPENS = NOTHING_HAPPENS.replace("net = 0", "net = 1\ntimeout = 0.1")
A_PAYMENT_COMES = 'title = "A payment"\ntimeout = 60\n[[step]]\ndo = "await_payment"\npayment = "one"\n'


@dataclass(slots=True)
class Started:
    """A command under way."""

    process: asyncio.subprocess.Process

    async def line(self) -> str:
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            return (await self.process.stderr.readline()).decode()

    async def url(self) -> str:
        said = await self.line()
        found = ADDRESS.search(said)
        assert found is not None, said
        return found[1]

    async def ended(self) -> tuple[int, str]:
        """The exit code, and what it said since."""
        async with asyncio.timeout(PATIENCE):
            _, said = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, said.decode()


Start = Callable[..., Any]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts the command; whatever still runs at the end of the test is killed."""
    running: list[asyncio.subprocess.Process] = []

    async def started(*options: str, **variables: str) -> Started:
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("GYEOLJE_", "FAKE_PORTONE_"))}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "fake_portone", "--port", "0", *options),
            env=kept | variables,
            stderr=asyncio.subprocess.PIPE,
        )
        running.append(process)
        return Started(process)

    yield started
    for process in running:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@asynccontextmanager
async def asking(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=PATIENCE) as http:
        yield http


def options_of(*arguments: str) -> dict[str, Any]:
    """What the command would run with."""
    return fake_portone.make_context("fake-portone", list(arguments)).params


def story(tmp_path: Path, text: str) -> str:
    path = tmp_path / "story.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


# --- options ---


@pytest.mark.parametrize(
    ("variable", "option"),
    [
        ("FAKE_PORTONE_API_SECRET", "api_secret"),
        ("FAKE_PORTONE_STORE_ID", "store_id"),
        ("FAKE_PORTONE_WEBHOOK_URL", "webhook_url"),
        ("FAKE_PORTONE_WEBHOOK_SECRET", "webhook_secret"),
    ],
)
def test_a_variable_stands_in_for_an_option_that_is_not_given(
    monkeypatch: pytest.MonkeyPatch, variable: str, option: str
) -> None:
    monkeypatch.setenv(variable, "whsec_dGhlaXJz")
    said = f"--{option.replace('_', '-')}"
    assert options_of()[option] == "whsec_dGhlaXJz"
    assert options_of(said, "whsec_b3Vycw==")[option] == "whsec_b3Vycw=="


def test_what_is_not_said_is_what_the_package_names_as_its_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith("FAKE_PORTONE_")]:
        monkeypatch.delenv(variable)
    options = options_of()
    assert {name: options[name] for name in ("api_secret", "store_id", "webhook_url", "webhook_secret")} == {
        "api_secret": package.DEFAULT_API_SECRET,
        "store_id": package.DEFAULT_STORE_ID,
        "webhook_url": package.DEFAULT_WEBHOOK_URL,
        "webhook_secret": package.DEFAULT_WEBHOOK_SECRET,
    }
    assert (options["host"], options["port"], options["speed"], options["seed"]) == ("127.0.0.1", 8100, 60.0, 0)


def test_it_says_its_version() -> None:
    said = CliRunner().invoke(fake_portone, ["--version"], prog_name="fake-portone")
    assert (said.exit_code, said.output) == (0, f"fake-portone, version {version('fake-portone')}\n")


def test_a_secret_that_signs_nothing_is_refused_and_not_repeated() -> None:
    refused = CliRunner().invoke(fake_portone, ["--webhook-secret", "no base64!"])
    assert refused.exit_code == 2
    assert "not whsec_ and base64" in refused.output
    assert "no base64!" not in refused.output


def test_staying_goes_with_a_story() -> None:
    refused = CliRunner().invoke(fake_portone, ["--stay"])
    assert (refused.exit_code, "--stay goes with --scenario" in refused.output) == (2, True)


# --- serving ---


async def test_the_secret_of_the_environment_is_the_one_it_asks_for(start: Start) -> None:
    started = await start(FAKE_PORTONE_API_SECRET="theirs")
    async with asking(await started.url()) as http:
        right = await http.get("/payments/p", headers={"authorization": "PortOne theirs"})
        wrong = await http.get("/payments/p", headers={"authorization": f"PortOne {package.DEFAULT_API_SECRET}"})
    assert (right.status_code, wrong.status_code) == (404, 401)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_well_while_a_page_is_open(start: Start, number: signal.Signals) -> None:
    started = await start()
    async with asking(await started.url()) as http, http.stream("GET", "/_fake/events") as page:
        lines = page.aiter_lines()
        while await anext(lines) != "event: snapshot":
            pass
        started.process.send_signal(number)
        rest = [line async for line in lines]
    assert rest[-1] == ""
    assert (await started.ended())[0] == 0


async def test_it_does_not_run_in_production(start: Start) -> None:
    started = await start(GYEOLJE_ENV="production")
    said = "error: GYEOLJE_ENV=production: the fake takes no money and does not run there\n"
    assert await started.ended() == (1, said)


async def test_a_port_that_is_taken_is_one_sentence(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        started = await start("--port", str(taken.getsockname()[1]))
        code, said = await started.ended()
    assert code == 1
    assert re.fullmatch(r"error: .*[Aa]ddress already in use\n", said)


# --- stories ---


@pytest.mark.parametrize(("text", "code"), [(NOTHING_HAPPENS, 0), (SOMETHING_HAPPENS, 1)])
async def test_a_story_says_by_its_exit_code_whether_it_went_well(
    start: Start, tmp_path: Path, text: str, code: int
) -> None:
    started = await start("--scenario", story(tmp_path, text))
    ended, said = await started.ended()
    assert (ended, "[1/1] expect_totals" in said) == (code, True)


async def test_after_a_story_it_goes_on_where_it_is_to_stay(start: Start, tmp_path: Path) -> None:
    started = await start("--stay", "--scenario", story(tmp_path, NOTHING_HAPPENS))
    url = await started.url()
    while "as it should" not in await started.line():
        pass
    async with asking(url) as http:
        assert (await http.get("/_fake/ledger")).status_code == 200
    started.process.terminate()
    assert (await started.ended())[0] == 0


async def test_a_story_that_is_stopped_did_not_go_well(start: Start, tmp_path: Path) -> None:
    started = await start("--scenario", story(tmp_path, A_PAYMENT_COMES))
    while "[1/1]" not in await started.line():
        pass
    started.process.terminate()
    code, said = await started.ended()
    assert (code, "stopped before the story was over" in said) == (1, True)


async def test_a_file_that_is_no_story_is_refused_before_anything_is_served(start: Start, tmp_path: Path) -> None:
    path = story(tmp_path, 'title = "Nothing"\n')
    started = await start("--scenario", path)
    code, said = await started.ended()
    assert (code, said.startswith(f"error: {path}: ")) == (2, True)
