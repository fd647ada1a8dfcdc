"""What an accepted post costs PostgreSQL: statements, round trips, connections, bytes of WAL.

One more query, and one of these is red. Told by PostgreSQL's own protocol and counters.
"""

import gc
import json
import threading
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import DataError, connection
from django.db.backends.signals import connection_created
from django.utils import timezone
from psycopg import pq

from bench.client import lead_body
from intake import store
from intake.models import Post
from leads.models import Lead
from sources.statements import Statement, round_trip
from tests.factories import Door, make_source

# The lead, its post, 25 indexes and what locks the rows that they point to; 4,500 as measured.
WAL_BYTES_AT_MOST = 5000


class Wire:
    """What this thread's connection sends to PostgreSQL, as libpq's own trace tells it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "trace"

    def sent(self, work: Callable[[], Any]) -> Counter[str]:
        """Return how many messages of each kind work() sends."""
        connection.ensure_connection()
        libpq = connection.connection.pgconn
        with self.path.open("wb") as file:
            libpq.trace(file.fileno())
            libpq.set_trace_flags(pq.Trace.SUPPRESS_TIMESTAMPS)
            try:
                work()
            finally:
                libpq.untrace()
        lines = self.path.read_text(errors="replace").splitlines()
        return Counter(one.split("\t")[2] for one in lines if one.startswith("F\t"))


def post(door: Door, number: int) -> None:
    assert door.post(lead_body(number)).status_code == 201


@pytest.mark.django_db(transaction=True)
def test_an_accepted_post_is_four_statements_in_three_round_trips(tmp_path: Path) -> None:
    """DECISIONS, Intake 4: limiter; BEGIN, lock, gather; write, COMMIT. Nothing is read anew."""
    door = Door(make_source())
    post(door, 1)
    made: list[object] = []
    connection_created.connect(lambda **told: made.append(told), weak=False, dispatch_uid="count")
    try:
        sent = Wire(tmp_path).sent(lambda: post(door, 2))
    finally:
        connection_created.disconnect(dispatch_uid="count")
    assert sent["Bind"] == sent["Execute"] == 4 + len(("BEGIN", "COMMIT"))
    assert sent["Parse"] == len(("BEGIN", "COMMIT"))
    assert sent["Sync"] == 3
    assert sent["Query"] == 0
    assert not made


@pytest.mark.django_db(transaction=True)
def test_a_cap_costs_a_statement_and_the_commit_its_own_round_trip(tmp_path: Path) -> None:
    door = Door(make_source(daily_cap=100))
    for number in range(3):
        post(door, number)
    sent = Wire(tmp_path).sent(lambda: post(door, 3))
    assert sent["Sync"] + sent["Query"] <= 5


@pytest.mark.processes
@pytest.mark.alone  # on the server, which counts the bytes of all that write to it
@pytest.mark.django_db(transaction=True)
def test_a_lead_writes_so_many_bytes_of_wal() -> None:
    door = Door(make_source())

    def written() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
            return int(cursor.fetchone()[0])

    taken = []
    for round_number in range(3):  # a checkpoint in one of them has every page written whole
        before = written()
        for number in range(50):
            post(door, 1000 * round_number + number)
        taken.append((written() - before) / 50)
    print(f"WAL bytes a lead: {[round(one) for one in taken]}")
    assert min(taken) < WAL_BYTES_AT_MOST


@pytest.mark.django_db(transaction=True)
def test_posts_go_on_when_the_server_forgets_all_that_was_prepared() -> None:
    door = Door(make_source())
    post(door, 1)
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
    post(door, 2)
    assert Lead.objects.count() == Post.objects.count() == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("which", ["gathering", "writing"])
def test_what_was_forgotten_alone_costs_one_post_a_retry(which: str) -> None:
    door = Door(make_source())
    post(door, 1)
    statement = (
        store.gathering("postgresql", True)
        if which == "gathering"
        else store.writing("postgresql")[0]
    )
    with connection.cursor() as cursor:
        cursor.execute(f"DEALLOCATE {statement.name.decode()}")
    response = door.post(lead_body(2))
    assert (response.status_code, response.headers["Leadping-Problem"]) == (503, "unavailable")
    assert Lead.objects.count() == 1
    post(door, 2)
    post(door, 3)
    assert Lead.objects.count() == Post.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_what_is_prepared_already_costs_one_post_a_new_connection() -> None:
    door = Door(make_source())
    connection.ensure_connection()
    with connection.cursor() as cursor:
        name = store.using("postgresql")[0].name.decode()
        cursor.execute(f"PREPARE {name} AS SELECT 1")
    post(door, 1)
    post(door, 2)
    assert Lead.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_thread_that_ends_leaves_no_connection() -> None:
    """Servers end idle threads and make new ones: each would leave one for good."""
    door = Door(make_source())
    post(door, 0)

    def connections() -> int:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND backend_type = 'client backend'"
            )
            return int(cursor.fetchone()[0])

    before, most = connections(), 0
    gc.disable()  # it would find them sooner or later
    try:
        for number in range(1, 16):
            thread = threading.Thread(target=post, args=[door, number])
            thread.start()
            thread.join()
            most = max(most, connections())
    finally:
        gc.enable()
    assert most <= before + 2  # one that is just ending
    assert Lead.objects.count() == 16


@pytest.mark.django_db(transaction=True)
def test_of_statements_in_one_trip_those_after_a_failed_one_do_not_run() -> None:
    connection.ensure_connection()
    table = Statement("CREATE TEMPORARY TABLE trip (n int CHECK (n < 3))")
    insert = Statement("INSERT INTO trip VALUES (%s::int)")
    table.run([])
    with pytest.raises(Exception, match="trip_n_check") as raised:
        round_trip([(insert, [1]), (insert, [3]), (insert, [2])])
    assert isinstance(raised.value.__cause__, psycopg.errors.CheckViolation)
    assert Statement("SELECT count(*) FROM trip").run([]).rows == [(0,)]
    assert insert.run([2]).count == 1  # the connection is as good as before


@pytest.mark.django_db(transaction=True)
def test_a_text_with_nul_is_refused_and_not_cut() -> None:
    with pytest.raises(DataError, match="NUL"):
        Statement("SELECT %s::text").run(["a\0b"])
    assert Statement("SELECT %s::text").run(["a b"]).rows == [("a b",)]


@pytest.mark.django_db(transaction=True)
def test_values_come_back_as_they_were() -> None:
    at, body = timezone.now(), bytes(range(256))
    values = [Lead.Status.BLOCKED, True, None, at, body, {"a": ["\u00e9", None]}, Decimal("1.50")]
    kinds = ("text", "boolean", "text", "timestamptz", "bytea", "jsonb::text", "numeric")
    sql = ", ".join(f"%s::{kind}" for kind in kinds)
    (row,) = Statement(f"SELECT {sql}").run(values).rows
    assert row[:4] == ("Blocked", True, None, at)
    assert (bytes(row[4]), json.loads(row[5]), row[6]) == (body, values[5], Decimal("1.50"))
