"""Leads read in order as plain rows, column by column: some thousand at a time, without models.

Values that the database writes faster than Python reads them come as they stand in files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.db import connection, models
from django.db.models import F, OuterRef, QuerySet

from leads import masks
from leads.browse import Browse, beyond, merged
from leads.columns import Column
from leads.files import MARK, Cells, Together, Type, remembering, written
from leads.models import Lead
from sources.decimals import PLACES, ExactDecimalField

ROWS_AT_ONCE = 20_000
ROWS_AT_ONCE_ON_SQLITE = 2_000


ID, RECEIVED_AT = "id", "received_at"
TAG_MARK = "\x1e"


# --- columns as text ------------------------------------------------------------------------------


class MomentText(models.Func):
    """A moment as the wire has it: RFC 3339 in UTC, cut to the millisecond."""

    template = "to_char(%(expressions)s AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
    arity = 1
    output_field = models.TextField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = (
            "substr(%(expressions)s, 1, 10) || 'T' || substr(%(expressions)s, 12, 8) || '.' || "
            "substr(substr(%(expressions)s, 21, 3) || '000', 1, 3) || 'Z'"
        )
        return self.as_sql(compiler, connection, template=template, **context)


class IdText(models.Func):
    """An id as text, with its dashes."""

    template = "%(expressions)s::text"
    arity = 1
    output_field = models.TextField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        ends = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
        parts = (f"substr(%(expressions)s, {start}, {length})" for start, length in ends)
        return self.as_sql(compiler, connection, template=" || '-' || ".join(parts), **context)


class PlainText(models.Func):
    """A value as PostgreSQL writes it, which is faster read than as what it is."""

    template = "%(expressions)s::text"
    arity = 1
    output_field = models.TextField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="%(expressions)s", **context)


class AddressText(PlainText):
    """An IP address, without the mask of a network."""

    template = "host(%(expressions)s)"


class NamesJoined(models.Func):
    """The values of a text in some rows, in any order, with a mark between that no name holds."""

    template = "string_agg(%(expressions)s, chr(30))"
    arity = 1
    output_field = models.TextField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "group_concat(%(expressions)s, char(30))"
        return self.as_sql(compiler, connection, template=template, **context)


TAGS = "tags"


def joined_tags() -> Any:
    """Return the names of the tags of a lead as SQL."""
    links: Any = Lead.tags.through._default_manager.filter(lead=OuterRef("pk")).order_by()
    return links.values("lead").annotate(names=NamesJoined("tag__name")).values("names")


@dataclass(frozen=True, slots=True)
class Source:
    """How a field of a lead is read: its SQL, and what makes its value of what comes, "" for none.

    PostgreSQL brings texts, SQLite also numbers.
    """

    sql: Any
    value: Callable[[Any], Any] | None = None


def source_of(path: str) -> Source:
    """Return how a field of a lead, or of a related row, is read."""
    if path == TAGS:
        return Source(models.Subquery(joined_tags()), sorted_names)
    model: Any = Lead
    *related, last = path.split("__")
    for name in related:
        model = model._meta.get_field(name).related_model
    field = next(one for one in model._meta.concrete_fields if last in (one.name, one.attname))
    if isinstance(field, models.UUIDField | models.ForeignKey):
        return Source(IdText(F(path)))
    if isinstance(field, models.DateTimeField):
        return Source(MomentText(F(path)))
    if isinstance(field, models.GenericIPAddressField):
        return Source(AddressText(F(path)))
    if isinstance(field, models.CharField | models.TextField):
        return Source(F(path))
    for kind, value in VALUES.items():
        if isinstance(field, kind):
            return Source(PlainText(F(path)), value)
    raise TypeError(field)


def decimal_of(raw: Any) -> Decimal | None:
    """Return a decimal of its text, or of the whole units that SQLite keeps."""
    if raw == "":
        return None
    return Decimal(raw).scaleb(-PLACES) if isinstance(raw, int) else Decimal(raw)


def date_of(raw: str) -> date | None:
    return date.fromisoformat(raw) if raw else None


def bool_of(raw: Any) -> bool | None:
    return None if raw == "" else raw in ("true", 1)


def sorted_names(raw: str) -> str:
    """Return names in order, with commas."""
    return ", ".join(sorted(raw.split(TAG_MARK))) if raw else ""


VALUES: dict[type[models.Field], Callable[[Any], Any]] = {
    ExactDecimalField: decimal_of,
    models.DateField: date_of,
    models.JSONField: json.loads,
    models.BooleanField: bool_of,
}


# --- masks in SQL ---------------------------------------------------------------------------------


class Masked(models.Func):
    """What PostgreSQL makes of columns as `leads/masks.py` would, for who reads very many rows.

    `template` has the columns as `{0}`, `{1}` …
    """

    output_field = models.TextField()

    def __init__(self, *paths: str, template: str) -> None:
        super().__init__(*(F(one) for one in paths))
        self.template_of_columns = template

    def as_sql(self, compiler: Any, connection: Any, *args: Any, **context: Any) -> Any:
        columns = [compiler.compile(one)[0] for one in self.get_source_expressions()]
        return f"({self.template_of_columns.format(*columns)})", []


DOTS = f"'{masks.HIDDEN}'"


def first_sql(text: str) -> str:
    return f"CASE WHEN length({text}) >= {masks.SHORTEST_SHOWN} THEN left({text}, 1) ELSE '' END"


def name_sql(text: str) -> str:
    return f"CASE WHEN {text} = '' THEN '' ELSE {first_sql(text)} || {DOTS} END"


def phone_sql(number: str) -> str:
    shown = f"CASE WHEN left({number}, 2) = '+1' THEN 5 ELSE 3 END"
    middle = f"repeat('•', length({number}) - {shown} - 2)"
    return (
        f"CASE WHEN {number} = '' THEN '' "
        f"WHEN length({number}) < {masks.LONG_NUMBER} THEN left({number}, 2) || {DOTS} "
        f"ELSE left({number}, {shown}) || {middle} || right({number}, 2) END"
    )


def email_sql(address: str) -> str:
    domain = f"split_part({address}, '@', -1)"
    local = f"left({address}, length({address}) - length({domain}) - 1)"
    top = f"split_part({domain}, '.', -1)"
    name = f"left({domain}, greatest(length({domain}) - length({top}) - 1, 0))"
    common = ", ".join(f"'{one}'" for one in sorted(masks.COMMON_ENDINGS))
    ending = f"CASE WHEN {top} IN ({common}) THEN '.' || {top} ELSE '' END"
    return (
        f"CASE WHEN {address} = '' THEN '' WHEN strpos({address}, '@') = 0 THEN {DOTS} "
        f"ELSE {first_sql(local)} || {DOTS} || '@' || {first_sql(name)} || {DOTS} || {ending} END"
    )


def person_sql(first_name: str, last_name: str, number: str, address: str) -> str:
    names = (f"nullif({name_sql(one)}, '')" for one in (first_name, last_name))
    reached = f"CASE WHEN {number} = '' THEN {email_sql(address)} ELSE {phone_sql(number)} END"
    named = f"nullif(concat_ws(' ', {', '.join(names)}), '')"
    return f"concat_ws(' · ', {named}, nullif({reached}, ''))"


# The masks that cost most, of columns that hardly two rows have in common.
IN_SQL: dict[Any, Callable[..., str]] = {
    masks.name: name_sql,
    masks.phone: phone_sql,
    masks.email: email_sql,
    masks.person: person_sql,
}

Read = Mapping[str, Cells]  # what was read, by its path


class Split(dict[str, Cells]):
    """What was read, each column in one piece, which is taken apart when it is asked for."""

    def __init__(self, whole: dict[str, str]) -> None:
        super().__init__()
        self.whole = whole

    def __missing__(self, path: str) -> Cells:
        cells = self[path] = Together(self.whole[path])
        return cells


# --- reading --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Piece:
    """Some leads in order: how many, the id of the last one, and the cells of each column.

    `settle` waits until the connection has brought the next ones.
    """

    count: int
    last_id: str
    read: Read
    cells: list[Cells]
    settle: Callable[[], None]

    @property
    def ids(self) -> Cells:
        """Return their ids, as text."""
        return self.read[ID]

    @property
    def received(self) -> Cells:
        """Return when they came, as text."""
        return self.read[RECEIVED_AT]


class Reader:
    """Reads leads for some columns, as everybody may see them or with the person."""

    def __init__(self, columns: Sequence[Column], *, is_masked: bool) -> None:
        # Whether the id of each is asked for: of a file with persons, it is kept who goes out.
        self.has_ids = not is_masked or any(ID in one.fields for one in columns)
        self.paths: dict[str, str] = {}
        self.sources: dict[str, Source] = {}
        self.add(ID)
        self.add(RECEIVED_AT)
        self.columns = [self.compiled(one, is_masked=is_masked) for one in columns]
        self.values = {
            path: remembering(one.value, is_kept=False)
            for path, one in self.sources.items()
            if one.value
        }

    def add(self, path: str) -> str:
        """Read this field too; return its name in the statement."""
        if path not in self.paths:
            self.paths[path] = f"c{len(self.paths)}"
            self.sources[path] = source_of(path)
        return path

    def add_masked(self, column: Column) -> str:
        """Read this column as everybody may see it; return its name in what was read."""
        path = f"masked {column.name}"
        columns = (f"{{{number}}}" for number in range(len(column.fields)))
        self.paths[path] = f"c{len(self.paths)}"
        self.sources[path] = Source(Masked(*column.fields, template=IN_SQL[column.mask](*columns)))
        return path

    def compiled(self, column: Column, *, is_masked: bool) -> Callable[[Read], Cells]:
        """Return what makes the cells of a column, all texts, of the fields that were read."""
        if is_masked and column.mask in IN_SQL and connection.vendor == "postgresql":
            return itemgetter(self.add_masked(column))
        paths = [self.add(one) for one in ((TAGS,) if column.has_tags else column.fields)]
        kind = column.field(is_masked=is_masked).type
        make = column.made_by(is_masked=is_masked)
        if len(paths) == 1:
            value = self.sources[paths[0]].value
            if make is None and value is None:
                return itemgetter(paths[0])
            return of_one(paths[0], value, make, kind, is_kept=column.mask is None)

        def of_several(read: Read) -> Cells:
            assert make
            found = map(make, *(self.valued(one, read) for one in paths))
            return list(found) if kind is Type.TEXT else [written(kind, one) for one in found]

        return of_several

    def valued(self, path: str, read: Read) -> Cells:
        """Return the values of a field that was read."""
        make = self.values.get(path)
        return make(read[path]) if make else read[path]

    def statement(
        self, branches: list[QuerySet[Lead]], limit: int, *, is_descending: bool
    ) -> tuple[str, list[Any]]:
        """Return the SQL of the first leads of all branches, "" if there can be none."""
        made = {alias: self.sources[path].sql for path, alias in self.paths.items()}
        rows = [one.annotate(**made) for one in branches]
        return merged(rows, ("id", *made), limit, is_descending)

    def piece(self, found: Found, read: Read, settle: Callable[[], None]) -> Piece:
        """Return rows that were read as the cells of their columns."""
        cells = [make(read) for make in self.columns]
        return Piece(found.count, found.last_id, read, cells, settle)


def of_one(
    path: str,
    value: Callable[[Any], Any] | None,
    make: Callable[..., Any] | None,
    kind: Type,
    *,
    is_kept: bool,
) -> Callable[[Read], Cells]:
    """Return what makes the cells of a column of its only field."""

    def one(raw: Any) -> str:
        found = value(raw) if value else raw
        return written(kind, make(found) if make else found)

    column = remembering(one, is_kept=is_kept)
    return lambda read: column(read[path])


def rows_at_once() -> int:
    """Return how many leads to read at once."""
    return ROWS_AT_ONCE_ON_SQLITE if connection.vendor == "sqlite" else ROWS_AT_ONCE


def pieces(
    browse: Browse, reader: Reader, as_of: datetime, after: UUID | None, rows: int | None = None
) -> Iterator[Piece]:
    """Yield the leads of a list in its order, those after this one, received until a moment.

    While one piece is worked at, PostgreSQL reads the next one: by a connection of its own, or in a
    transaction, of which another would not see what that has written, by the same. Until it is done
    nobody else may use that then (`Piece.settle`).
    """
    size = rows or rows_at_once()
    is_descending = browse.order == "newest"
    branches = [one.filter(received_at__lte=as_of) for one in browse.branches()]
    with ThreadPoolExecutor(max_workers=1) as pool:

        def asked(after: UUID | None) -> Coming:
            some = branches
            if after:
                place = Lead.objects.only("received_at").get(id=after)
                some = [beyond(one, place, is_descending) for one in branches]
            sql, values = reader.statement(some, size, is_descending=is_descending)
            return soon(pool, reader, sql, values) if sql else NOTHING

        try:
            coming = asked(after)
            while (found := coming.found()).count:
                coming = asked(UUID(found.last_id)) if found.count == size else NOTHING
                yield reader.piece(found, found.columns(), coming.settle)
        finally:
            pool.submit(lambda: connection.close()).result()  # which is asked for in the thread


@dataclass(frozen=True, slots=True)
class Found:
    """Rows that were read: how many, the id of the last one, and how to get at their columns.

    Which is left for when the next rows are asked for already.
    """

    count: int = 0
    last_id: str = ""
    columns: Callable[[], Read] = dict


def nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Coming:
    """Rows that were asked for: how to get them, and to wait until the connection is free."""

    found: Callable[[], Found]
    settle: Callable[[], None] = nothing


NOTHING = Coming(Found)


def settled(future: Future[Found]) -> None:
    """Wait until rows have been read, or could not be, which whoever gets them is told."""
    wait([future])


def soon(pool: ThreadPoolExecutor, reader: Reader, sql: str, values: list[Any]) -> Coming:
    """Have rows read, on PostgreSQL at once and beside what else is done.

    The first of the columns is the id; of a reader without, only the last one is brought.
    """
    paths = reader.paths
    names = list(paths.values())
    filled = ", ".join(f"coalesce({one}, '') AS {one}" for one in names)
    plain = f"SELECT {filled} FROM ({sql}) AS page"

    def found_in(rows: list[tuple[Any, ...]]) -> Found:
        if not rows:
            return Found()
        return Found(
            len(rows), rows[-1][0], lambda: dict(zip(paths, zip(*rows, strict=True), strict=True))
        )

    if connection.vendor == "sqlite":

        def now() -> Found:
            with connection.cursor() as cursor:
                cursor.execute(plain, values)
                rows = cursor.fetchall()
            return found_in(rows)

        return Coming(now)
    # A row of columns, each in one piece: what Python would take apart row by row and put together
    # again costs as much as all that PostgreSQL does. The rows are in the order of the page.
    brought = {path: one for path, one in paths.items() if path != ID or reader.has_ids}
    parts = ", ".join(f"string_agg({one}, chr({ord(MARK)}))" for one in brought.values())
    last = f"(array_agg({paths[ID]}))[count(*)]"
    whole = f"SELECT count(*), {last}, {parts} FROM ({plain}) AS rows"
    is_shared = connection.in_atomic_block
    ours: Any = connection.connection
    wrapped = connection.wrap_database_errors

    def read() -> Found:
        if not is_shared:
            connection.ensure_connection()  # of this thread
        raw: Any = ours if is_shared else connection.connection
        with raw.cursor() as cursor:
            count, last_id, *joined = cursor.execute(whole, values).fetchone()
            if not count:
                return Found()
            if any(one.count(MARK) != count - 1 for one in joined):  # a value has the mark in it
                return found_in(cursor.execute(plain, values).fetchall())
        return Found(count, last_id, lambda: Split(dict(zip(brought, joined, strict=True))))

    future = pool.submit(read)

    def result() -> Found:
        with wrapped:
            return future.result()

    return Coming(result, partial(settled, future) if is_shared else nothing)
