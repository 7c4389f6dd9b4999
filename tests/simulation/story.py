"""What happened in one history, in words. Written only when somebody will read it; a seed can always be run again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta


class Story:
    """A list of lines, each with its moment and its actor. Ids are told by letters: order ``A`` has payment ``A``."""

    def __init__(self, seconds: Callable[[], float], *, written: bool) -> None:
        self._seconds = seconds
        self.written = written
        self.lines: list[str] = []
        self._names: dict[str, str] = {}

    def name(self, name: str, *ids: str) -> None:
        """Call whatever has one of these ids ``name`` from now on."""
        self._names.update(dict.fromkeys(ids, name))

    def called(self, an_id: str | None) -> str:
        """The name of what has this id."""
        return self._names.get(an_id or "", f"{an_id or 'nothing':.8}")

    def tell(self, who: str, what: str) -> None:
        """Add a line."""
        if self.written:
            at = str(timedelta(seconds=round(self._seconds(), 3)))
            self.lines.append(f"{at[:-3] if '.' in at else at + '.000':>16}  {who:<9} {what}")
