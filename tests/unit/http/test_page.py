"""The shop page at `/`: served when it was built, missed in words when not, strict about whose scripts it runs."""

from __future__ import annotations

import gzip
from pathlib import Path

import httpx
import pytest
from litestar import Litestar

from adapters.http.buyer.page import page_routes
from adapters.http.edge import Edge

INDEX = '<!doctype html><head><script type="module" crossorigin src="/assets/index-a1.js"></script></head>'
SCRIPT = "export default 'shop';"


@pytest.fixture
def built(tmp_path: Path) -> Path:
    assets = tmp_path / "storefront" / "assets"
    assets.mkdir(parents=True)
    (assets.parent / "index.html").write_text(INDEX)
    (assets / "index-a1.js").write_text(SCRIPT)
    (assets / "index-a1.css").write_text("body{}")
    return assets.parent


async def ask(built: Path, path: str, *, fake: str | None = None, **headers: str) -> httpx.Response:
    app = Litestar(page_routes(fake, built), openapi_config=None, logging_config=None)
    app.asgi_handler = Edge(app.asgi_handler)
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as http:
        return await http.get(path, headers={"Accept-Encoding": "identity"} | headers)


def policy(answer: httpx.Response) -> dict[str, str]:
    (said,) = answer.headers.get_list("content-security-policy")
    directives = (directive.partition(" ") for directive in said.split("; "))
    return {name: sources for name, _, sources in directives}


async def test_without_a_built_page_the_root_says_what_is_missing(tmp_path: Path) -> None:
    answer = await ask(tmp_path, "/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text.startswith("The shop page was not built. The API works without it: /api/v1/products")
    assert "npm run build" in answer.text


async def test_the_built_page_is_served_as_it_was_built(built: Path) -> None:
    answer = await ask(built, "/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers.get_list("cache-control") == ["no-cache"]
    assert answer.text == INDEX


async def test_a_file_named_by_its_content_is_kept_for_long(built: Path) -> None:
    answer = await ask(built, "/assets/index-a1.js")
    assert answer.text == SCRIPT
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers.get_list("cache-control") == ["public, max-age=31536000, immutable"]


async def test_files_travel_compressed_where_the_browser_takes_that(built: Path) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(_app(built)), base_url="http://shop.test") as http:  # type: ignore[arg-type]
        request = http.build_request("GET", "/assets/index-a1.js", headers={"Accept-Encoding": "br, gzip"})
        answer = await http.send(request, stream=True)
        raw = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "accept-encoding"
    assert gzip.decompress(raw).decode() == SCRIPT


def _app(built: Path) -> Litestar:
    return Litestar(page_routes(None, built), openapi_config=None, logging_config=None)


@pytest.mark.parametrize("path", ["/assets/other.js", "/assets/", "/index.html", "/assets/..%2findex.html"])
async def test_nothing_else_is_served(built: Path, path: str) -> None:
    assert (await ask(built, path)).status_code == 404


async def test_with_portone_only_its_hosts_are_let_in(built: Path) -> None:
    said = policy(await ask(built, "/"))
    assert said["default-src"] == "'none'"
    assert said["script-src"] == "'self' https://cdn.portone.io"
    assert said["connect-src"] == "'self' https://*.portone.io https://*.iamport.co"
    assert "https://*.kakaopay.com" in said["frame-src"].split()
    assert {said[name] for name in ("object-src", "base-uri", "frame-ancestors")} == {"'none'"}


async def test_with_the_fake_its_script_comes_first_and_only_its_origin_is_let_in(built: Path) -> None:
    answer = await ask(built, "/", fake="http://127.0.0.1:8100/")
    fake = answer.text.index('<script src="http://127.0.0.1:8100/_fake/browser-sdk.js"></script>')
    assert fake < answer.text.index("/assets/index-a1.js")
    assert policy(answer) == {
        "default-src": "'none'",
        "script-src": "'self' http://127.0.0.1:8100",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self' http://127.0.0.1:8100",
        "frame-src": "http://127.0.0.1:8100",
        "form-action": "'self'",
        "object-src": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }


async def test_what_the_page_does_not_say_is_said_for_it(built: Path) -> None:
    answer = await ask(built, "/")
    assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
    assert answer.headers.get_list("referrer-policy") == ["strict-origin-when-cross-origin"]
    assert answer.headers.get_list("cross-origin-resource-policy") == ["same-site"]
