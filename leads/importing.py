"""How a list in a file becomes suppressions: taken in, read, and then suppressed piece by piece.

Each piece is a transaction of at most 500 values, under the locks on all its persons in one order;
it looks back as a single suppression does. Whatever stops it, it goes on where it left off, and
what is there already is passed by; so it may be repeated too. Memory does not grow with the file.
"""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import cache
from itertools import islice
from typing import BinaryIO

from django.db import connection, transaction
from django.db.models import F, Q
from django.utils import timezone

from leadping.jobs.tasks import Outcome, Turn, enqueue
from leads.imports import BadRow, ImportChunk, StagedRow, SuppressionImport
from leads.lookback import approved_of, block, look_back
from leads.sheets import CHUNK_BYTES, BadCells, NotTaken, Sheet, printable
from leads.suppressions import RegistryList, Suppression
from sources.locks import list_of, lock, subjects
from sources.sql import as_parameter, name_of, table

TASK = "import-suppressions"
# A file of which the first so many rows are all bad is another file than was meant.
ROWS_TO_JUDGE_BY = 1000
# So many persons are locked in one transaction, and no more: PostgreSQL has room for some thousand
# locks in all, and posts of these persons wait meanwhile.
VALUES_AT_ONCE = 500
VALUES_AT_ONCE_ON_SQLITE = 100  # whose every other writer waits
ROWS_READ_AT_ONCE = 5000
ROWS_READ_AT_ONCE_ON_SQLITE = 500
CELLS_KEPT = 20
CHUNKS_AT_ONCE = 8

State = SuppressionImport.State


class NotImportable(Exception):
    """The import cannot be changed in this way now."""


def on_this_database(usual: int, on_sqlite: int) -> int:
    """Return one of two sizes: what SQLite writes at once, all others wait for."""
    return on_sqlite if connection.vendor == "sqlite" else usual


# --- taking a file in, cancelling, resuming -------------------------------------------------------


def start(one: SuppressionImport, file: BinaryIO) -> SuppressionImport:
    """Take a file in and have a worker import it; returns the import, saved.

    Raises ValidationError for what cannot be imported so.
    """
    check(one)
    one.save(force_insert=True)
    for number, data in enumerate(iter(lambda: file.read(CHUNK_BYTES), b"")):
        ImportChunk(of=one, number=number, data=data).save(force_insert=True)
        one.file_bytes += len(data)
    with transaction.atomic():
        one.state = State.READING
        one.save(update_fields=["state", "file_bytes"])
        ask(one)
    return one


def check(one: SuppressionImport) -> None:
    """Raise ValidationError if no entry could be made of any row of this import."""
    one.file_name = printable(one.file_name)[-200:]
    example = one.template()
    example.phone, example.email_key = "+15125550100", "someone@example.com"
    example.created_at = example.suppressed_at = timezone.now()
    example.full_clean(validate_constraints=False)


def ask(one: SuppressionImport) -> None:
    """Ask for an import to be worked at, unless somebody has."""
    enqueue(TASK, key=str(one), import_id=str(one.id))


def cancel(one: SuppressionImport) -> None:
    """Have an import leave off after the piece that it is at; raises NotImportable.

    What it has suppressed stays so.
    """
    with transaction.atomic():
        rows = SuppressionImport.objects.under_way().filter(id=one.id)
        if not rows.update(is_cancel_wanted=True):
            raise NotImportable("Only an import that is under way can be cancelled.")
        ask(one)  # for its job may have been given up
    one.refresh_from_db()


def resume(one: SuppressionImport) -> None:
    """Have an import that was cancelled or failed go on; raises NotImportable."""
    with transaction.atomic():
        row = SuppressionImport.objects.select_for_update().get(id=one.id)
        if row.can_be_resumed:
            row.state = row.resumes_as
        elif row.state not in SuppressionImport.UNDER_WAY:
            raise NotImportable("This import is done, or its file has not arrived as a whole.")
        is_staged = row.rows_done == row.rows_staged or row.staged.exists()
        if not (row.chunks.exists() if row.state == State.READING else is_staged):
            raise NotImportable("The file is no longer kept: import it anew.")
        row.is_cancel_wanted, row.trouble, row.finished_at = False, "", None
        row.renewed_up_to = None  # the list may have been out of use meanwhile
        row.save(
            update_fields=["state", "is_cancel_wanted", "trouble", "finished_at", "renewed_up_to"]
        )
        ask(row)
    one.refresh_from_db()


