"""What errors of the database mean, with errors that real databases raise.

Each database has its own table; the suite runs on both.
"""

import os
import resource
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.db import Error as DatabaseProblem
from django.db import InterfaceError, OperationalError, connection
from django.db.utils import ProgrammingError

from intake import authentication, trouble
from intake.models import Post
from leads.models import Lead
from sources.statements import Statement
from tests.factories import Door, make_source

URL = os.environ["DATABASE_URL"]
NOBODY_LISTENS = "postgresql://nobody@127.0.0.1:1/nothing"
A_LOCK = 20_260_101

# What an error is: is it unavailable, worth retrying, a lost connection?
FAULT_OF_OURS = (False, False, False)
UNAVAILABLE = (True, False, False)
CONFLICT = (True, True, False)
LOST = (True, False, True)


def judged(error: BaseException) -> tuple[bool, bool, bool]:
    """Return what an error is said to be."""
    return (
        trouble.is_unavailable(error),
        trouble.is_worth_retrying(error),
        trouble.is_connection_lost(error),
    )


# --- PostgreSQL ---------------------------------------------------------------------------------


@contextmanager
def sessions(count: int = 1) -> Iterator[list[psycopg.Connection]]:
    """Yield connections of their own to the server of the suite."""
    opened = [psycopg.connect(URL, autocommit=True) for _ in range(count)]
    try:
        yield opened
    finally:
        for one in opened:
            one.close()


def run(*statements: str) -> Callable[[Path], None]:
    """Return a function that runs statements in a session of their own."""

    def provoke(folder: Path) -> None:
        with sessions() as (session,):
            for one in statements:
                session.execute(one.encode())

    return provoke


def wait_for_a_lock(folder: Path) -> None:
    with sessions(2) as (holder, waiter):
        holder.execute("SELECT pg_advisory_lock(%s)", [A_LOCK])
        waiter.execute("SET lock_timeout = 10")
        waiter.execute("SELECT pg_advisory_lock(%s)", [A_LOCK])


def terminate(folder: Path, *, statements: int = 1) -> None:
    with sessions(2) as (victim, other):
        other.execute("SELECT pg_terminate_backend(%s, 1000)", [victim.info.backend_pid])
        for _ in range(statements - 1):
            with pytest.raises(psycopg.Error):
                victim.execute("SELECT 1")
        victim.execute("SELECT 1")


def use_what_was_terminated(folder: Path) -> None:
    terminate(folder, statements=2)


def idle_in_a_transaction(folder: Path) -> None:
    with sessions() as (session,):
        session.execute("SET idle_in_transaction_session_timeout = 10")
        session.execute("BEGIN")
        time.sleep(0.1)
        session.execute("SELECT 1")


def connect_to_nobody(folder: Path) -> None:
    psycopg.connect(NOBODY_LISTENS)


