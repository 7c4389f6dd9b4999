"""`gyeolje keys`, over a store in memory."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import pytest
from click.testing import CliRunner, Result

from adapters.cli.commands import gyeolje
from adapters.cli.program import Finding, Program
from adapters.persistence.memory import MemoryStore
from application.api_keys import Authenticate, CreateApiKey, ListApiKeys, RevokeApiKey
from application.use_cases import UseCases
from bootstrap.container import new_id, utc_now
from domain.api_key import Scope

T = TypeVar("T")
WEB = ("create", "web", "--scope", "orders:read", "--scope", "orders:write")


@dataclass(slots=True)
class Till(Program):
    """A process that has API keys and nothing else."""

    in_production: bool = False
    store: MemoryStore = field(default_factory=MemoryStore)

    def ask(self, work: Callable[[UseCases], Coroutine[Any, Any, T]], *, quiet: bool = False) -> T:
        use_cases = SimpleNamespace(
            create_api_key=CreateApiKey(self.store, utc_now, new_id, in_production=self.in_production),
            list_api_keys=ListApiKeys(self.store, utc_now),
            revoke_api_key=RevokeApiKey(self.store, utc_now),
        )
        return asyncio.run(work(cast("UseCases", use_cases)))

    def keys(self, *arguments: str) -> Result:
        return CliRunner().invoke(gyeolje, ["keys", *arguments], obj=self, catch_exceptions=False)

    def kept(self) -> list[dict[str, Any]]:
        return cast("list[dict[str, Any]]", json.loads(self.keys("list", "--json").stdout)["items"])

    async def let_in(self, text: str) -> str:
        authenticate = Authenticate(self.store, utc_now, in_production=self.in_production)
        return (await authenticate(text, Scope.ORDERS_READ)).name

    def serve(
        self, host: str, port: int, *, processes: int, with_worker: bool, listening: Callable[[str], None]
    ) -> int:
        raise NotImplementedError

    def work(self) -> None:
        raise NotImplementedError

    def migrate(self) -> None:
        raise NotImplementedError

    def examine(self) -> list[Finding]:
        raise NotImplementedError


@pytest.fixture
def till() -> Till:
    return Till()


def test_a_key_is_printed_alone_and_once(till: Till) -> None:
    created = till.keys(*WEB)
    assert created.exit_code == 0
    text = created.stdout.removesuffix("\n")
    assert re.fullmatch(r"gyj_test_[0-9a-f]{32}_[0-9a-f]{72}", text)
    assert asyncio.run(till.let_in(text)) == "key:web"

    secret = text.split("_")[3]
    for said in (created.stderr, till.keys("list").stdout, till.keys("list", "--json").stdout):
        assert secret[:64] not in said
        assert text.split("_")[2] in said, "its id is no secret"


def test_a_key_is_listed_with_all_that_is_known_of_it(till: Till) -> None:
    text = till.keys(*WEB, "--expires-in-days", "30").stdout
    [key] = till.kept()
    created = datetime.fromisoformat(key["createdAt"])
    assert abs(utc_now() - created) < timedelta(minutes=1)
    assert datetime.fromisoformat(key["expiresAt"]) == created + timedelta(days=30)
    assert key | {"createdAt": 0, "expiresAt": 0} == {
        "id": text.split("_")[2],
        "name": "web",
        "kind": "test",
        "state": "live",
        "scopes": ["orders:read", "orders:write"],
        "createdAt": 0,
        "expiresAt": 0,
        "revokedAt": None,
        "lastUsedAt": None,
    }
    table = till.keys("list").stdout
    for said in (key["id"], "web", "test", "live", "orders:read orders:write", key["createdAt"], key["expiresAt"]):
        assert said in table


def test_the_hour_of_its_last_use_is_listed(till: Till) -> None:
    asyncio.run(till.let_in(till.keys(*WEB).stdout.strip()))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:00:00.000Z", till.kept()[0]["lastUsedAt"])


def test_a_revoked_key_is_listed_as_that(till: Till) -> None:
    till.keys(*WEB)
    [key] = till.kept()
    revoked = till.keys("revoke", key["id"])
    assert (revoked.exit_code, revoked.stdout) == (0, f"the key {key['id']} of web is good for nothing any more\n")
    [after] = till.kept()
    assert after == key | {"state": "revoked", "revokedAt": after["revokedAt"]}
    assert after["revokedAt"] is not None
    assert till.keys("revoke", key["id"]).exit_code == 0
    assert till.kept() == [after]


def test_two_keys_have_one_name_while_one_is_replaced(till: Till) -> None:
    old, new = (till.keys(*WEB).stdout.strip() for _ in range(2))
    till.keys("revoke", old.split("_")[2])
    assert [(key["name"], key["state"]) for key in till.kept()] == [("web", "live"), ("web", "revoked")]
    assert asyncio.run(till.let_in(new)) == "key:web"


@pytest.mark.parametrize(
    ("in_production", "said", "kind"),
    [(False, [], "test"), (False, ["--live"], "live"), (True, [], "live"), (True, ["--live"], "live")],
)
def test_a_key_is_for_where_it_is_made_unless_it_is_said(in_production: bool, said: list[str], kind: str) -> None:
    till = Till(in_production=in_production)
    assert till.keys(*WEB, *said).stdout.startswith(f"gyj_{kind}_")
    assert till.kept()[0]["kind"] == kind


HIDDEN = "has control characters or hidden ones, or spaces at its ends"
SCOPES = "orders:read, orders:write, refunds:write, webhooks:manage"
LIFE = "a key expires in 1 to 3650 days, or never"
READ = ["--scope", "orders:read"]
WRONG = {
    "no name": (["", *READ], "a key's name has 1 to 64 characters, and not 0"),
    "a long name": (["x" * 65, *READ], "a key's name has 1 to 64 characters, and not 65"),
    "a tab": (["a\tb", *READ], f"the name 'a\\tb' {HIDDEN}"),
    "a line break": (["a\nb", *READ], f"the name 'a\\nb' {HIDDEN}"),
    "an escape": (["a\x1b[31mb", *READ], f"the name 'a\\x1b[31mb' {HIDDEN}"),
    "a turn of direction": (["a\u202eb", *READ], f"the name 'a\\u202eb' {HIDDEN}"),
    "no scope": (["web"], "a key has at least one scope"),
    "an unknown scope": (["web", *READ, "--scope", "orders"], f"'orders' is no scope: say one or more of {SCOPES}"),
    "a scope in capitals": (
        ["web", "--scope", "ORDERS:READ"],
        f"'ORDERS:READ' is no scope: say one or more of {SCOPES}",
    ),
    "a scope with an escape": (["web", "--scope", "\x1b[0m"], f"'\\x1b[0m' is no scope: say one or more of {SCOPES}"),
    "no day": (["web", *READ, "--expires-in-days", "0"], LIFE),
    "less than no day": (["web", *READ, "--expires-in-days", "-1"], LIFE),
    "too many days": (["web", *READ, "--expires-in-days", "3651"], LIFE),
    "more days than there are": (["web", *READ, "--expires-in-days", str(10**30)], LIFE),
}


@pytest.mark.parametrize(("said", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_what_no_key_may_have_is_refused_in_one_sentence_and_not_kept(
    till: Till, said: list[str], sentence: str
) -> None:
    refused = till.keys("create", *said)
    assert (refused.exit_code, refused.stdout, refused.stderr) == (2, "", f"error: {sentence}\n")
    assert till.kept() == []


def test_no_test_key_is_made_in_production() -> None:
    till = Till(in_production=True)
    refused = till.keys(*WEB, "--test")
    assert refused.exit_code == 2
    assert refused.stderr == "error: a test key is refused in production, so none is made there\n"
    assert till.kept() == []


def test_what_is_no_id_of_a_key_revokes_nothing_and_is_not_said_again(till: Till) -> None:
    text = till.keys(*WEB).stdout.strip()
    refused = till.keys("revoke", text)
    assert refused.exit_code == 2
    assert refused.stderr == "error: there is no API key of this id; `gyeolje keys list` says the ids\n"
    assert [key["state"] for key in till.kept()] == ["live"]


def test_a_number_of_days_is_a_number(till: Till) -> None:
    refused = till.keys(*WEB, "--expires-in-days", "soon")
    assert (refused.exit_code, refused.stdout) == (2, "")


def test_where_there_is_no_key_the_list_is_empty(till: Till) -> None:
    assert till.keys("list").exit_code == 0
    assert till.kept() == []