# --- the work -----------------------------------------------------------------------------------


def work(one: SuppressionImport, turn: Turn) -> Outcome:
    """Go on with an import until it is over or the turn is."""
    steps: dict[str, Callable[[SuppressionImport, Turn], Iterator[None]]] = {
        State.READING: read,
        State.RENEWING: renew,
        State.SUPPRESSING: suppress,
    }
    if leave_off(one, turn):
        return Outcome.DONE
    while one.state in steps:
        try:
            for _ in steps[one.state](one, turn):
                turn.rest()
                if leave_off(one, turn):
                    return Outcome.DONE
                if turn.is_over:
                    return Outcome.AGAIN
        except NotTaken as error:
            with turn.step():
                one.trouble = str(error)
                end(one, State.FAILED)
                turn.finish()
    return Outcome.DONE


def leave_off(one: SuppressionImport, turn: Turn) -> bool:
    """Cancel an import if somebody wants that, and say whether."""
    one.refresh_from_db(fields=["is_cancel_wanted"])
    if one.is_cancel_wanted:
        with turn.step():
            end(one, State.CANCELLED)
            turn.finish()
    return one.state == State.CANCELLED


def enter(one: SuppressionImport, state: SuppressionImport.State) -> None:
    """Go over to the next state of an import that goes on."""
    one.state, one.worked_ms = state, 0
    one.save(update_fields=["state", "worked_ms"])


def end(one: SuppressionImport, state: SuppressionImport.State) -> None:
    """Write that an import is over."""
    if state != State.DONE:
        one.resumes_as = State(one.state)
    one.state, one.finished_at, one.is_cancel_wanted = state, timezone.now(), False
    one.save(update_fields=["state", "resumes_as", "finished_at", "is_cancel_wanted", "trouble"])


