"""The SQL of a post: what is counted and read before deciding, and the rows written after.

It joins its own look-ups to those of `leads/facts.py` on the person; with that file and the locks
of `sources/locks.py`, the hand-written SQL on the path of a post. Names are the ORM's. Source:
DECISIONS, Intake 3 and 4.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from operator import attrgetter
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connection, connections, models

from intake.models import Post, RateWindow, RefusalCount
from leads.caps import Period
from leads.facts import FAILED, Lookups, arm, arms, locking_person, lookups_of, parameters, rows_of
from leads.models import Lead
from sources.models import Source, SourceKey, Tag
from sources.sql import as_parameter, column, name_of, quoted, table
from sources.statements import Statement, is_sent_past_django, round_trip

LENGTH = re.compile(r"\(.*\)")
WINDOW_MS = 60_000


@dataclass(frozen=True, slots=True)
class State:
    """What the database knows, inside the transaction, of a post about to be decided.

    The ids are those of the leads that already have the post's idempotency key and its external
    id, None if none has.
    """

    source_version: UUID
    key_expires_at: datetime | None
    key_revoked_at: datetime | None
    lead_of_key: UUID | None
    lead_of_external_id: UUID | None
    lookups: Lookups


@cache
def gathering(vendor: str, is_person_looked_up: bool) -> Statement:
    """Return the statement behind `gather`, for the kind of database that `vendor` names."""

    def lead_by(what: str, name: str) -> str:
        # "not empty" in the words of the index, for which it would not be used otherwise
        one = partial(name_of, Lead)
        return arm(
            what,
            f"FROM {table(Lead)} WHERE {one('source')} = %(source)s "
            f"AND {one(name)} = %({name})s AND NOT ({one(name)} = '') "
            f"AND {one('is_test')} = %(is_test)s",
            id=one("id"),
        )

    key = arm(
        "key",
        f"FROM {table(SourceKey)} JOIN {table(Source)} "
        f"ON {column(Source, 'id')} = {column(SourceKey, 'source')} "
        f"WHERE {column(SourceKey, 'id')} = %(key)s",
        is_first=True,
        id=column(Source, "version"),
        at=column(SourceKey, "expires_at"),
        till=column(SourceKey, "revoked_at"),
    )
    repeats = (lead_by("repeated_key", "idempotency_key"), lead_by("repeated_id", "external_id"))
    person = arms(vendor, Lead) if is_person_looked_up else ()
    return Statement(" UNION ALL ".join((key, *repeats, *person)))


def gather(
    key_id: UUID,
    lead: Lead,
    source: Source,
    periods: Iterable[Period],
    *,
    is_person_looked_up: bool = True,
) -> State | None:
    """Lock a new lead's person; return what the database knows of them, of its key, source and ids.

    In one round trip; None if the key is no longer there. A person who is not looked up is not
    locked either.
    """
    values = {
        **parameters(lead, source, periods),
        "key": key_id,
        "idempotency_key": lead.idempotency_key,
        "external_id": lead.external_id,
        "is_test": lead.is_test,
    }
    calls = locking_person(lead) if is_person_looked_up else []
    calls.append((gathering(connection.vendor, is_person_looked_up), values))
    rows = rows_of(round_trip(calls)[-1], Lead)
    named = {one.what: one for one in rows}
    if "key" not in named:
        return None
    key = named["key"]
    assert key.id
    first = {what: named[what].id for what in ("repeated_key", "repeated_id") if what in named}
    return State(
        key.id,
        key.at,
        key.till,
        first.get("repeated_key"),
        first.get("repeated_id"),
        lookups_of(rows) if is_person_looked_up else FAILED,
    )


def insert(model: type[models.Model], values: str) -> str:
    """Return an INSERT of one row of `model`; in `values`, {} stands for the parameter marks.

    On PostgreSQL each is cast to its column's type, which a SELECT would not tell; without its
    length, for a cast would cut what is too long, and say nothing.
    """
    fields = model._meta.concrete_fields
    names = ", ".join(quoted(one.column) for one in fields)
    is_cast = connection.vendor != "sqlite"
    casts = [f"::{LENGTH.sub('', str(one.db_type(connection)))}" for one in fields]
    marks = ", ".join(f"%s{cast if is_cast else ''}" for cast in casts)
    return f"INSERT INTO {table(model)} ({names}) {values.format(marks)}"


@cache
def writing(vendor: str) -> tuple[Statement, ...]:
    """Return the statements behind `write`: one on PostgreSQL, two on SQLite."""
    if vendor == "sqlite":
        return new_lead_of(vendor), Statement(insert(Post, "VALUES ({})"))
    lead = f"{new_lead_of(vendor).sql} RETURNING 1"
    return (Statement(f"WITH written AS ({lead}) {insert(Post, 'SELECT {} FROM written')}"),)


@cache
def new_lead_of(vendor: str) -> Statement:
    """Return the statement that writes a new lead, unless one of its ids is taken."""
    return Statement(insert(Lead, "VALUES ({}) ON CONFLICT DO NOTHING"))


@cache
def values_of(model: type[models.Model]) -> Callable[[models.Model], tuple[Any, ...]]:
    """Return what gets the values of an instance, in the order of its columns."""
    return attrgetter(*(one.attname for one in model._meta.concrete_fields))


def row(instance: models.Model) -> Sequence[Any]:
    """Return an instance's values as the database takes them, in the order of its columns."""
    if is_sent_past_django():
        return values_of(type(instance))(instance)
    database = connections[DEFAULT_DB_ALIAS]
    return [
        one.get_db_prep_save(getattr(instance, one.attname), database)
        for one in instance._meta.concrete_fields
    ]


