"""The statements that every post runs, sent to PostgreSQL prepared and several in one round trip.

On PostgreSQL they go past Django's cursor and psycopg's, straight to the libpq that psycopg wraps:
for a row of a hundred columns those two cost more processor time than PostgreSQL takes to write it.
On SQLite, and where somebody listens to Django's statements, Django's cursor runs them one by one.
Source: DECISIONS, Intake 3, 4.
"""

from __future__ import annotations

import re
import select
from collections.abc import Callable, Iterable, Mapping, Sequence
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
# as text, so that one prepared statement serves whatever a post says. Bytes go as they are.
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
    bytes: bytes,
    type(None): lambda _: None,
}
TEXT, BINARY = pq.Format.TEXT, pq.Format.BINARY

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

_prepared: WeakKeyDictionary[psycopg.Connection[Any], set[bytes]] = WeakKeyDictionary()


def _send(
    raw: psycopg.Connection[Any], calls: Sequence[tuple[Statement, Values]], *, is_end: bool
) -> list[Result]:
    """Send statements in a pipeline of libpq, with the beginning and end of a transaction."""
    libpq = raw.pgconn
    written = [(one, as_texts(one.in_order(values))) for one, values in calls]
    known = _prepared.setdefault(raw, set())
    new = {one.name: one for one, _ in written if one.name not in known}
    is_begin = not raw.autocommit and libpq.transaction_status == pq.TransactionStatus.IDLE
    libpq.enter_pipeline_mode()
    try:
        for name, one in new.items():
            libpq.send_prepare(name, one.numbered)
        if is_begin:
            libpq.send_query_params(b"BEGIN", None)
        for one, (texts, formats) in written:
            libpq.send_query_prepared(one.name, texts, formats)
        if is_end:
            libpq.send_query_params(b"COMMIT", None)
        libpq.pipeline_sync()
        results = _results(libpq, raw.info.encoding)
    except psycopg.errors.InvalidSqlStatementName:
        known.clear()  # somebody said DISCARD ALL; a transaction is tried again by its owner
        if not raw.autocommit:
            raise
        results = []
    finally:
        if libpq.status == pq.ConnStatus.OK:
            libpq.exit_pipeline_mode()
    if not results:
        return _send(raw, calls, is_end=is_end)
    known.update(new)
    reader = Transformer(raw)
    own = results[len(new) + is_begin :][: len(written)]
    return [_as_result(reader, one) for one in own]


def as_texts(values: Iterable[Any]) -> tuple[list[bytes | None], list[pq.Format] | None]:
    """Return values as PostgreSQL reads them, and the format of each, None if all are texts."""
    texts, is_binary = [], False
    for value in values:
        kind = type(value)
        texts.append(TEXTS[kind](value) if kind in TEXTS else str(value).encode())
        is_binary = is_binary or kind is bytes
    if not is_binary:
        return texts, None
    return texts, [BINARY if type(value) is bytes else TEXT for value in values]


def _results(libpq: pq.abc.PGconn, encoding: str) -> list[pq.abc.PGresult]:
    """Return the results up to the end of the pipeline; raises the first error among them."""
    readable, writable = select.poll(), select.poll()
    readable.register(libpq.socket, select.POLLIN)
    writable.register(libpq.socket, select.POLLIN | select.POLLOUT)
    results: list[pq.abc.PGresult] = []
    failed = None
    try:
        while libpq.flush():
            writable.poll()
            libpq.consume_input()
        while True:
            while libpq.is_busy():
                readable.poll()
                libpq.consume_input()
            result = libpq.get_result()
            if result is None:  # between the results of two statements
                if libpq.status == pq.ConnStatus.BAD:
                    raise psycopg.OperationalError("the connection is lost")
                continue
            if result.status == pq.ExecStatus.PIPELINE_SYNC:
                break
            if result.status == pq.ExecStatus.FATAL_ERROR and failed is None:
                failed = error_from_result(result, encoding)
            results.append(result)
    except psycopg.OperationalError:
        if failed is None:
            raise
    if failed is not None:  # it says more than that the connection broke after it
        raise failed
    return results


def _as_result(reader: Any, result: pq.abc.PGresult) -> Result:
    """Return what a statement came to, its values as psycopg reads them."""
    if not result.nfields:
        return Result([], result.command_tuples or 0)
    reader.set_pgresult(result)
    return Result(reader.load_rows(0, result.ntuples, tuple), result.ntuples)
