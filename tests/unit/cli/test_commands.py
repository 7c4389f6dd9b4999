"""The tree of commands over a process that only notes what it is asked for."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import pytest
from click.testing import CliRunner, Result

from adapters.cli.commands import gyeolje
from adapters.cli.extras import installed_demo
from adapters.cli.printing import counted, shown, time_text
from adapters.cli.program import Finding, Program
from adapters.persistence.memory import MemoryStore
from application.put_product import PutProduct
from application.read_order import ListOrders, ListOrphans, ListProducts, ShowOrder
from application.use_cases import UseCases
from domain.ids import ProductId
from domain.money import Money

T = TypeVar("T")
HEAVY = {"sqlalchemy", "litestar", "httpx", "uvicorn", "uvloop", "alembic", "structlog", "dependency_injector"}


@dataclass(slots=True)
class NotedProcess(Program):
    """Over a store in memory; ``asked`` is what else it was to do."""

    store: MemoryStore = field(default_factory=MemoryStore)
    findings: list[Finding] = field(default_factory=list)
    asked: list[Any] = field(default_factory=list)

    def ask(self, work: Callable[[UseCases], Coroutine[Any, Any, T]], *, quiet: bool = False) -> T:
        use_cases = SimpleNamespace(
            list_products=ListProducts(self.store),
            put_product=PutProduct(self.store),
            list_orders=ListOrders(self.store),
            show_order=ShowOrder(self.store),
            list_orphans=ListOrphans(self.store),
        )
        return asyncio.run(work(cast("UseCases", use_cases)))

    def serve(
        self, host: str, port: int, *, processes: int, with_worker: bool, listening: Callable[[str], None]
    ) -> int:
        self.asked.append((host, port, processes, with_worker))
        listening(f"http://{host}:{port}")
        return 3

    def work(self) -> None:
        self.asked.append("work")

    def migrate(self) -> None:
        self.asked.append("migrate")

    def examine(self) -> list[Finding]:
        return self.findings


def run(process: NotedProcess, *arguments: str) -> Result:
    return CliRunner().invoke(gyeolje, arguments, obj=process, catch_exceptions=False)


def test_a_product_is_put_and_listed() -> None:
    process = NotedProcess()
    assert run(process, "products", "put", "tea", "--name", "차", "--price", "4500", "--stock", "3").exit_code == 0
    assert run(process, "products", "put", "poster", "--name", "Poster", "--price", "900").exit_code == 0
    table = run(process, "products", "list").stdout
    assert "4,500 KRW" in table
    assert "∞" in table
    items = json.loads(run(process, "products", "list", "--json").stdout)["items"]
    price = {"amount": 4500, "currency": "KRW"}
    tea = {"id": "tea", "name": "차", "price": price, "taxFree": False, "available": 3, "stock": 3, "held": 0}
    assert tea in items


PUT = ("products", "put", "tea", "--name", "차", "--price", "4500")


def kept(process: NotedProcess) -> dict[str, Any]:
    [item] = json.loads(run(process, "products", "list", "--json").stdout)["items"]
    return cast("dict[str, Any]", item)


async def hold(process: NotedProcess, quantity: int) -> None:
    async with process.store.writing() as unit:
        await unit.catalog.hold(ProductId("tea"), quantity)
        await unit.commit()


def test_what_a_command_does_not_say_of_a_product_stays_as_it_is() -> None:
    process = NotedProcess()
    run(process, *PUT, "--stock", "3", "--tax-free")
    run(process, *PUT)
    assert (kept(process)["stock"], kept(process)["taxFree"]) == (3, True)
    run(process, *PUT, "--unlimited", "--taxed")
    assert (kept(process)["stock"], kept(process)["taxFree"]) == (None, False)
    run(process, *PUT)
    assert kept(process)["available"] is None


def test_a_stock_below_what_is_held_is_refused_unless_it_is_meant() -> None:
    process = NotedProcess()
    run(process, *PUT, "--stock", "3")
    asyncio.run(hold(process, 2))
    refused = run(process, *PUT, "--stock", "1")
    assert refused.exit_code == 2
    assert refused.stderr == (
        "error: 2 of 'tea' are sold or held, which is more than a stock of 1; "
        "say --below-held if no more is to be sold until some of them come back\n"
    )
    assert (kept(process)["stock"], kept(process)["held"], kept(process)["available"]) == (3, 2, 1)
    assert run(process, *PUT, "--stock", "1", "--below-held").exit_code == 0
    assert (kept(process)["stock"], kept(process)["held"], kept(process)["available"]) == (1, 2, 0)


def test_a_product_may_cost_nothing() -> None:
    process = NotedProcess()
    assert run(process, "products", "put", "invitation", "--name", "초대권", "--price", "0").exit_code == 0
    assert kept(process)["price"] == {"amount": 0, "currency": "KRW"}


NEVER = [
    ({"id": ""}, "error: an id has 1 to 64 characters, and not 0\n"),
    ({"id": "x" * 65}, "error: an id has 1 to 64 characters, and not 65\n"),
    ({"id": "a\tb"}, "error: the id 'a\\tb' has control characters in it, or spaces at its ends\n"),
    ({"--name": "  "}, "error: a product has a name that buyers can see\n"),
    ({"--name": "a\x07"}, "error: the name 'a\\x07' has control characters in it\n"),
    ({"--price": "-1"}, "error: -1 is not a whole number of minor units from 0 to 1000000000000000\n"),
    ({"--price": str(10**15 + 1)}, "error: 1000000000000001 is not a whole number of minor units from 0 to 10"),
    ({"--currency": "krw"}, "error: 'krw' is not a three-letter currency code\n"),
    ({"--stock": str(2**63)}, "error: there can be from 0 to 9223372036854775807 of a product, and not 92"),
    ({"--stock": "-1"}, "error: there can be from 0 to 9223372036854775807 of a product, and not -1\n"),
    ({"--stock": "1", "--unlimited": None}, "error: say --stock or --unlimited, and not both\n"),
]


@pytest.mark.parametrize(("said", "sentence"), NEVER)
def test_what_could_never_be_bought_is_refused_in_one_sentence_and_not_kept(
    said: dict[str, str | None], sentence: str
) -> None:
    process = NotedProcess()
    usual: dict[str, str | None] = {"id": "tea", "--name": "차", "--price": "4500"}
    options = usual | said
    words = [word for name, value in options.items() if name != "id" for word in (name, value) if word is not None]
    refused = run(process, "products", "put", *words, "--", str(options["id"]))
    assert refused.exit_code == 2
    assert refused.stderr.startswith(sentence)
    assert refused.stderr.count("\n") == 1
    assert refused.stdout == ""
    assert json.loads(run(process, "products", "list", "--json").stdout) == {"items": []}


@pytest.mark.parametrize("name", ["[/b]", "[red]차[/red]", ":tea:"])
def test_what_is_listed_is_shown_letter_by_letter(name: str) -> None:
    process = NotedProcess()
    assert run(process, "products", "put", "tea", "--name", name, "--price", "4500").exit_code == 0
    assert name in run(process, "products", "list").stdout


@pytest.mark.parametrize("listing", [("orders", "list"), ("orphans", "list"), ("products", "list")])
def test_every_listing_is_json_if_it_is_asked_to_be(listing: tuple[str, ...]) -> None:
    assert json.loads(run(NotedProcess(), *listing, "--json").stdout) == {"items": []}


def test_a_service_is_told_what_was_said_and_says_where_it_listens() -> None:
    process = NotedProcess()
    served = run(process, "serve", "--host", "0.0.0.0", "--port", "81", "--workers", "3", "--no-worker")  # noqa: S104
    assert served.exit_code == 3, "what the process ends with"
    assert served.stderr == "serving on http://0.0.0.0:81\n"
    run(process, "worker")
    assert process.asked == [("0.0.0.0", 81, 3, False), "work"]  # noqa: S104


def test_migrating_says_that_older_processes_must_be_stopped_first() -> None:
    process = NotedProcess()
    assert run(process, "migrate").stdout == "the schema is up to date\n"
    assert process.asked == ["migrate"]
    said = " ".join(run(process, "migrate", "--help").stdout.replace("│", " ").split())
    assert "Stop the processes of the older version first" in said
    assert "its webhooks get 503" in said


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_the_doctors_exit_code_says_whether_all_is_well(as_json: tuple[str, ...]) -> None:
    well = Finding(what="database", ok=True, says="answers")
    ill = Finding(what="clock", ok=False, says="+90 s from the gateway's")
    assert run(NotedProcess(findings=[well]), "doctor", *as_json).exit_code == 0
    examined = run(NotedProcess(findings=[well, ill]), "doctor", *as_json)
    assert examined.exit_code == 1
    assert "+90 s" in examined.stdout


def test_a_demo_is_found_where_it_registered_itself_and_only_there() -> None:
    assert callable(installed_demo())
    assert installed_demo("gyeolje.nothing") is None


@pytest.mark.parametrize("said", [(), ("--help",), ("--version",), ("serve", "--help"), ("sweep", "--help")])
def test_help_waits_for_nothing_heavy(said: tuple[str, ...]) -> None:
    code = "import sys\nfrom bootstrap.main import main\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
    code += "print(*sys.modules, file=sys.stderr)"
    ended = subprocess.run([sys.executable, "-c", code, *said], capture_output=True, text=True, check=True)  # noqa: S603
    assert HEAVY & set(ended.stderr.split()) == set()


def test_money_moments_and_numbers_are_shown_in_one_way() -> None:
    assert shown(Money(1_234_500, "KRW")) == "1,234,500 KRW"
    assert time_text(datetime(2026, 1, 31, 9, 0, 0, 123_456, tzinfo=UTC)) == "2026-01-31T09:00:00.123Z"
    assert [counted(1, "order"), counted(2_000, "order")] == ["1 order", "2,000 orders"]
