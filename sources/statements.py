"""The statements that every post runs, sent to PostgreSQL prepared and several in one round trip.

On PostgreSQL they go past Django's cursor and psycopg's, straight to the libpq that psycopg wraps:
for a row of a hundred columns those two cost more processor time than PostgreSQL takes to write it.
On SQLite, and where somebody listens to Django's statements, Django's cursor runs them one by one.
Source: DECISIONS, Intake 3, 4.
"""

from __future__ import annotations

import re
import select
from binascii import hexlify
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import orjson
import psycopg
from django.db import DEFAULT_DB_ALIAS, connections
from psycopg import pq
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result

MARK = re.compile(r"%(?:\((\w+)\))?s")

# How a value is written for PostgreSQL, by its type; the statement says what each is to be. Always
# as text, so that one prepared statement serves whatever a post says.
TEXTS: dict[type, Callable[[Any], bytes | None]] = {
    str: str.encode,
    bool: lambda value: b"t" if value else b"f",
    int: lambda value: b"%d" % value,
    UUID: lambda value: b"%032x" % value.int,
    datetime: lambda value: value.isoformat().encode(),
    date: lambda value: value.isoformat().encode(),
    Decimal: lambda value: str(value).encode(),
    dict: orjson.dumps,
    list: orjson.dumps,
    bytes: lambda value: b"\\x" + hexlify(value),
    type(None): lambda _: None,
}
# As plain numbers, which are compared faster than members of an enumeration.
OK, IDLE = int(pq.ConnStatus.OK), int(pq.TransactionStatus.IDLE)
SYNC, FAILED = int(pq.ExecStatus.PIPELINE_SYNC), int(pq.ExecStatus.FATAL_ERROR)
DONE = int(pq.ExecStatus.COMMAND_OK)

# Somebody said DEALLOCATE, DISCARD or ALTER TABLE: a new connection knows what is prepared on it.
OUT_OF_STEP = (
    psycopg.errors.InvalidSqlStatementName,
    psycopg.errors.DuplicatePreparedStatement,
    psycopg.errors.FeatureNotSupported,
)

Values = Sequence[Any] | Mapping[str, Any]


class Statement:
    """A statement with the marks of Django: `%s`, or `%(name)s` for one that comes again."""

    def __init__(self, sql: str) -> None:
        self.sql = sql
        self.names = list(dict.fromkeys(name for name in MARK.findall(sql) if name))
        numbers = iter(range(1, sql.count("%s") + 1))
        self.numbered = MARK.sub(
            lambda mark: f"${self.names.index(mark[1]) + 1 if mark[1] else next(numbers)}", sql
        ).encode()
        self.name = b"leadping_" + sha256(self.numbered).hexdigest()[:20].encode()

    def run(self, values: Values) -> Result:
        """Run it alone."""
        return round_trip([(self, values)])[0]

    def in_order(self, values: Values) -> Sequence[Any]:
        """Return the values in the order of the numbered marks."""
        return [values[name] for name in self.names] if isinstance(values, Mapping) else values


@dataclass(frozen=True, slots=True)
class Result:
    """What a statement came to: its rows, none if it gives none, and how many it changed."""

    rows: list[tuple[Any, ...]]
    count: int


def is_sent_past_django() -> bool:
    """Say whether statements go straight to PostgreSQL, which takes values as Python has them."""
    database: Any = connections[DEFAULT_DB_ALIAS]
    is_watched = database.queries_logged or database.execute_wrappers
    return database.vendor == "postgresql" and not is_watched


def round_trip(calls: Sequence[tuple[Statement, Values]], *, is_last: bool = False) -> list[Result]:
    """Run statements with their values one after another, and return what each came to.

    On PostgreSQL in one round trip; each sees what was committed before it began. `is_last`: the
    transaction ends with them, if the innermost `atomic` is all of it. Raises Django's errors; of
    several statements, those after one that fails do not run.
    """
    if not calls:
        return []
    database: Any = connections[DEFAULT_DB_ALIAS]
    if not is_sent_past_django():
        return [_run_by_django(database, one, values) for one, values in calls]
    if database.connection is None:
        database.ensure_connection()
    is_end = is_last and database.in_atomic_block and not database.savepoint_ids
    with database.wrap_database_errors:
        return _send(database.connection, calls, is_end=is_end)


