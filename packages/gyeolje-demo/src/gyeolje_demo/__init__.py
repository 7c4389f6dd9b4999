"""The demo of gyeolje: the service, a worker and a fake PortOne in one process, with sample products."""

from __future__ import annotations

import logging

from bootstrap.running import run as run_process
from gyeolje_demo.narrator import play_once, run_demo

__all__ = ["run"]


def run(host: str, port: int, once: bool) -> int:
    """What ``gyeolje demo`` does: run at ``host``:``port`` until Ctrl-C, or play one purchase; the exit code."""
    if once:
        return run_process(play_once(), least=logging.WARNING)
    return run_process(run_demo(host, port))
