"""What goes beyond the ORM: one view of the rows, its names and raw values in our own SQL."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, models, transaction
from django.utils.deconstruct import deconstructible


@contextmanager
def one_view() -> Iterator[None]:
    """Let all that is read inside be of one moment, without keeping anybody from writing.

    Not inside another transaction, of which everything then is what that sees.
    """
    if connection.in_atomic_block:
        yield
    elif connection.vendor == "sqlite":
        connection.ensure_connection()
        raw = connection.connection
        if raw.in_transaction:  # one view inside another
            yield
            return
        raw.execute("PRAGMA query_only = ON")  # what is written would be lost
        raw.execute("BEGIN DEFERRED")  # Django's own begin by becoming the writer
        try:
            yield
        finally:
            if raw.in_transaction:  # SQLite may have ended it, on an error of the disk
                raw.execute("ROLLBACK")
            raw.execute("PRAGMA query_only = OFF")
    else:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield


@deconstructible(path="sources.sql.LastFour")
class LastFour(models.Func):
    """The last four characters of a text; written out, so that an index on it is recognised."""

    template = "RIGHT(%(expressions)s, 4)"
    arity = 1
    output_field = models.CharField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="SUBSTR(%(expressions)s, -4)", **context)


def quoted(name: Any) -> str:
    """Return a table's or column's name as SQL."""
    return connection.ops.quote_name(name)


def table(model: type[models.Model]) -> str:
    """Return a model's table as SQL."""
    return quoted(model._meta.db_table)


def name_of(model: type[models.Model], name: str) -> str:
    """Return a field's column as SQL, for statements on its table alone."""
    field: Any = model._meta.get_field(name)
    return quoted(field.column)


def column(model: type[models.Model], name: str) -> str:
    """Return a field's column with its table, as SQL."""
    return f"{table(model)}.{name_of(model, name)}"


def as_field(field: Any, value: Any) -> Any:
    """Return a raw column's value as its field has it in Python."""
    column = field.get_col(field.model._meta.db_table)
    converters = connection.ops.get_db_converters(column) + field.get_db_converters(connection)
    for convert in converters:
        value = convert(value, None, connection)
    return value


def as_parameter(field: Any, value: Any) -> Any:
    """Return a value of Python as the database takes it for a column of this field."""
    return field.get_db_prep_value(value, connection)


def distinct(
    model: type[models.Model], name: str, at_most: int, low: Any = None, high: Any = None
) -> list[Any]:
    """Return the values of a column that begins an index, in order, `low` and `high` included.

    From each value the index is asked for the next one, so that it costs what there are of them,
    not of rows. "" and NULL are none.
    """
    field: Any = model._meta.get_field(name)
    own = name_of(model, name)
    is_text = isinstance(field, models.CharField)
    # "not empty" in the words of the index, for which it would not be used otherwise
    kept = f"NOT ({own} = '')" if is_text else f"{own} IS NOT NULL"
    first, values = kept, []
    for sign, bound in ((">=", low), ("<=", high)):
        if bound is not None:
            first += f" AND {own} {sign} %s"
            values.append(as_parameter(field, bound))
    below = "" if high is None else f" AND {own} <= %s"
    least = f"SELECT min({own}) FROM {table(model)} WHERE"
    sql = (
        f"WITH RECURSIVE found(value) AS ({least} {first} UNION ALL "
        f"SELECT ({least} {kept} AND {own} > found.value{below}) FROM found "
        "WHERE found.value IS NOT NULL) SELECT value FROM found WHERE value IS NOT NULL LIMIT %s"
    )
    if below:
        values.append(values[-1])
    with connection.cursor() as cursor:
        cursor.execute(sql, [*values, at_most])
        return [as_field(field, row[0]) for row in cursor.fetchall()]


def beyond(model: type[models.Model], place: dict[str, Any], *, is_descending: bool) -> models.Func:
    """Return the condition that a row comes after a place in the order of these fields.

    Compared as whole rows, so that an index in this order is entered just there, however many rows
    share the first value. Django does so on PostgreSQL only.
    """
    fields: list[Any] = [model._meta.get_field(name) for name in place]
    own = _row(models.F(name) for name in place)
    given = _row(
        models.Value(value, output_field=field)
        for field, value in zip(fields, place.values(), strict=True)
    )
    return models.Func(
        own,
        given,
        template="%(expressions)s",
        arg_joiner=" < " if is_descending else " > ",
        output_field=models.BooleanField(),
    )


def _row(parts: Iterable[Any]) -> models.Func:
    return models.Func(*parts, template="(%(expressions)s)", output_field=models.BooleanField())