def _run_by_django(database: Any, statement: Statement, values: Values) -> Result:
    if database.vendor == "sqlite":  # which has no types for these
        if isinstance(values, Mapping):
            values = {name: _for_sqlite(database, one) for name, one in values.items()}
        else:
            values = [_for_sqlite(database, one) for one in values]
    with database.cursor() as cursor:
        cursor.execute(statement.sql, values)
        rows = cursor.fetchall() if cursor.description else []
        return Result(rows, cursor.rowcount)


def _for_sqlite(database: Any, value: Any) -> Any:
    """Return a value as Django keeps it in SQLite."""
    if isinstance(value, UUID):
        return value.hex
    return database.ops.adapt_datetimefield_value(value) if type(value) is datetime else value


# --- straight to PostgreSQL ---------------------------------------------------------------------


class _Link:
    """What is kept of one connection: what is prepared on it, and what reads from it."""

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        self.prepared: set[bytes] = set()
        self.reader: Any = Transformer(raw.adapters)
        self.readable, self.writable = select.poll(), select.poll()
        self.readable.register(raw.pgconn.socket, select.POLLIN)
        self.writable.register(raw.pgconn.socket, select.POLLIN | select.POLLOUT)


_links: WeakKeyDictionary[psycopg.Connection[Any], _Link] = WeakKeyDictionary()


def _send(
    raw: psycopg.Connection[Any], calls: Sequence[tuple[Statement, Values]], *, is_end: bool
) -> list[Result]:
    """Send statements in a pipeline of libpq, with the beginning and end of a transaction."""
    link = _links.get(raw)
    if link is None:
        link = _links[raw] = _Link(raw)
    libpq = raw.pgconn
    written = [(one, as_texts(one.in_order(values))) for one, values in calls]
    new = {one.name: one for one, _ in written if one.name not in link.prepared}
    is_begin = not raw.autocommit and libpq.transaction_status == IDLE
    results: list[pq.abc.PGresult] = []
    libpq.enter_pipeline_mode()
    try:
        for name, one in new.items():
            libpq.send_prepare(name, one.numbered)
        if is_begin:
            libpq.send_query_params(b"BEGIN", None)
        for one, texts in written:
            libpq.send_query_prepared(one.name, texts)
        if is_end:
            libpq.send_query_params(b"COMMIT", None)
        libpq.pipeline_sync()
        _read(libpq, link, results)
    except OUT_OF_STEP as error:
        raw.close()
        raise psycopg.OperationalError("what is prepared is not what was") from error
    finally:
        if new:  # what is prepared stays so, whatever became of the rest
            did = zip(new, results, strict=False)
            link.prepared.update(name for name, result in did if result.status == DONE)
        if libpq.status == OK:
            libpq.exit_pipeline_mode()
    first = len(new) + is_begin
    return [_as_result(link.reader, one) for one in results[first : first + len(written)]]


def as_texts(values: Sequence[Any]) -> list[bytes | None]:
    """Return values as PostgreSQL reads them; raises DataError for NUL, where libpq would cut."""
    try:
        texts = [TEXTS[type(value)](value) for value in values]
    except KeyError:  # kinds of str, such as the members of an enumeration
        texts = [TEXTS.get(type(value), _str_as_text)(value) for value in values]
    if b"\0" in b"".join(filter(None, texts)):
        raise psycopg.DataError("a text holds NUL, which PostgreSQL cannot keep")
    return texts


def _str_as_text(value: Any) -> bytes:
    return str(value).encode()


def _read(libpq: pq.abc.PGconn, link: _Link, results: list[pq.abc.PGresult]) -> None:
    """Add the results up to the end of the pipeline; raises the first error among them."""
    failed: psycopg.Error | None = None
    try:
        while libpq.flush():
            link.writable.poll()
            libpq.consume_input()
        while True:
            while libpq.is_busy():
                link.readable.poll()
                libpq.consume_input()
            result = libpq.get_result()
            if result is None:  # between the results of two statements
                if libpq.status != OK:
                    raise psycopg.OperationalError("the connection is lost")
                continue
            status = result.status
            if status == SYNC:
                break
            if status == FAILED and failed is None:
                failed = error_from_result(result)
            results.append(result)
    except psycopg.OperationalError:
        if failed is None:
            raise
    if failed is not None:  # it says more than that the connection broke after it
        raise failed


def _as_result(reader: Any, result: pq.abc.PGresult) -> Result:
    """Return what a statement came to, its values as psycopg reads them."""
    if not result.nfields:
        return Result([], result.command_tuples or 0)
    reader.set_pgresult(result)
    rows = result.ntuples
    return Result(reader.load_rows(0, rows, tuple) if rows else [], rows)