class Stopwatch:
    """How long an import has worked at a piece, for its rate."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def milliseconds(self) -> int:
        """Return the whole milliseconds since the last call or the beginning."""
        began, self.began = self.began, time.monotonic()
        return round((self.began - began) * 1000)


def count(one: SuppressionImport, **more: int) -> None:
    """Add to the counts of an import, in its row and in memory."""
    SuppressionImport.objects.filter(id=one.id).update(
        **{name: F(name) + number for name, number in more.items()}
    )
    for name, number in more.items():
        setattr(one, name, getattr(one, name) + number)


def read(one: SuppressionImport, turn: Turn) -> Iterator[None]:
    """Read the rows of the file, some thousand at a time: normalise the good, keep the bad."""
    sheet = Sheet(one)
    rows = islice(sheet.rows(), one.rows_read, None)
    watch = Stopwatch()
    while batch := list(islice(rows, rows_at_once(one))):
        good: list[StagedRow] = []
        bad: list[BadRow] = []
        for row in batch:
            try:
                person = sheet.person(row)
            except BadCells as error:
                kept = [printable(cell) for cell in row[1][:CELLS_KEPT]]
                bad.append(BadRow(of=one, line=row[0], why=str(error), cells=kept))
            else:
                number = one.rows_staged + len(good) + 1
                good.append(StagedRow(of=one, number=number, **person._asdict()))
        is_all_bad = not one.rows_staged and not good
        if is_all_bad and one.rows_read + len(batch) >= ROWS_TO_JUDGE_BY:
            raise NotTaken(
                f"None of the first {ROWS_TO_JUDGE_BY:,} rows can be taken. The first one: "
                f"{bad[0].why}"
            )
        with turn.step():
            stage(good)
            BadRow.objects.bulk_create(bad, batch_size=500)
            one.columns = str(sheet.layout)
            one.has_both |= any(row.phone and row.email_key for row in good)
            one.save(update_fields=["columns", "has_both"])
            count(
                one,
                rows_read=len(batch),
                rows_bad=len(bad),
                rows_staged=len(good),
                worked_ms=watch.milliseconds(),
            )
        yield
    if not one.rows_staged:
        raise NotTaken(
            "No row of the file can be taken." if one.rows_read else "The file has no rows."
        )
    with turn.step():
        is_registry = one.kind == Suppression.Kind.DNC_REGISTRY
        enter(one, State.RENEWING if is_registry else State.SUPPRESSING)


def rows_at_once(one: SuppressionImport) -> int:
    """Return how many rows to read in the next step."""
    size = on_this_database(ROWS_READ_AT_ONCE, ROWS_READ_AT_ONCE_ON_SQLITE)
    left = ROWS_TO_JUDGE_BY - one.rows_read
    return min(size, left) if left > 0 else size


def renew(one: SuppressionImport, turn: Turn) -> Iterator[None]:
    """Bring a list into use, if it is new or was out of use: its entries count from now on.

    So for those that stand in it already we look back too; also if another import left off in the
    middle of that.
    """
    assert one.listed_on
    in_use = RegistryList.objects.in_use().filter(name=one.list_name)
    with turn.step():
        lock([list_of(one.list_name)])
        if not in_use.exists():
            RegistryList.objects.load(one.list_name, one.listed_on, is_renewed=False)
            one.renewed_up_to = None
        is_needed = in_use.filter(renewed_at=None).exists()
    yield
    size = on_this_database(VALUES_AT_ONCE, VALUES_AT_ONCE_ON_SQLITE) // 2
    standing = Suppression.objects.active().filter(business=None, list_name=one.list_name)
    while is_needed:
        rows = standing.filter(id__gt=one.renewed_up_to) if one.renewed_up_to else standing
        with turn.step():
            found = list(rows.order_by("id").values_list("id", "phone", "email_key")[:size])
            if found:
                persons = [row[1:] for row in found]
                lock([name for person in persons for name in subjects(*person)])
                blocked = look_back(one.business_id, *columns(persons))
                one.renewed_up_to = found[-1][0]
                one.save(update_fields=["renewed_up_to"])
                count(one, leads_blocked=len(blocked))
            else:
                in_use.filter(renewed_at=None).update(renewed_at=timezone.now())
                is_needed = False
        yield
    with turn.step():
        enter(one, State.SUPPRESSING)


def suppress(one: SuppressionImport, turn: Turn) -> Iterator[None]:
    """Make entries of the rows that were read, piece by piece, and look back for each."""
    while chunks := list(one.chunks.values_list("id", flat=True)[:CHUNKS_AT_ONCE]):
        with turn.step():
            ImportChunk.objects.filter(id__in=chunks).delete()
        yield
    size = on_this_database(VALUES_AT_ONCE, VALUES_AT_ONCE_ON_SQLITE)
    if one.has_both:
        size //= 2  # two values a row
    shared = [list_of(one.list_name)] if one.list_name else []
    watch = Stopwatch()
    while one.rows_done < one.rows_staged:
        with turn.step():
            piece = one.staged.filter(number__gt=one.rows_done, number__lte=one.rows_done + size)
            persons = list(piece.values_list("phone", "email_key"))
            if not persons:
                raise NotTaken("The rows that were read are no longer kept: import the file anew.")
            lock([name for person in persons for name in subjects(*person)], shared)
            leads = approved_of(one.business_id, *columns(persons))
            at = timezone.now()  # once we have the locks: in the order of events
            added = insert(one, at, size)
            blocked = block(leads, at)
            piece.delete()
            count(
                one,
                rows_done=len(persons),
                rows_added=added,
                leads_blocked=len(blocked),
                worked_ms=watch.milliseconds(),
            )
        yield
    with turn.step():
        if one.listed_on:
            lock([list_of(one.list_name)])
            if RegistryList.objects.in_use().filter(name=one.list_name).exists():
                RegistryList.objects.load(one.list_name, one.listed_on, is_renewed=True)
            else:
                one.trouble = "The list was taken out of use meanwhile: it blocks nothing."
        end(one, State.DONE)
        turn.finish()


def columns(persons: Iterable[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Return the phones and the e-mail keys of persons apart."""
    phones, email_keys = zip(*persons, strict=True)
    return list(phones), list(email_keys)


# --- rows into tables ---------------------------------------------------------------------------


def stage(rows: list[StagedRow]) -> None:
    """Write good rows; on PostgreSQL by COPY, which is a tenth of the work."""
    if connection.vendor != "postgresql":
        StagedRow.objects.bulk_create(rows, batch_size=100)
        return
    fields = StagedRow._meta.concrete_fields
    names = ", ".join(name_of(StagedRow, field.name) for field in fields)
    sql = f"COPY {table(StagedRow)} ({names}) FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(sql) as copy:
        for row in rows:
            copy.write_row([getattr(row, field.attname) for field in fields])


