"""What a command needs of the process it runs in, beside the use cases. The composition root implements it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:  # a tenth of a second that `--help` does not need
    from application.use_cases import UseCases

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that the doctor examined, and what to do if it is not well."""

    what: str
    ok: bool
    says: str


class Program(Protocol):
    """The process. Each method returns when its work is done, or when a signal ended it."""

    def ask(self, work: Callable[[UseCases], Coroutine[Any, Any, T]], *, quiet: bool = False) -> T:
        """Run ``work`` over the use cases, on a database that is left as it is, schema and all.

        ``quiet``: only warnings are logged. Raises StoreUnavailableError where the database is not this version's.
        """
        ...

    def serve(
        self, host: str, port: int, *, processes: int, with_worker: bool, listening: Callable[[str], None]
    ) -> int:
        """Serve at ``host``:``port``, and tell ``listening`` the address as soon as it is ours; the exit code."""
        ...

    def work(self) -> None:
        """Check due orders, and sweep."""
        ...

    def migrate(self) -> None:
        """Bring the database's schema up to date."""
        ...

    def examine(self) -> list[Finding]:
        """Examine settings, database, gateway and clock."""
        ...
