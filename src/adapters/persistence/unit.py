"""What every unit of work keeps to, whatever it is built on."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from application.errors import ConflictError, StoreUnavailableError
from application.ports import UnitOfWork

SECONDS = 8.0  # no unit may last longer: above the database's own limits, which say better what was slow


class Unit(UnitOfWork):
    """A unit with a deadline over all of its body. Once one of its steps has failed, it cannot be committed."""

    def __init__(self, *, writes: bool, seconds: float) -> None:
        self.writes = writes
        self._limit = asyncio.timeout(seconds)
        self._failure: StoreUnavailableError | None = None
        self._open = False

    async def __aenter__(self) -> Self:
        """Begin."""
        await self._limit.__aenter__()
        try:
            await self._begin()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Undo what was not committed."""
        self._open = False
        try:
            await self._limit.__aexit__(kind, error, trace)
        except TimeoutError:
            raise StoreUnavailableError("the unit of work was not done in time") from error
        finally:
            await self._end()

    async def commit(self) -> None:
        """Make all of it durable."""
        self.must_write()
        if self._failure is not None:
            raise type(self._failure)("a step of this unit failed, so it cannot be committed") from self._failure
        await self._commit()

    def must_write(self) -> None:
        """Refuse unless this is an open writing unit: anything else is a mistake in the program."""
        if not (self.writes and self._open):
            raise RuntimeError("only an open writing unit can write")

    def refuse(self, rule: str) -> StoreUnavailableError:
        """The error for a ``rule`` that what was asked for would break."""
        return self.failed(StoreUnavailableError(f"refused: {rule}"))

    def conflict(self, what: str) -> StoreUnavailableError:
        """The error for a race that somebody else has won."""
        return self.failed(ConflictError(what))

    def failed(self, error: StoreUnavailableError) -> StoreUnavailableError:
        """Note that a step failed, and hand its error back to be raised."""
        self._failure = error
        return error

    async def _begin(self) -> None:
        raise NotImplementedError

    async def _commit(self) -> None:
        raise NotImplementedError

    async def _end(self) -> None:
        raise NotImplementedError
