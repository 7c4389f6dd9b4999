"""The running service against its own description: schemathesis makes requests from it and judges the answers.

It runs as a command, as anybody would run it, so that neither its plugin nor its warnings meet the other tests.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

if TYPE_CHECKING:
    from proof import Cases

SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))

STRANGER = """
# 97.0 is an integer in JSON Schema, and no quantity; a webhook that PortOne did not sign is refused
[[operations]]
include-method = "POST"
include-path-regex = "^/api/v1/(orders|webhooks/portone)$"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 404, 409, 422]
"""

# Without its token an order is unknown: a 404 where the tool would like a 401. An order that is over has a stream that
# ends; that of a pending one would not.
BUYER = (
    STRANGER
    + """
[checks]
missing_required_header.enabled = false
ignored_auth.enabled = false
[parameters]
"path.order_id" = "{pending[order][id]}"
[headers]
Authorization = "Bearer {pending[token]}"
[[operations]]
include-path = "/api/v1/orders/{{order_id}}/events"
parameters = {{ "path.order_id" = "{over[order][id]}" }}
headers = {{ Authorization = "Bearer {over[token]}" }}
[[operations]]
include-path = "/api/v1/orders/{{order_id}}/return"
parameters = {{ "query.ticket" = "{ticket}" }}
"""
)


@dataclass(slots=True)
class Judged:
    """What the tool found."""

    code: int
    cases: int
    said: str


async def judge(url: str, config: str, folder: Path, *, most: int) -> Judged:
    file = folder / "schemathesis.toml"
    file.write_text(config)
    process = await asyncio.create_subprocess_exec(
        *(SCHEMATHESIS, "--no-color", "--config-file", str(file), "run", f"{url}/schema"),
        *("--generation-deterministic", "--continue-on-failure", "--request-timeout", "10"),
        *("--max-examples", str(most), "--warnings", "off"),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    said = out.decode()
    generated = re.search(r"(\d+) generated", said)
    assert generated, said
    return Judged(await process.wait(), int(generated[1]), said)


@pytest.mark.proves("No hostile request gets a 5xx or an undocumented answer")
@pytest.mark.parametrize("who", ["stranger", "buyer"])
async def test_the_service_answers_only_what_its_description_says(
    town: Any, tmp_path: Path, cases: Cases, who: str, a_free_port: int, *, full: bool
) -> None:
    fake = await town.fake("http://127.0.0.1:9/", "--speed", "600")
    shop, process = await town.serve(f"sqlite+aiosqlite:///{tmp_path}/shop.db", fake, a_free_port)
    config = STRANGER
    if who == "buyer":
        pending, over = await shop.place("programme"), await shop.place("programme")
        at = f"{shop.url}/api/v1/orders/{over['order']['id']}/cancel"
        assert (await town.http.post(at, headers={"Authorization": f"Bearer {over['token']}"})).is_success
        [ticket] = parse_qs(urlsplit(pending["checkout"]["redirectUrl"]).query)["ticket"]
        config = BUYER.format(pending=pending, over=over, ticket=ticket)
    judged = await judge(shop.url, config, tmp_path, most=600 if full else 20)
    cases.run += judged.cases
    assert judged.code == 0, judged.said
    assert judged.cases > 300
    assert await process.terminate() == 0
    lines = [json.loads(line) for line in process.log.splitlines() if line.startswith("{")]
    asked = [line for line in lines if line["event"] == "request" and line["method"] != "OPTIONS"]
    served = {(line["route"], line["status"] // 100) for line in asked}
    assert not [line for line in lines if line["level"] == "error" or line.get("status", 0) >= 500]
    assert ("/api/v1/orders", 2) in served, "orders were placed"
    if who == "buyer":
        reached = {route for route, family in served if family == 2}
        assert {
            f"/api/v1/orders/{{order_id}}{tail}" for tail in ("", "/verify", "/cancel", "/ticket", "/return", "/events")
        } <= reached
