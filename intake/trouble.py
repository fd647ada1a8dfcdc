"""What an error of the database means, and what helps: a new connection, another try, nothing.

Judged by SQLSTATE or by SQLite's code, never by Django's class: a read-only PostgreSQL raises
`InternalError`, a mistyped column of SQLite `OperationalError`. Source: DECISIONS, Intake 7.
"""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import psycopg
from django.db import Error as DatabaseProblem
from django.db import InterfaceError, OperationalError, connection
from django.db.backends.signals import connection_created

T = TypeVar("T")

TIME_IS_UP = {"55P03", "57014"}  # of a lock, of a statement
CONFLICTS = {"40001", "40P01"}  # serialisation failure, deadlock
# No connection, no resources (disk, memory, slots), stopped by an operator or a time limit, system.
UNAVAILABLE_CLASSES = {"08", "53", "57", "58"}
# Lock timeout, read-only, and the ends of a session that was idle or busy for too long.
UNAVAILABLE_STATES = {"55P03", "25006", "25P03", "25P04"} | CONFLICTS
LOST_STATES = ("08", "57P", "25P03", "25P04")  # how they begin

# A connection that was opened while the file could not be written or read stays like that.
SQLITE_REOPEN_CODES = {
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
}
SQLITE_UNAVAILABLE_CODES = SQLITE_REOPEN_CODES | {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PROTOCOL,
}
PRIMARY_CODE = 0xFF
MAX_TRIES = 3

_away = threading.Event()
_probing = threading.Lock()


class Away(OperationalError):
    """The database was not reached, and another thread is trying it just now."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def is_unavailable(error: BaseException) -> bool:
    """Say whether the database cannot do its work now: the same post may be stored later.

    A conflict counts, for whoever has no try left. False for whatever is our own mistake, and for
    errors that are not the database's.
    """
    cause = driver_error(error)
    if isinstance(cause, sqlite3.Error):
        return sqlite_code(cause) in SQLITE_UNAVAILABLE_CODES
    state = sqlstate(cause)
    if not state:
        return is_of_connection(cause)
    return state[:2] in UNAVAILABLE_CLASSES or state in UNAVAILABLE_STATES


def is_worth_retrying(error: BaseException) -> bool:
    """Say whether the transaction was undone for another one's sake: repeated, it may succeed."""
    return sqlstate(driver_error(error)) in CONFLICTS


def is_time_up(error: BaseException) -> bool:
    """Say whether only this statement took too long, or waited too long for a lock."""
    return sqlstate(driver_error(error)) in TIME_IS_UP


def is_connection_lost(error: BaseException) -> bool:
    """Say whether the connection is of no more use, and a new one may be.

    False if there was none to be had: it was just tried.
    """
    cause = driver_error(error)
    if isinstance(cause, sqlite3.Error):
        return sqlite_code(cause) in SQLITE_REOPEN_CODES
    state = sqlstate(cause)
    if not state:
        return is_of_connection(cause) and not isinstance(cause, Away)
    return state.startswith(LOST_STATES)


def driver_error(error: BaseException) -> BaseException:
    """Return the driver's error behind Django's, the error itself if there is none."""
    return error.__cause__ if isinstance(error, DatabaseProblem) and error.__cause__ else error


def sqlstate(cause: BaseException) -> str:
    """Return the SQLSTATE of psycopg's error, "" if it has none."""
    return (cause.sqlstate or "") if isinstance(cause, psycopg.Error) else ""


def sqlite_code(cause: sqlite3.Error) -> int:
    """Return SQLite's primary code, 0 for an error of its Python module."""
    return getattr(cause, "sqlite_errorcode", 0) & PRIMARY_CODE


def is_of_connection(cause: BaseException) -> bool:
    """Say whether an error without SQLSTATE is of the connection: not had, or broken."""
    kinds = (psycopg.OperationalError, psycopg.InterfaceError, OperationalError, InterfaceError)
    # psycopg has no class for the answer without a word that libpq makes of a broken connection.
    return isinstance(cause, kinds) or type(cause) is psycopg.DatabaseError


class _End:
    """Closes a connection when the thread that made it ends, with all that is the thread's own."""

    def __init__(self, raw: psycopg.Connection) -> None:
        self.raw = raw

    def __del__(self) -> None:
        self.raw.close()


_own = threading.local()


def close_with_the_thread(connection: Any, **_: Any) -> None:
    """Have a new connection to PostgreSQL closed with its thread.

    Servers end threads that have nothing to do. Django's object for the connection is in a cycle,
    which the collector of garbage finds late, and many connections later.
    """
    if connection.vendor == "postgresql":
        before = [one for one in getattr(_own, "ends", []) if not one.raw.closed]
        _own.ends = [*before, _End(connection.connection)]


connection_created.connect(close_with_the_thread)


def give_up_connection() -> None:
    """Close this thread's connection, so that the next statement makes a new one; does not raise.

    Does nothing inside a transaction, whose end closes the connection.
    """
    if connection.in_atomic_block:
        return
    with suppress(DatabaseProblem, psycopg.Error):
        connection.close()


def connect() -> None:
    """Connect this thread to the database, unless it is connected.

    Raises Away at once while the database is known to be away and another thread is trying it:
    else each would wait as long, and no thread would be left to answer.
    """
    is_probe = _away.is_set()
    if is_probe and not _probing.acquire(blocking=False):
        raise Away
    try:
        connection.ensure_connection()
    except DatabaseProblem:
        _away.set()
        raise
    else:
        _away.clear()
    finally:
        if is_probe:
            _probing.release()


def on_a_live_connection(work: Callable[[], T]) -> T:
    """Return work(), done once more on a new connection if it was lost.

    Only for the first statements of a request, and where doing it twice is harmless. Not repeated
    in a transaction: what came before is lost with the connection.
    """
    connect()
    try:
        return work()
    except DatabaseProblem as error:
        if connection.in_atomic_block or not is_connection_lost(error):
            raise
    give_up_connection()
    connect()
    return work()


def despite_conflicts(work: Callable[[], T]) -> T:
    """Return work(), a whole transaction, done up to twice more after a conflict with another.

    The database undid it then, so that nothing is done twice; a lost connection does not tell.
    """
    for _ in range(MAX_TRIES - 1):
        try:
            return work()
        except DatabaseProblem as error:
            if not is_worth_retrying(error):
                raise
    return work()