def write(lead: Lead, post: Post, *, is_last: bool = False) -> bool:
    """Write a new lead and its post; return False, and write neither, if one of its ids is taken.

    Without an exception: a failed statement would put the whole lead into PostgreSQL's log.
    `is_last`: nothing else was written before or is to be, so that the transaction may end with it,
    in the same round trip.
    """
    statements = writing(connection.vendor)
    if len(statements) == 1:
        (written,) = round_trip([(statements[0], [*row(lead), *row(post)])], is_last=is_last)
        return written.count == 1
    if statements[0].run(row(lead)).count == 0:
        return False
    statements[1].run(row(post))
    return True


def write_lead(lead: Lead) -> bool:
    """Write a new lead whose post is there already; return False if one of its ids is taken."""
    return new_lead_of(connection.vendor).run(row(lead)).count == 1


def write_tags(lead: Lead, tags: Iterable[Tag]) -> None:
    """Put tags on a new lead, those that still are in use: one may be archived at any time."""
    link = Lead.tags.through
    tag_ids = [as_parameter(Tag._meta.pk, tag.id) for tag in tags]
    lock = "" if connection.vendor == "sqlite" else "FOR KEY SHARE"
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table(link)} ({quoted('lead_id')}, {quoted('tag_id')}) "
            f"SELECT {'%s' if not lock else '%s::uuid'}, {column(Tag, 'id')} "
            f"FROM {table(Tag)} "
            f"WHERE {column(Tag, 'id')} IN ({', '.join('%s' for _ in tag_ids)}) "
            f"AND {column(Tag, 'archived_at')} IS NULL {lock}",
            [as_parameter(Lead._meta.pk, lead.id), *tag_ids],
        )


@cache
def using(vendor: str) -> tuple[Statement, Statement]:
    """Return the statements behind `use`: the one that counts, and the one that only looks.

    The counting one changes nothing, and returns no row, when the window is used up. The clock is
    the database's, so that several machines agree.
    """
    windows = table(RateWindow)
    subject, started, used = (quoted(one) for one in ("subject", "started_ms", "used"))
    now = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    if vendor == "sqlite":
        now = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
    # A window that began in the future was begun before the clock was set back.
    is_over = f"({windows}.{started} NOT BETWEEN {now} - {WINDOW_MS} + 1 AND {now} + {WINDOW_MS})"
    counting = f"""
        INSERT INTO {windows} ({subject}, {started}, {used}) VALUES (%s, {now}, 1)
        ON CONFLICT ({subject}) DO UPDATE SET
            {used} = CASE WHEN {is_over} THEN 1 ELSE {windows}.{used} + 1 END,
            {started} = CASE WHEN {is_over} THEN excluded.{started} ELSE {windows}.{started} END
        WHERE {is_over} OR {windows}.{used} < CAST(%s AS bigint)
        RETURNING {used}, {started} + {WINDOW_MS} - {now}"""
    looking = f"SELECT {started} + {WINDOW_MS} - {now} FROM {windows} WHERE {subject} = %s"
    return Statement(counting), Statement(looking)


def use(subject: str, limit: int) -> tuple[int | None, int]:
    """Use one of the `limit` that a subject has in its window of 60 s, which its first use begins.

    Returns how many are used by now, None if none was left, and the milliseconds to the window's
    end. Exact across processes. Source: contract §9 `rate-limited`; DECISIONS, Intake 5.
    """
    counting, looking = using(connection.vendor)
    for used, ends_in_ms in counting.run([subject, limit]).rows:
        return used, ends_in_ms
    found = looking.run([subject]).rows
    return None, found[0][0] if found else WINDOW_MS


@cache
def add_refusals_sql(vendor: str, is_of_source: bool) -> str:
    """Return the statement behind `add_refusals`, for a count of a source or of an address."""
    counts = table(RefusalCount)
    count, minute, code, source, address = (
        quoted(RefusalCount._meta.get_field(name).column)  # type: ignore[union-attr]
        for name in ("count", "minute", "code", "source", "address")
    )
    one = f"{source}, {minute}, {code}" if is_of_source else f"{minute}, {code}, {address}"
    condition = "NOT NULL" if is_of_source else "NULL"
    return (
        f"{insert(RefusalCount, 'VALUES ({})')} "
        f"ON CONFLICT ({one}) WHERE {source} IS {condition} "
        f"DO UPDATE SET {count} = {counts}.{count} + excluded.{count}"
    )


def add_refusals(counts: Iterable[RefusalCount]) -> None:
    """Add counts to what is there already."""
    with connection.cursor() as cursor:
        for one in counts:
            sql = add_refusals_sql(connection.vendor, one.source_id is not None)
            cursor.execute(sql, row(one))
