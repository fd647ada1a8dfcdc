"""Keeps the counts: of each day of each source in its zone and in the console's, by the rows.

A day is counted anew as a whole, and what differs from the rows of `DayCount` is written, so that
a count can be late but never drift. Which days: those in which something came since the last time,
and those that a change has left a note for (`leads/counts.py`).
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache, partial
from itertools import pairwise
from operator import attrgetter
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Max, Min, Sum
from django.utils import timezone

from intake.balance import REPEATED
from intake.counts import NAMES, CountedUntil, CountedZone, DayCount, Numbers
from intake.models import Post, RefusalCount
from intake.store import LENGTH
from leads import masks
from leads.caps import midnight
from leads.counts import Recount
from leads.models import Lead, Review
from leads.narrow import REVIEWED_BY
from sources.models import Source, SourceKey
from sources.sql import as_parameter, column, name_of, one_view, table

By, Span = DayCount.By, DayCount.Span
Counts = dict[tuple[str, str], Numbers]
Days = Mapping[date, Counts]
Step = Callable[[], AbstractContextManager[None]]

# More than may pass between the moment that a post says it came and that it can be read.
GRACE = timedelta(minutes=2)
# Now and then it is looked further back, for what took longer still: a machine that stood still.
WIDE = timedelta(hours=26)
WIDENED_EVERY = timedelta(hours=1)
NOTES_AT_ONCE = 50_000
DELETED_AT_ONCE = 5000
# After so long without writing anything, the hold on the job is renewed.
HELD_SECONDS = 5
DAYS_AT_ONCE = 31
# Which column of a lead each kind of value is read from, and what of it everybody may see.
VALUES: dict[str, tuple[str, Callable[[str], str]]] = {
    By.STATE: ("state", masks.state),
    By.PRODUCT: ("product", masks.reference),
    By.SUB_ID: ("sub_id", masks.reference),
}


# --- some days ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hour:
    """An hour of a day by the clock: its name, from "00" to "23", and from when to when it is."""

    on: date
    name: str
    begins: datetime
    ends: datetime


class Count:
    """Some days of a source in a zone, one after the other, and what is counted of them so far."""

    def __init__(self, source_id: UUID, zone: ZoneInfo, days: list[date]) -> None:
        self.source_id = source_id
        self.hours = [one for on in days for one in hours_of(on, zone)]
        self.days = sorted({one.on for one in self.hours})
        self.ends = [one.ends for one in self.hours]
        self.counts: dict[date, Counts] = {on: defaultdict(Numbers) for on in days}

    def both(self, hour: int) -> tuple[Numbers, Numbers]:
        """Return the numbers of the whole day and of one of its hours, by the hour's place."""
        one = self.hours[hour]
        counts = self.counts[one.on]
        return counts[By.TOTAL, ""], counts[By.HOUR, one.name]

    def hour_of(self, column: str) -> tuple[str, list[Any]]:
        """Return the SQL of the place of the hour in which a moment lies, and its parameters."""
        return place_of(column, self.ends, 0)

    def day_of(self, column: str) -> tuple[str, list[Any]]:
        """Return the SQL of the place of the day in which a moment lies, and its parameters."""
        ends = {one.on: one.ends for one in self.hours}
        return place_of(column, [ends[on] for on in self.days], 0)

    def within(self, column: str) -> tuple[str, list[Any]]:
        """Return the SQL of being of this source and these days, and its parameters."""
        source, moment = Lead._meta.get_field("source"), Lead._meta.get_field("received_at")
        values = [as_parameter(source, self.source_id)]
        values += [as_parameter(moment, one) for one in (self.hours[0].begins, self.ends[-1])]
        return f"source_id = %s AND {column} >= %s AND {column} < %s", values