@cache
def insert_sql(vendor: str) -> str:
    """Return the statement behind `insert`; parameters: the entry's other columns, the piece."""
    staged = ("id", "phone", "email_key")
    given = {
        "reason": f"CASE WHEN {name_of(StagedRow, 'reason')} = '' THEN %(reason)s "
        f"ELSE {name_of(StagedRow, 'reason')} END",
        "suppressed_at": f"COALESCE({name_of(StagedRow, 'since')}, %(at)s)",
        "created_at": "%(at)s",
        "released_at": "NULL",
        "released_by": "NULL",
        "release_reason": "''",
        "release_evidence": "''",
    }
    fields = Suppression._meta.concrete_fields
    selected = []
    for field in fields:
        sql = given.get(field.name, f"%({field.name})s")
        if field.name in staged:
            sql = name_of(StagedRow, field.name)
        elif vendor == "postgresql":
            sql = f"CAST({sql} AS {re.sub(r'[(].*[)]', '', str(field.db_type(connection)))})"
        selected.append(sql)
    names = ", ".join(name_of(Suppression, field.name) for field in fields)
    return (
        f"INSERT INTO {table(Suppression)} ({names}) SELECT {', '.join(selected)} "
        f"FROM {table(StagedRow)} WHERE {name_of(StagedRow, 'of')} = %(import)s "
        f"AND {name_of(StagedRow, 'number')} BETWEEN %(low)s + 1 AND %(high)s "
        "ON CONFLICT DO NOTHING"
    )


def insert(one: SuppressionImport, at: datetime, size: int) -> int:
    """Make entries of the next rows of an import; return how many did not stand already.

    An entry of the import has no row of history: who made it, when and from what, it says itself.
    """
    template = one.template()
    template.created_at = at
    values = {
        field.name: field.get_db_prep_save(getattr(template, field.attname), connection)
        for field in Suppression._meta.concrete_fields
    }
    values |= {
        "at": values["created_at"],
        "import": as_parameter(SuppressionImport._meta.pk, one.id),
        "low": one.rows_done,
        "high": one.rows_done + size,
    }
    sql = insert_sql(connection.vendor)
    used = {name: value for name, value in values.items() if f"%({name})s" in sql}
    with connection.cursor() as cursor:
        cursor.execute(sql, used)
        return int(cursor.rowcount)


# --- the bad rows, given back ---------------------------------------------------------------------

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def bad_rows_as_csv(one: SuppressionImport) -> Iterator[str]:
    """Yield the bad rows of an import as lines of CSV: the line, why, and the cells as they came.

    What a spreadsheet would take for a formula is escaped with an apostrophe.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["line", "why", "the row as it came"])
    for bad in one.bad_rows.order_by("line").iterator(chunk_size=1000):
        cells = [f"'{cell}" if cell.startswith(FORMULA) else cell for cell in bad.cells]
        writer.writerow([bad.line, bad.why, *cells])
        yield out.getvalue()
        out.seek(0)
        out.truncate()
    yield out.getvalue()


FORGOTTEN_AFTER = timedelta(days=30)
ARRIVES_WITHIN = timedelta(days=1)
FORGOTTEN_AT_ONCE = 1000


def forget_leftovers(now: datetime) -> bool:
    """Delete some of what is kept of files whose import was over a month ago: they name people.

    A file that has not arrived within a day never will. Returns whether there may be more.
    """
    rows = SuppressionImport.objects.filter(created_at__lt=now - ARRIVES_WITHIN)
    rows.filter(state=State.LOADING).update(
        state=State.FAILED,
        resumes_as=State.LOADING,
        trouble="The file did not arrive as a whole.",
        finished_at=now,
    )
    never_arrived = Q(state=State.FAILED, resumes_as=State.LOADING)
    over = SuppressionImport.objects.filter(
        Q(finished_at__lt=now - FORGOTTEN_AFTER) | never_arrived
    )
    for kind, size in ((ImportChunk, CHUNKS_AT_ONCE), (StagedRow, None), (BadRow, None)):
        left = kind._default_manager.filter(of__in=over).values_list("id", flat=True)
        ids = list(left[: size or FORGOTTEN_AT_ONCE])
        if ids:
            kind._default_manager.filter(id__in=ids).delete()
            return True
    return False
