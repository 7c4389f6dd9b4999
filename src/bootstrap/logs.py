"""Logs: structlog, for people on a terminal and JSON elsewhere. Nothing a client or the gateway sent is ever dumped."""

from __future__ import annotations

import logging
import sys

import structlog


def configure_logs(*, json: bool | None = None, least: int = logging.INFO) -> None:
    """Set the whole process's logging up, once, to standard error, from level ``least`` up.

    ``json`` None means JSON unless that is a terminal.
    """
    as_json = not sys.stderr.isatty() if json is None else json
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if as_json:
        structlog.configure(
            processors=[
                *shared,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(serializer=_json),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(least),
            logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
            cache_logger_on_first_use=True,
        )
    else:
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        structlog.configure(
            processors=[*shared, renderer],
            wrapper_class=structlog.make_filtering_bound_logger(least),
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
            cache_logger_on_first_use=True,
        )
    form = "%(levelname)s %(name)s %(message)s"
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format=form, force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # it warns of each stranger who speaks no HTTP


def _json(value: object, **_: object) -> bytes:
    import msgspec  # noqa: PLC0415 - kept out of the way of commands that never log

    return msgspec.json.encode(value, enc_hook=str)
