"""The SQL of a post: what is read before deciding, and the rows that are written after.

The only hand-written SQL on the path of a post; the names of tables and columns are the ORM's.
Source: DECISIONS, Intake 3 and 4.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from django.db import connection, models

from intake.models import Post
from leads.models import Lead
from sources.models import Source, SourceKey, Tag

LENGTH = re.compile(r"\(.*\)")


@dataclass(frozen=True, slots=True)
class State:
    """What the database knows, inside the transaction, of a post about to be decided.

    `first_lead_id` is the lead that already has the post's external id, None if there is none.
    """

    source_version: UUID
    key_expires_at: datetime | None
    key_revoked_at: datetime | None
    first_lead_id: UUID | None


def quoted(name: Any) -> str:
    """Return a table's or column's name as SQL."""
    return connection.ops.quote_name(name)


def column(model: type[models.Model], name: str) -> str:
    """Return a field's column with its table, as SQL."""
    table = model._meta.db_table
    field: Any = model._meta.get_field(name)
    return f"{quoted(table)}.{quoted(field.column)}"


@cache
def gather_sql(vendor: str) -> str:
    """Return the statement behind `gather`."""
    source, key, lead = (quoted(one._meta.db_table) for one in (Source, SourceKey, Lead))
    return f"""
        SELECT {column(Source, "version")}, {column(SourceKey, "expires_at")},
               {column(SourceKey, "revoked_at")}, {column(Lead, "id")}
        FROM {key}
        JOIN {source} ON {column(Source, "id")} = {column(SourceKey, "source")}
        LEFT JOIN {lead} ON {column(Lead, "source")} = {column(Source, "id")}
            AND {column(Lead, "external_id")} = %s AND NOT ({column(Lead, "external_id")} = '')
            AND {column(Lead, "is_test")} = %s
        WHERE {column(SourceKey, "id")} = %s
    """


def gather(key_id: UUID, external_id: str, is_test: bool) -> State:
    """Return what the database knows of the key, its source and the external id, in one look-up."""
    fields = (
        Source._meta.get_field("version"),
        SourceKey._meta.get_field("expires_at"),
        SourceKey._meta.get_field("revoked_at"),
        Lead._meta.pk,
    )
    with connection.cursor() as cursor:
        cursor.execute(
            gather_sql(connection.vendor),
            [external_id, is_test, SourceKey._meta.pk.get_db_prep_value(key_id, connection)],
        )
        return State(*map(from_row, fields, cursor.fetchone()))


def from_row(field: Any, value: Any) -> Any:
    """Return a raw column's value as its field has it in Python."""
    for convert in connection.ops.get_db_converters(field.get_col(field.model._meta.db_table)):
        value = convert(value, None, connection)
    return value


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
    return f"INSERT INTO {quoted(model._meta.db_table)} ({names}) {values.format(marks)}"


@cache
def write_sql(vendor: str) -> tuple[str, ...]:
    """Return the statements behind `write`: one on PostgreSQL, two on SQLite."""
    if vendor == "sqlite":
        return insert(Lead, "VALUES ({}) ON CONFLICT DO NOTHING"), insert(Post, "VALUES ({})")
    lead = insert(Lead, "VALUES ({}) ON CONFLICT DO NOTHING RETURNING 1")
    return (f"WITH written AS ({lead}) {insert(Post, 'SELECT {} FROM written')}",)


def row(instance: models.Model) -> list[Any]:
    """Return an instance's values as the database takes them, in the order of its columns."""
    return [
        one.get_db_prep_save(getattr(instance, one.attname), connection)
        for one in instance._meta.concrete_fields
    ]


def write(lead: Lead, post: Post) -> bool:
    """Write a new lead and its post; return False, and write neither, if its external id is taken.

    Without an exception: a failed statement would put the whole lead into PostgreSQL's log.
    """
    statements = write_sql(connection.vendor)
    with connection.cursor() as cursor:
        if len(statements) == 1:
            cursor.execute(statements[0], [*row(lead), *row(post)])
            return bool(cursor.rowcount == 1)
        cursor.execute(statements[0], row(lead))
        if cursor.rowcount == 0:
            return False
        cursor.execute(statements[1], row(post))
        return True


def write_tags(lead: Lead, tags: Iterable[Tag]) -> None:
    """Put tags on a new lead, those that still are there: one may be deleted at any time."""
    link = Lead.tags.through
    tag_ids = [Tag._meta.pk.get_db_prep_value(tag.id, connection) for tag in tags]
    lock = "" if connection.vendor == "sqlite" else "FOR KEY SHARE"
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {quoted(link._meta.db_table)} ({quoted('lead_id')}, {quoted('tag_id')}) "
            f"SELECT {'%s' if not lock else '%s::uuid'}, {column(Tag, 'id')} "
            f"FROM {quoted(Tag._meta.db_table)} "
            f"WHERE {column(Tag, 'id')} IN ({', '.join('%s' for _ in tag_ids)}) {lock}",
            [Lead._meta.pk.get_db_prep_value(lead.id, connection), *tag_ids],
        )