def place_of(column: str, ends: list[datetime], first: int) -> tuple[str, list[Any]]:
    """Return the SQL of the place, from `first` on, of the earliest end that is after a moment.

    It halves what is left with each comparison; the last end is not asked for.
    """
    if len(ends) == 1:
        return str(first), []
    half = len(ends) // 2
    before, values = place_of(column, ends[:half], first)
    after, more = place_of(column, ends[half:], first + half)
    end = as_parameter(Lead._meta.get_field("received_at"), ends[half - 1])
    return f"CASE WHEN {column} < %s THEN {before} ELSE {after} END", [end, *values, *more]


def hours_of(on: date, zone: ZoneInfo) -> list[Hour]:
    """Return the hours of a day by the clock.

    An hour that the clock shows twice is one of twice the length; one that it skips is left out, of
    a day that a zone left out all of them.
    """
    over = midnight(on + timedelta(days=1), zone)
    begins = [*(min(midnight(on, zone, hour), over) for hour in range(24)), over]
    return [
        Hour(on, f"{hour:02}", begin, end)
        for hour, (begin, end) in enumerate(pairwise(begins))
        if begin < end
    ]


def count(source_id: UUID, zone: ZoneInfo, days: Iterable[date]) -> dict[date, Counts]:
    """Count days of a source, by its rows as they are now; in four statements for a month."""
    found: dict[date, Counts] = {}
    for part in in_a_row(days):
        one = Count(source_id, zone, part)
        if one.hours:
            count_leads(one)
            count_reviews(one)
            count_posts(one)
            count_turned_away(one)
        found |= one.counts
    return found


def in_a_row(days: Iterable[date]) -> Iterator[list[date]]:
    """Yield days that follow each other, so many at a time at most."""
    part: list[date] = []
    for on in sorted(set(days)):
        if part and (on != part[-1] + timedelta(days=1) or len(part) == DAYS_AT_ONCE):
            yield part
            part = []
        part.append(on)
    if part:
        yield part