def connect_where_all_slots_are_taken(folder: Path) -> None:
    role = f"crowded_{uuid4().hex}"
    with sessions() as (session,):
        session.execute(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0".encode())
        try:
            psycopg.connect(URL, user=role)
        finally:
            session.execute(f"DROP ROLE {role}".encode())


@contextmanager
def two_rows() -> Iterator[list[psycopg.Connection]]:
    """Yield two sessions in transactions, and a table t with the rows 1 and 2."""
    with sessions(2) as both:
        name = f"two_rows_{uuid4().hex}"
        both[0].execute(f"CREATE SCHEMA {name}".encode())
        try:
            for one in both:
                one.execute(f"SET search_path = {name}".encode())
                one.execute("SET deadlock_timeout = 10")
            both[0].execute("CREATE TABLE t AS SELECT * FROM generate_series(1, 2) n")
            yield both
        finally:
            for one in both:
                one.rollback()
            both[0].execute(f"DROP SCHEMA {name} CASCADE".encode())


def fail_to_serialise(folder: Path) -> None:
    with two_rows() as (one, other):
        one.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        one.execute("SELECT * FROM t")
        other.execute("UPDATE t SET n = n")
        one.execute("UPDATE t SET n = n")


def deadlock(folder: Path) -> None:
    """Let two sessions wait for each other; whichever is undone raises here."""
    with two_rows() as (one, other):
        errors: list[Exception] = []

        def lock(session: psycopg.Connection, number: int) -> None:
            try:
                session.execute("UPDATE t SET n = n WHERE n = %s", [number])
            except psycopg.Error as error:
                errors.append(error)
                session.rollback()

        for session, number in ((one, 1), (other, 2)):
            session.execute("BEGIN")
            lock(session, number)
        waiting = threading.Thread(target=lock, args=[one, 2])
        waiting.start()
        lock(other, 1)
        waiting.join(5)
        raise errors[0]


POSTGRESQL: list[tuple[Any, tuple[bool, bool, bool]]] = [
    (run("SET statement_timeout = 1", "SELECT pg_sleep(1)"), UNAVAILABLE),
    (run("SET default_transaction_read_only = on", "CREATE TABLE x ()"), UNAVAILABLE),
    (wait_for_a_lock, UNAVAILABLE),
    (connect_where_all_slots_are_taken, LOST),  # the server says so without a SQLSTATE
    (connect_to_nobody, LOST),
    (terminate, LOST),
    (use_what_was_terminated, LOST),
    (idle_in_a_transaction, LOST),
    (fail_to_serialise, CONFLICT),
    (deadlock, CONFLICT),
    (run("SELECT * FROM no_such_table"), FAULT_OF_OURS),
    (run("SELECT no_such_column"), FAULT_OF_OURS),
    (run("SELEKT"), FAULT_OF_OURS),
    (run("SELECT 'x'::integer"), FAULT_OF_OURS),
    (run("SELECT 1 / 0"), FAULT_OF_OURS),
    (
        run("CREATE TEMP TABLE t (n integer UNIQUE)", "INSERT INTO t VALUES (1), (1)"),
        FAULT_OF_OURS,
    ),
    (run("SELECT %s"), FAULT_OF_OURS),
    (lambda folder: psycopg.connect("no such word"), FAULT_OF_OURS),
]


# --- SQLite -------------------------------------------------------------------------------------


@contextmanager
def files(folder: Path, count: int = 1) -> Iterator[list[sqlite3.Connection]]:
    """Yield connections to one file with a table t, in WAL mode, that do not wait for locks."""
    opened = [
        sqlite3.connect(folder / "x.sqlite3", timeout=0, isolation_level=None) for _ in range(count)
    ]
    try:
        opened[0].execute("PRAGMA journal_mode = WAL")
        opened[0].execute("CREATE TABLE IF NOT EXISTS t (n INTEGER UNIQUE, text TEXT)")
        yield opened
    finally:
        for one in opened:
            one.close()


def write(*statements: str) -> Callable[[Path], None]:
    """Return a function that runs statements on a file."""

    def provoke(folder: Path) -> None:
        with files(folder) as (session,):
            for one in statements:
                session.execute(one)

    return provoke


def lock_the_file(folder: Path) -> None:
    with files(folder, 2) as (one, other):
        one.execute("BEGIN EXCLUSIVE")
        other.execute("BEGIN IMMEDIATE")


def write_after_reading_what_has_changed(folder: Path) -> None:
    with files(folder, 2) as (one, other):
        one.execute("BEGIN")
        one.execute("SELECT * FROM t").fetchall()
        other.execute("INSERT INTO t VALUES (1, '')")
        one.execute("INSERT INTO t VALUES (2, '')")


def drop_what_is_being_read(folder: Path) -> None:
    with files(folder) as (session,):
        session.execute("INSERT INTO t VALUES (1, ''), (2, '')")
        reading = session.execute("SELECT * FROM t")
        reading.fetchone()
        session.execute("DROP TABLE t")


def open_in_no_folder(folder: Path) -> None:
    sqlite3.connect(folder / "none" / "x.sqlite3")


def open_what_is_no_database(folder: Path) -> None:
    (folder / "x.sqlite3").write_bytes(b"not a database " * 1000)
    with closing(sqlite3.connect(folder / "x.sqlite3")) as session:
        session.execute("SELECT * FROM sqlite_master")


def read_what_is_damaged(folder: Path) -> None:
    path = folder / "x.sqlite3"
    with files(folder) as (session,):
        session.executemany("INSERT INTO t VALUES (?, ?)", [(one, "x" * 500) for one in range(99)])
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))
    with closing(sqlite3.connect(path)) as session:
        session.execute("SELECT sum(length(text)) FROM t").fetchall()


def write_past_the_size_that_is_allowed(folder: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with files(folder) as (session,):
        resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, before[1]))
        try:
            session.execute("INSERT INTO t VALUES (1, ?)", ["x" * 200_000])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


