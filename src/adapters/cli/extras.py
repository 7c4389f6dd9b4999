"""What may be installed beside us: the demo registers itself, so that production has neither it nor its fake."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points

DEMO = "gyeolje.demo"
"""The group of entry points where a demo registers."""

Demo = Callable[[str, int, bool], int]
"""Runs at this host and port, or plays one purchase and returns; the exit code."""


def installed_demo(group: str = DEMO) -> Demo | None:
    """The demo, if one is installed."""
    for entry in entry_points(group=group):
        run: Demo = entry.load()
        return run
    return None
