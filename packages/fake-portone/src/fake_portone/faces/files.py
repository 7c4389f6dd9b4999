"""The files of the fake's pages, and what a browser may do with them."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from starlette.responses import Response

_STATIC = Path(__file__).parent / "static"
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
_ALWAYS = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors {}"
)


def file_response(name: str, headers: Mapping[str, str] | None = None, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """A file of the fake's pages."""
    path = _STATIC / name
    return Response(path.read_bytes(), status, {**_ALWAYS, **(headers or {})}, media_type=_TYPES[path.suffix])


def page_response(name: str, *, framed_by: str | None, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """A page that runs its own scripts only, and that nobody but ``framed_by`` may show in a frame."""
    return file_response(name, {"Content-Security-Policy": _POLICY.format(framed_by or "'none'")}, status)