def open_what_may_only_be_read(folder: Path) -> None:
    """A file whose header says that it is of a later version may only be read."""
    path = folder / "x.sqlite3"
    with files(folder) as (session,):
        session.execute("PRAGMA journal_mode = DELETE")
    whole = bytearray(path.read_bytes())
    whole[18] = 3
    path.write_bytes(whole)
    with closing(sqlite3.connect(path)) as session:
        session.execute("INSERT INTO t VALUES (1, '')")


def use_what_is_closed(folder: Path) -> None:
    with files(folder) as (session,):
        session.close()
        session.execute("SELECT 1")


SQLITE: list[tuple[Any, tuple[bool, bool, bool]]] = [
    (lock_the_file, UNAVAILABLE),
    (write_after_reading_what_has_changed, UNAVAILABLE),
    (drop_what_is_being_read, UNAVAILABLE),
    (write("PRAGMA max_page_count = 1", "CREATE TABLE more (n)"), UNAVAILABLE),
    (open_in_no_folder, UNAVAILABLE),
    (write("PRAGMA query_only = on", "INSERT INTO t VALUES (1, '')"), LOST),
    (open_what_may_only_be_read, LOST),
    (open_what_is_no_database, LOST),
    (read_what_is_damaged, LOST),
    (write_past_the_size_that_is_allowed, LOST),
    (use_what_is_closed, FAULT_OF_OURS),
    (write("SELECT * FROM no_such_table"), FAULT_OF_OURS),
    (write("SELECT no_such_column"), FAULT_OF_OURS),
    (write("SELEKT"), FAULT_OF_OURS),
    (write("SELECT ?"), FAULT_OF_OURS),
    (write("INSERT INTO t VALUES (1, ''), (1, '')"), FAULT_OF_OURS),
    (write("INSERT INTO t VALUES ('x', '') RETURNING abs(-9223372036854775808)"), FAULT_OF_OURS),
]

CASES = SQLITE if connection.vendor == "sqlite" else POSTGRESQL


@pytest.mark.parametrize(("provoke", "expected"), CASES)
def test_a_real_error_is_judged_by_its_code(
    provoke: Callable[[Path], None], expected: tuple[bool, bool, bool], tmp_path: Path
) -> None:
    with pytest.raises(DatabaseProblem) as caught, connection.wrap_database_errors:
        provoke(tmp_path)
    assert caught.value.__cause__ is not None
    assert judged(caught.value) == expected
    assert judged(caught.value.__cause__) == expected


# --- what no test can have a database do ----------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("08006", LOST),  # connection failure
        ("08P01", LOST),  # protocol violation
        ("57P02", LOST),  # crash shutdown
        ("57P03", LOST),  # cannot connect now
        ("53100", UNAVAILABLE),  # disk full
        ("53200", UNAVAILABLE),  # out of memory
        ("58030", UNAVAILABLE),  # I/O error
        ("23505", FAULT_OF_OURS),
        ("XX000", FAULT_OF_OURS),
    ],
)
def test_a_sqlstate_is_judged_whatever_the_class(
    state: str, expected: tuple[bool, bool, bool]
) -> None:
    for django_class in (DatabaseProblem, OperationalError, ProgrammingError):
        error = django_class()
        error.__cause__ = psycopg.errors.lookup(state)()
        assert judged(error) == expected


@pytest.mark.parametrize("code", [sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PROTOCOL])
def test_a_code_of_sqlite_is_judged_by_its_low_byte(code: int) -> None:
    for extended in (code, code | 7 << 8):
        error = sqlite3.Error()
        error.sqlite_errorcode = extended
        assert judged(error) == UNAVAILABLE


def test_errors_without_a_code_are_judged_by_what_raised_them() -> None:
    assert judged(psycopg.DatabaseError("error with no message from the libpq")) == LOST
    assert judged(InterfaceError("connection already closed")) == LOST
    assert judged(trouble.Away()) == UNAVAILABLE
    assert judged(ProgrammingError()) == FAULT_OF_OURS
    assert judged(RuntimeError()) == FAULT_OF_OURS


# --- trying again ---------------------------------------------------------------------------------


def failing(error: Exception, times: int) -> Callable[[], int]:
    """Return a function that raises so many times, then returns how often it was called."""
    calls = []

    def work() -> int:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return len(calls)

    return work


def caused_by(cause: Exception) -> OperationalError:
    """Return the error that Django makes of a driver's."""
    error = OperationalError()
    error.__cause__ = cause
    return error