def rows_of(sql: str, values: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def units(amount: str) -> str:
    """Return the SQL of a sum of prices in units of 1/10,000, which is how SQLite stores them."""
    if connection.vendor == "sqlite":
        return f"coalesce(sum({amount}), 0)"
    return f"CAST(coalesce(sum({amount}), 0) * 10000 AS bigint)"


def count_leads(these: Count) -> None:
    """Count the leads of the days, read once, in all and by each kind of value."""
    hour, in_hour = these.hour_of("received_at")
    day, in_day = these.day_of("received_at")
    within, values = these.within("received_at")
    price = name_of(Lead, "price")
    kinds = {By.FOUND: "found"} | {by: one[0] for by, one in VALUES.items()}
    groups = [(By.HOUR, "hour", "''"), *((by, "day", name) for by, name in kinds.items())]
    parts = [
        f"SELECT '{by}', {place}, {value}, compliance_status, count(*), {units(price)}, "
        f"count({price}) FROM taken GROUP BY 2, 3, 4"
        for by, place, value in groups
    ]
    sql = (
        f"WITH taken AS MATERIALIZED (SELECT {hour} AS hour, {day} AS day, compliance_status, "
        f"price, {', '.join(kinds.values())} FROM {table(Lead)} WHERE {within} AND NOT is_test) "
        f"{' UNION ALL '.join(parts)}"
    )
    for by, place, value, status, *numbers in rows_of(sql, [*in_hour, *in_day, *values]):
        if by == By.HOUR:
            for one in these.both(place):
                take_leads(one, status, *numbers)
            continue
        seen = VALUES[by][1](value) if by in VALUES else value
        take_leads(these.counts[these.days[place]][by, seen], status, *numbers)


def take_leads(found: Numbers, status: str, number: int, amount: int, priced: int) -> None:
    """Add leads of one status to some numbers."""
    if status == Lead.Status.APPROVED:
        found.approved += number
        found.approved_price += amount
        found.approved_priced += priced
        return
    if status == Lead.Status.BLOCKED:
        found.blocked += number
    else:
        found.rejected += number
    found.held_price += amount
    found.held_priced += priced


def count_posts(these: Count) -> None:
    """Count the posts of the days by what became of them, tests apart."""
    hour, in_hour = these.hour_of("received_at")
    within, values = these.within("received_at")
    sql = (
        f"SELECT hour, outcome, {column(SourceKey, 'is_test')}, has_lead, sum(number) FROM ("
        f"SELECT {hour} AS hour, outcome, key_id, lead_id IS NOT NULL AS has_lead, "
        f"count(*) AS number FROM {table(Post)} WHERE {within} "
        "GROUP BY hour, outcome, key_id, has_lead) AS taken "
        f"JOIN {table(SourceKey)} ON {column(SourceKey, 'id')} = key_id "
        f"GROUP BY hour, outcome, {column(SourceKey, 'is_test')}, has_lead"
    )
    for place, outcome, is_test, has_lead, summed in rows_of(sql, [*in_hour, *values]):
        number = int(summed)
        for one in these.both(place):
            if is_test:
                one.tests += number
                continue
            one.received += number
            if outcome == REPEATED:
                one.repeated += number
            elif not has_lead:
                one.refused += number
        if not is_test and not has_lead and outcome != REPEATED:
            these.counts[these.hours[place].on][By.REFUSED, outcome].refused += number


def count_turned_away(these: Count) -> None:
    """Count the posts of the days of which nothing was kept, by why."""
    hour, in_hour = these.hour_of("minute")
    within, values = these.within("minute")
    sql = (
        f"SELECT hour, code, sum(number) FROM (SELECT {hour} AS hour, code, "
        f"{name_of(RefusalCount, 'count')} AS number FROM {table(RefusalCount)} "
        f"WHERE {within}) AS taken GROUP BY hour, code"
    )
    for place, code, number in rows_of(sql, [*in_hour, *values]):
        of_code = these.counts[these.hours[place].on][By.TURNED_AWAY, code]
        for one in (*these.both(place), of_code):
            one.turned_away += int(number)


def count_reviews(these: Count) -> None:
    """Count the leads of the days that staff decided, and how long they had waited."""
    since, until = these.hours[0].begins, these.ends[-1]
    rows = Review.objects.filter(
        # None is older than its lead, or not by more than clocks differ: of a young day, there are
        # few, which an index finds. Else all its leads would be asked for theirs.
        at__gte=since - WIDE,
        lead__source=these.source_id,
        lead__received_at__gte=since,
        lead__received_at__lt=until,
        lead__is_test=False,
    ).order_by("lead", "at", "id")
    names = ("received_at", "replayed_at", *(name for name, _ in VALUES.values()))
    found = rows.values_list(
        *("lead", "decision", "at", "undone_by"), *(f"lead__{name}" for name in names)
    )
    waiting: dict[UUID, datetime] = {}
    decided: set[UUID] = set()
    for lead, decision, at, undone_by, received_at, replayed_at, *values in found:
        if decision in Review.BLOCKS and lead not in decided:
            waiting[lead] = at
        if decision not in REVIEWED_BY or undone_by or lead in decided:
            continue
        decided.add(lead)
        waited = at - waiting.get(lead, replayed_at or received_at)
        place = bisect_right(these.ends, received_at)
        counts = these.counts[these.hours[place].on]
        kinds = zip(VALUES.items(), values, strict=True)
        of_values = [counts[by, mask(value)] for (by, (_, mask)), value in kinds]
        for one in (*these.both(place), *of_values):
            one.reviewed += 1
            one.review_seconds += max(0, int(waited.total_seconds()))
            one.reviewed_in_day += waited < timedelta(days=1)


# --- what is written ------------------------------------------------------------------------------

# What a row is of; with a source and a zone, each is there once.
KEY = ("source", "on", "zone", "by", "span", "value")
numbers_of: Callable[[Numbers], tuple[int, ...]] = attrgetter(*NAMES)


@dataclass(frozen=True, slots=True)
class Change:
    """By what rows of a source in a zone differ from a new count: values of `KEY` and `NAMES`."""

    write: list[tuple[Any, ...]]
    delete: list[int]

    def __bool__(self) -> bool:
        return bool(self.write or self.delete)


def changed(source_id: UUID, zone: str, span: str, days: Days) -> Change:
    """Return what has to be written so that these days, or months, are as they were counted now."""
    rows = DayCount.objects.filter(source=source_id, zone=zone, span=span, on__in=list(days))
    have = {
        (on, by, value): (pk, tuple(numbers))
        for pk, on, by, value, *numbers in rows.values_list("pk", "on", "by", "value", *NAMES)
    }
    write = []
    for on, counts in days.items():
        for (by, value), one in counts.items():
            numbers = numbers_of(one)
            if any(numbers) and have.pop((on, by, value), (0, ()))[1] != numbers:
                write.append((source_id, on, zone, by, span, value, *numbers))
    return Change(write, [pk for pk, _ in have.values()])


def summed(source_id: UUID, zone: str, month: date) -> Counts:
    """Return the sum of the days of a month."""
    rows = DayCount.objects.filter(
        source=source_id, zone=zone, span=Span.DAY, on__gte=month, on__lt=next_month(month)
    )
    sums = rows.order_by().values_list("by", "value").annotate(*(Sum(name) for name in NAMES))
    return {(by, value): Numbers(*map(int, numbers)) for by, value, *numbers in sums}


def next_month(on: date) -> date:
    """Return the first day of the month after that of a day."""
    return (on.replace(day=1) + timedelta(days=32)).replace(day=1)


def write(change: Change) -> None:
    """Write what differs; past the models, which would take longer than the counting."""
    DayCount.objects.filter(pk__in=change.delete).delete()
    if not change.write:
        return
    fields: list[Any] = [DayCount._meta.get_field(name) for name in (*KEY, *NAMES)]
    # All else, texts and numbers, is as the database takes it.
    source, on = (cache(partial(as_parameter, field)) for field in fields[:2])
    rows = [(source(row[0]), on(row[1]), *row[2:]) for row in change.write]
    own, names = (", ".join(name_of(DayCount, one) for one in part) for part in (KEY, NAMES))
    new = ", ".join(f"{one} = excluded.{one}" for one in NAMES)
    into = f"INSERT INTO {table(DayCount)} ({own}, {names})"
    over = f"ON CONFLICT ({own}) DO UPDATE SET {new}"
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            marks = ", ".join(["%s"] * len(fields))
            cursor.executemany(f"{into} VALUES ({marks}) {over}", rows)
            return
        arrays = ", ".join(
            f"%s::{LENGTH.sub('', str(one.db_type(connection)))}[]" for one in fields
        )
        columns = [list(one) for one in zip(*rows, strict=True)]
        cursor.execute(f"{into} SELECT * FROM unnest({arrays}) {over}", columns)


def recount(source_id: UUID, zone: str, days: Iterable[date], step: Step, **noted: Any) -> None:
    """Count these days of a source in a zone, and write what differs; `noted` of its CountedZone.

    Of two that count it at the same time, the later one counts again.
    """
    wanted = sorted(set(days))
    while True:
        row, _ = CountedZone.objects.get_or_create(source_id=source_id, zone=zone)
        with one_view():
            found = count(source_id, ZoneInfo(zone), wanted)
            change = changed(source_id, zone, Span.DAY, found)
        if not (change or noted):
            return
        with step():
            mine = CountedZone.objects.filter(pk=row.pk, version=row.version)
            if not mine.update(version=F("version") + 1, **noted):
                continue
            write(change)
            months = {on.replace(day=1) for on in wanted}
            sums = {month: summed(source_id, zone, month) for month in months}
            write(changed(source_id, zone, Span.MONTH, sums))
        return


# --- what is to be counted ------------------------------------------------------------------------


def console_zone() -> str:
    """Return the name of the zone in which the console begins its days."""
    return str(settings.CONSOLE_TIME_ZONE)


def zones_of(source_zone: str, viewers: str) -> set[str]:
    """Return in which zones the days of a source are counted."""
    return {source_zone, viewers}


def days_between(since: datetime, until: datetime, zone: str) -> Iterator[date]:
    """Yield the days of a zone that some time touches."""
    on, last = (one.astimezone(ZoneInfo(zone)).date() for one in (since, until))
    while on <= last:
        yield on
        on += timedelta(days=1)


def zones_by_source() -> dict[UUID, str]:
    """Return the zone of each source."""
    return dict(Source.objects.values_list("id", "time_zone"))


def arrivals(since: datetime, until: datetime) -> list[tuple[UUID, datetime, datetime]]:
    """Return between which moments something came in a time, by source and kind of row."""
    leads = Lead.objects.filter(received_at__range=(since, until))
    posts = Post.objects.without_new_lead().filter(received_at__range=(since, until))
    # Of each source by itself, for which there is an index.
    counts = RefusalCount.objects.filter(source__in=Source.objects.values("id"))
    spans: list[tuple[UUID, datetime, datetime]] = []
    for rows, moment in (
        (leads, "received_at"),
        (posts, "received_at"),
        (counts.filter(minute__range=(since - GRACE, until)), "minute"),
    ):
        ends = rows.order_by().values("source").annotate(first=Min(moment), last=Max(moment))
        spans += ends.values_list("source", "first", "last")
    return spans


def first_of(source_id: UUID) -> datetime | None:
    """Return when the first thing came by a source, None if nothing ever did."""
    firsts = [
        Lead.objects.filter(source=source_id).aggregate(at=Min("received_at"))["at"],
        Post.objects.filter(source=source_id).aggregate(at=Min("received_at"))["at"],
        RefusalCount.objects.filter(source=source_id).aggregate(at=Min("minute"))["at"],
    ]
    return min((one for one in firsts if one), default=None)


def keep(step: Step, is_stopping: Callable[[], bool], now: datetime | None = None) -> None:
    """Count what has come or changed since the last time.

    `step` makes a transaction; between two of them `is_stopping` says whether to leave off, and
    then all of it is done the next time.
    """
    at = now or timezone.now()
    until, _ = CountedUntil.objects.get_or_create(pk=1)
    # Or the clock was set back, and who knows what it had said before.
    is_wide = until.widened_at is None or not timedelta() <= at - until.widened_at < WIDENED_EVERY
    since = min(until.at or at, at) - (WIDE if is_wide else GRACE)
    # What says that it comes yet, by a clock that is wrong, is left until then.
    spans = arrivals(since, at + WIDE)
    held = time.monotonic()
    while True:
        notes = list(Recount.objects.values_list("id", "source", "received_at")[:NOTES_AT_ONCE])
        moments = [(source_id, moment, moment) for _, source_id, moment in notes]
        for (source_id, zone), days in days_of([*spans, *moments]).items():
            for part in in_a_row(days):
                recount(source_id, zone, part, step)
                if is_stopping():
                    return
                if time.monotonic() - held > HELD_SECONDS:
                    with step():  # or who counts what is as it was would be taken for dead
                        held = time.monotonic()
        if not notes:
            break
        for first in range(0, len(notes), DELETED_AT_ONCE):
            with step():
                ids = [one for one, _, _ in notes[first : first + DELETED_AT_ONCE]]
                Recount.objects.filter(id__in=ids).delete()
        spans = []
    took = timezone.now() - at if now is None else timedelta()
    noted = {"at": at, "took_ms": max(took // timedelta(milliseconds=1), 0)}
    if is_wide:
        noted["widened_at"] = at
    with step():
        CountedUntil.objects.filter(pk=1).update(**noted)


def days_of(spans: Iterable[tuple[UUID, datetime, datetime]]) -> dict[tuple[UUID, str], set[date]]:
    """Return which days of which source and zone some times touch.

    Also in a zone that is no longer the source's, for as long as its counts are there: it may
    become it again before they are gone.
    """
    wanted = list(spans)
    if not wanted:
        return {}
    own, viewers = zones_by_source(), console_zone()
    zones = {source_id: zones_of(zone, viewers) for source_id, zone in own.items()}
    for source_id, zone in CountedZone.objects.values_list("source", "zone"):
        zones.setdefault(source_id, set()).add(zone)
    days: dict[tuple[UUID, str], set[date]] = defaultdict(set)
    for source_id, first, last in wanted:
        for zone in zones.get(source_id, ()):  # none, if it was deleted just now
            days[source_id, zone].update(days_between(first, last, zone))
    return days


def complete(step: Step, is_over: Callable[[], bool], now: datetime | None = None) -> bool:
    """Count all days of the sources and zones of which that has not been done.

    Between two steps `is_over` says whether to leave off; then the answer is False, and the next
    time goes on from there.
    """
    sources, viewers = zones_by_source(), console_zone()
    rows = CountedZone.objects.values_list("source", "zone", "is_complete", "counted_on")
    known = {(source_id, zone): (is_done, on) for source_id, zone, is_done, on in rows}
    for source_id, own in sources.items():
        for zone in sorted(zones_of(own, viewers)):
            is_done, counted_on = known.pop((source_id, zone), (False, None))
            if is_done:
                continue
            days = all_days(source_id, zone, now or timezone.now())
            parts = list(in_a_row(on for on in days if counted_on is None or on > counted_on))
            for number, part in enumerate(parts or [[]], 1):
                noted = {"counted_on": part[-1] if part else counted_on}
                is_done = number >= len(parts)
                recount(source_id, zone, part, step, is_complete=is_done, **noted)
                if is_over():
                    return False
    for source_id, zone in known:  # in which nobody counts any more
        with step():
            DayCount.objects.filter(source=source_id, zone=zone).delete()
            CountedZone.objects.filter(source=source_id, zone=zone).delete()
    return True


def all_days(source_id: UUID, zone: str, now: datetime) -> set[date]:
    """Return the days on which something came by a source, or of which there are counts."""
    days = set(DayCount.objects.filter(source=source_id, zone=zone).values_list("on", flat=True))
    if first := first_of(source_id):
        days.update(days_between(first, now, zone))
    return days


# --- by hand --------------------------------------------------------------------------------------


def never() -> bool:
    """Do not leave off."""
    return False


def begin_again() -> None:
    """Have all days of all sources counted anew; what is counted stays until then."""
    CountedZone.objects.update(is_complete=False, counted_on=None, version=F("version") + 1)


def keep_now(now: datetime | None = None) -> None:
    """Count all that is to be counted, in transactions of our own."""
    keep(transaction.atomic, never, now)
    complete(transaction.atomic, never, now)


def faults_of(source_id: UUID, zone: str) -> Iterator[str]:
    """Yield by what the counts of a source in a zone differ from its rows, a sentence for each."""
    with one_view():
        days = all_days(source_id, zone, timezone.now())
        months = sorted({on.replace(day=1) for on in days})
        for month in months:
            of_month = [on for on in days if on.replace(day=1) == month]
            counted = count(source_id, ZoneInfo(zone), of_month)
            sums = {month: summed(source_id, zone, month)}
            for span, found in ((Span.DAY, counted), (Span.MONTH, sums)):
                change = changed(source_id, zone, span, found)
                for _, on, _, by, _, value, *_ in change.write:
                    told = f"{By(by).label} {value}".strip()
                    yield f"{span.label} {on} in {zone}: {told} is not as the rows have it."
                if change.delete:
                    named = f"{span.label}s from {min(found)} on in {zone}"
                    yield f"{named}: {len(change.delete)} counts are of nothing."
