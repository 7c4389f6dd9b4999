"""The shop page at ``/``: what ``npm run build`` in ``examples/storefront`` left beside this package.

A service whose page was not built answers ``/`` with a sentence that says so; its API is the same.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler

from adapters.http.edge import READ

BUILT = Path(__file__).parents[1] / "storefront"

_TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}
_FOR_EVER = "public, max-age=31536000, immutable"  # a file's name changes with what is in it
_SDK = "/_fake/browser-sdk.js"
_APP = '<script type="module"'
_MISSING = """The shop page was not built. The API works without it: /api/v1/products

To build the page, with Node 20.19 or newer:

    cd examples/storefront
    npm ci
    npm run build
"""


class _Sources(NamedTuple):
    """Whose scripts, requests and frames the page may have beside its own; and whether styles may stand in them."""

    script: str
    connect: str
    frame: str
    style: str = ""
    form: str = ""


# Documented (@portone/browser-sdk 0.1.11): the script is https://cdn.portone.io/v2/browser-sdk.js. Not documented: what
# that script needs in turn. Shops with a policy report its own drivers, requests to and frames of PortOne's hosts under
# iamport.co and iamport.kr, and KakaoPay's frame; it styles what it puts over the page.
_PORTONE = _Sources(
    script="https://cdn.portone.io",
    connect="https://*.portone.io https://*.iamport.co",
    frame="https://*.portone.io https://*.iamport.co https://*.iamport.kr https://*.kakaopay.com https://*.kakao.com",
    style=" 'unsafe-inline'",
    form=" https://*.portone.io https://*.iamport.co https://*.kakaopay.com",
)


def page_routes(fake: str | None, built: Path = BUILT) -> list[HTTPRouteHandler]:
    """The page and its files. ``fake`` is where browsers reach a fake PortOne; None: PortOne itself is used."""
    index = built / "index.html"
    if not index.is_file():
        return [_route("/", _MISSING.encode(), "text/plain")]
    origin = _origin(fake) if fake else None
    page = index.read_text("utf-8")
    if origin:
        # A window.PortOne that is already there is left alone by the npm package's loader.
        page = page.replace(_APP, f'<script src="{escape(origin)}{_SDK}"></script>\n    {_APP}', 1)
    headers = {
        "content-security-policy": _policy(origin),
        "referrer-policy": "strict-origin-when-cross-origin",  # payment providers may ask who opened their window
        "cache-control": "no-cache",
    }
    return [
        _route("/", page.encode(), "text/html", headers),
        *(
            _route(f"/assets/{path.name}", path.read_bytes(), _TYPES[path.suffix], {"cache-control": _FOR_EVER})
            for path in sorted((built / "assets").iterdir())
            if path.suffix in _TYPES
        ),
    ]


def _route(path: str, content: bytes, media_type: str, headers: Mapping[str, str] | None = None) -> HTTPRouteHandler:
    always = {**(headers or {}), "vary": "accept-encoding"}
    small = gzip.compress(content, mtime=0)

    async def answer(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Small where the browser takes it so; nothing in it is secret."""
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(small, media_type=media_type, headers={**always, "content-encoding": "gzip"})
        return Response(content, media_type=media_type, headers=always)

    return HTTPRouteHandler(path, http_method=READ, include_in_schema=False, media_type=media_type)(answer)


def _policy(fake: str | None) -> str:
    beside = _Sources(script=fake, connect=fake, frame=fake) if fake else _PORTONE
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' {beside.script}",
            f"style-src 'self'{beside.style}",
            "img-src 'self' data:" + ("" if fake else " https://*.portone.io https://*.iamport.co"),
            f"connect-src 'self' {beside.connect}",
            f"frame-src {beside.frame}",
            f"form-action 'self'{beside.form}",
            "object-src 'none'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