def test_a_transaction_is_tried_three_times_for_conflicts_only() -> None:
    conflict = caused_by(psycopg.errors.DeadlockDetected())
    assert trouble.despite_conflicts(failing(conflict, 0)) == 1
    assert trouble.despite_conflicts(failing(conflict, 2)) == 3
    with pytest.raises(OperationalError):
        trouble.despite_conflicts(failing(conflict, 3))
    # It may have been committed before the connection broke.
    with pytest.raises(OperationalError):
        trouble.despite_conflicts(failing(caused_by(psycopg.errors.AdminShutdown()), 1))


def test_a_first_statement_is_done_again_once_if_its_connection_was_lost(
    transactional_db: None,
) -> None:
    lost = caused_by(psycopg.errors.AdminShutdown())
    assert trouble.on_a_live_connection(failing(lost, 0)) == 1
    assert trouble.on_a_live_connection(failing(lost, 1)) == 2
    with pytest.raises(OperationalError):
        trouble.on_a_live_connection(failing(lost, 2))
    with pytest.raises(OperationalError):
        trouble.on_a_live_connection(failing(caused_by(psycopg.errors.QueryCanceled()), 1))


def test_nothing_is_done_again_inside_a_transaction(db: None) -> None:
    with pytest.raises(OperationalError):
        trouble.on_a_live_connection(failing(caused_by(psycopg.errors.AdminShutdown()), 1))


def test_one_thread_tries_a_database_that_is_away_and_the_others_are_told(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_tried, is_back = threading.Event(), threading.Event()
    reached: list[str] = []

    def fail() -> None:
        raise OperationalError

    def wait() -> None:
        is_tried.set()
        assert is_back.wait(5)

    def probe() -> None:
        trouble.connect()
        reached.append("by the probe")

    ours: Any = trouble
    with monkeypatch.context() as patch:
        patch.setattr(ours, "connection", Stand(fail))
        with pytest.raises(OperationalError):
            trouble.connect()
    with monkeypatch.context() as patch:
        patch.setattr(ours, "connection", Stand(wait))
        thread = threading.Thread(target=probe)
        thread.start()
        assert is_tried.wait(5)
        with pytest.raises(trouble.Away):
            trouble.connect()
        is_back.set()
        thread.join(5)
    assert reached == ["by the probe"]
    trouble.connect()


class Stand:
    """Stands in for Django's connection, and connects as it is told."""

    def __init__(self, ensure_connection: Callable[[], None]) -> None:
        self.ensure_connection = ensure_connection


# --- through the door -----------------------------------------------------------------------------


@contextmanager
def read_only() -> Iterator[None]:
    """Have this thread's database refuse to write while the block runs."""
    name, on, off = {
        "sqlite": ("PRAGMA query_only", "on", "off"),
        "postgresql": ("SET default_transaction_read_only", "on", "off"),
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(f"{name} = {on}")
    yield
    with connection.cursor() as cursor:
        cursor.execute(f"{name} = {off}")


def test_a_database_that_cannot_be_written_to_is_503(transactional_db: None) -> None:
    door = Door(make_source())
    with read_only():
        response = door.send()
    assert (response.status_code, response.headers["Leadping-Problem"]) == (503, "unavailable")
    assert int(response.headers["Retry-After"]) > 0
    assert Lead.objects.count() == Post.objects.count() == 0
    assert door.send().status_code == 201


def test_a_statement_that_is_wrong_is_our_own_fault(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Statement("SELECT * FROM no_such_table WHERE it = %(phone)s")
    monkeypatch.setattr("intake.store.gathering", lambda *args: wrong)
    response = door.send()
    assert (response.status_code, response.headers["Leadping-Problem"]) == (500, "internal-error")


def test_a_post_survives_two_conflicts_and_is_stored_once(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.source.default_tags.add(door.source.business.tags.create(name="VIP"))
    conflicts = [caused_by(psycopg.errors.SerializationFailure()) for _ in range(2)]

    def write_tags(*args: Any) -> None:
        if conflicts:
            raise conflicts.pop()

    monkeypatch.setattr("intake.store.write_tags", write_tags)
    assert door.send(tagNames=["nobody knows"]).status_code == 201
    assert Lead.objects.count() == Post.objects.count() == 1
    assert Post.objects.get().notes == {"ignored": ["tagNames.nobody knows"]}


def test_a_look_up_on_a_lost_connection_is_done_again(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = Door(make_source())
    load, lost = authentication.load, [caused_by(psycopg.errors.AdminShutdown())]

    def break_once(digest: str) -> Any:
        if lost:
            raise lost.pop()
        return load(digest)

    monkeypatch.setattr("intake.authentication.load", break_once)
    assert door.send().status_code == 201
