"""How values of ours become values of a database, and what a database's errors are in the port's words."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime

from sqlalchemy import Tuple, literal, tuple_
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from adapters.persistence.tables import Moment, Words
from application.errors import ConflictError, StoreUnavailableError

MOST = 2**63 - 1  # what a column can be compared with


def cursor(moment: datetime, name: str) -> Tuple:
    """A place in a listing that is ordered by a moment and a name."""
    return tuple_(literal(moment, Moment), literal(name, Words))


def as_json(data: object) -> str:
    """JSON in as few characters as it takes."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


_RUN_AGAIN = frozenset({"40001", "40P01", "55P03", "23505"})  # serialization, deadlock, lock time-out, unique
_SQLITE_RUN_AGAIN = frozenset(
    {"SQLITE_BUSY_SNAPSHOT", "SQLITE_BUSY_RECOVERY", "SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE"}
)


def translated(error: SQLAlchemyError | OSError) -> StoreUnavailableError:
    """The error as the port has it, naming a broken rule and never a row."""
    if isinstance(error, PoolTimeoutError):
        return StoreUnavailableError("no database connection was free in time")
    if not isinstance(error, DBAPIError):
        return StoreUnavailableError(f"the database cannot be reached ({type(error).__name__})")
    if error.connection_invalidated:
        return ConflictError("the connection to the database was lost before anything was committed")
    cause = error.orig.__cause__ if error.orig is not None else None
    state = getattr(cause, "sqlstate", None)
    if state is not None:
        return _translated_postgresql(state, cause)
    return _translated_sqlite(error.orig)


def _translated_postgresql(state: str, error: BaseException | None) -> StoreUnavailableError:
    if state in _RUN_AGAIN:
        return ConflictError("somebody else was working on the same rows")
    if type(error).__name__ == "InvalidCachedStatementError":
        return ConflictError("the schema changed under this connection")
    if state.startswith("23"):
        return StoreUnavailableError(f"refused: {getattr(error, 'constraint_name', None) or _rule(error)}")
    return StoreUnavailableError(f"the database failed (SQLSTATE {state})")


def _translated_sqlite(error: BaseException | None) -> StoreUnavailableError:
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if name in _SQLITE_RUN_AGAIN:
        return ConflictError("somebody else was working on the same rows")
    if name == "SQLITE_CONSTRAINT_FOREIGNKEY":
        return StoreUnavailableError("refused: everything belongs to an order")
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CONSTRAINT:
        return StoreUnavailableError(f"refused: {_rule(error)}")
    return StoreUnavailableError(f"the database failed ({name})")


def _rule(error: BaseException | None) -> str:
    """The broken rule's own sentence; never the row, which may hold what logs must not."""
    said = str(error).splitlines()[0]
    for before in ("rule: ", "constraint failed: "):
        if before in said:
            return said.partition(before)[2]
    return "a rule of the table"
