"""Keeps the counts: of each day of each source in its zone and in the console's, by the rows.

A day is counted anew as a whole, and what differs from the rows of `DayCount` is written, so that
a count can be late but never drift. Which days: those in which something came since the last time,
and those that a change has left a note for (`leads/counts.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
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
from leads import masks
from leads.caps import midnight
from leads.counts import Recount
from leads.models import Lead, Review
from sources.models import Source, SourceKey
from sources.sql import as_parameter, name_of, one_view, table

By, Span = DayCount.By, DayCount.Span
Counts = dict[tuple[str, str], Numbers]
Days = Mapping[date, Counts]
Step = Callable[[], AbstractContextManager[None]]

# More than may pass between the moment that a post says it came and that it can be read.
GRACE = timedelta(minutes=2)
# Now and then it is looked further back, for what took longer still: a machine that stood still.
WIDE = timedelta(hours=26)
WIDENED_EVERY = timedelta(hours=1)
NOTES_AT_ONCE = 5000
DAYS_AT_ONCE = 20
# Which column of a lead each kind of value is read from, and what of it everybody may see.
VALUES: dict[str, tuple[str, Callable[[str], str]]] = {
    By.STATE: ("state", masks.state),
    By.PRODUCT: ("product", masks.reference),
    By.SUB_ID: ("sub_id", masks.reference),
}


# --- one day --------------------------------------------------------------------------------------


class Day:
    """A day of a source in a zone while it is counted: its hours, and its counts so far."""

    def __init__(self, source_id: UUID, zone: ZoneInfo, on: date) -> None:
        self.source_id = source_id
        self.hours = hours_of(on, zone)
        self.since, self.until = midnight(on, zone), midnight(on + timedelta(days=1), zone)
        self.counts: Counts = defaultdict(Numbers)

    def both(self, hour: str) -> tuple[Numbers, Numbers]:
        """Return the numbers of the whole day and of one of its hours."""
        return self.counts[By.TOTAL, ""], self.counts[By.HOUR, hour]

    def hour_of(self, column: str) -> tuple[str, list[Any]]:
        """Return the SQL of the hour in which a moment lies, and its parameters."""
        field = Lead._meta.get_field("received_at")
        *earlier, last = self.hours
        words = " ".join(f"WHEN {column} < %s THEN '{hour}'" for hour, _, _ in earlier)
        values = [as_parameter(field, end) for _, _, end in earlier]
        return f"CASE {words} ELSE '{last[0]}' END", values

    def within(self, column: str) -> tuple[str, list[Any]]:
        """Return the SQL of being of this source and day, and its parameters."""
        source, moment = Lead._meta.get_field("source"), Lead._meta.get_field("received_at")
        values = [as_parameter(source, self.source_id)]
        values += [as_parameter(moment, one) for one in (self.since, self.until)]
        return f"source_id = %s AND {column} >= %s AND {column} < %s", values


def hours_of(on: date, zone: ZoneInfo) -> list[tuple[str, datetime, datetime]]:
    """Return the hours of a day by the clock: each its name, when it begins and when it ends.

    An hour that the clock shows twice is one of twice the length; one that it skips is left out, of
    a day that a zone left out all of them.
    """
    over = midnight(on + timedelta(days=1), zone)
    begins = [*(min(midnight(on, zone, hour), over) for hour in range(24)), over]
    return [
        (f"{hour:02}", begin, end)
        for hour, (begin, end) in enumerate(pairwise(begins))
        if begin < end
    ]


def count(source_id: UUID, zone: ZoneInfo, on: date) -> Counts:
    """Count one day of a source, by its rows as they are now; in four statements."""
    day = Day(source_id, zone, on)
    if day.hours:
        count_leads(day)
        count_reviews(day)
        count_posts(day)
        count_turned_away(day)
    return {key: one for key, one in day.counts.items() if not one.is_empty}


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


def count_leads(day: Day) -> None:
    """Count the leads of the day, read once, in all and by each kind of value."""
    hour, in_hour = day.hour_of("received_at")
    within, in_day = day.within("received_at")
    price = name_of(Lead, "price")
    kinds = {By.HOUR: "hour", By.FOUND: "found"} | {by: one[0] for by, one in VALUES.items()}
    parts = [
        f"SELECT '{by}', {name}, compliance_status, count(*), {units(price)}, count({price}) "
        f"FROM taken GROUP BY {name}, compliance_status"
        for by, name in kinds.items()
    ]
    columns = ["compliance_status", "found", "price", *(name for name, _ in VALUES.values())]
    sql = (
        f"WITH taken AS MATERIALIZED (SELECT {hour} AS hour, {', '.join(columns)} "
        f"FROM {table(Lead)} WHERE {within} AND NOT is_test) {' UNION ALL '.join(parts)}"
    )
    for by, value, status, number, amount, priced in rows_of(sql, [*in_hour, *in_day]):
        if by in VALUES:
            value = VALUES[by][1](value)
        found = [day.counts[by, value]]
        if by == By.HOUR:
            found.append(day.counts[By.TOTAL, ""])
        for one in found:
            take_leads(one, status, number, int(amount), priced)


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


def count_posts(day: Day) -> None:
    """Count the posts of the day by what became of them, tests apart."""
    hour, in_hour = day.hour_of("received_at")
    within, in_day = day.within("received_at")
    sql = (
        f"SELECT hour, outcome, is_test, has_lead, count(*) FROM (SELECT {hour} AS hour, outcome, "
        f"lead_id IS NOT NULL AS has_lead, (SELECT is_test FROM {table(SourceKey)} AS k "
        f"WHERE k.id = key_id) AS is_test FROM {table(Post)} WHERE {within}) AS taken "
        "GROUP BY hour, outcome, is_test, has_lead"
    )
    for hour_of, outcome, is_test, has_lead, number in rows_of(sql, [*in_hour, *in_day]):
        for one in day.both(hour_of):
            if is_test:
                one.tests += number
                continue
            one.received += number
            if outcome == REPEATED:
                one.repeated += number
            elif not has_lead:
                one.refused += number
        if not is_test and not has_lead and outcome != REPEATED:
            day.counts[By.REFUSED, outcome].refused += number


def count_turned_away(day: Day) -> None:
    """Count the posts of the day of which nothing was kept, by why."""
    hour, in_hour = day.hour_of("minute")
    within, in_day = day.within("minute")
    sql = (
        f"SELECT hour, code, sum(number) FROM (SELECT {hour} AS hour, code, "
        f"{name_of(RefusalCount, 'count')} AS number FROM {table(RefusalCount)} "
        f"WHERE {within}) AS taken GROUP BY hour, code"
    )
    for hour_of, code, number in rows_of(sql, [*in_hour, *in_day]):
        for one in (*day.both(hour_of), day.counts[By.TURNED_AWAY, code]):
            one.turned_away += int(number)


def count_reviews(day: Day) -> None:
    """Count the leads of the day that staff decided, and how long they had waited."""
    rows = Review.objects.filter(
        lead__source=day.source_id,
        lead__received_at__gte=day.since,
        lead__received_at__lt=day.until,
        lead__is_test=False,
    ).order_by("lead", "at", "id")
    names = ("received_at", "replayed_at", *(name for name, _ in VALUES.values()))
    found = rows.values_list(
        *("lead", "decision", "at", "undone_by"), *(f"lead__{name}" for name in names)
    )
    waiting: dict[UUID, datetime] = {}
    decided: set[UUID] = set()
    for lead, decision, at, undone_by, received_at, replayed_at, *values in found:
        if decision == Review.Decision.SUPPRESS and lead not in decided:
            waiting[lead] = at
        if decision not in DECIDED or undone_by or lead in decided:
            continue
        decided.add(lead)
        waited = at - waiting.get(lead, replayed_at or received_at)
        kinds = zip(VALUES.items(), values, strict=True)
        of_values = [day.counts[by, mask(value)] for (by, (_, mask)), value in kinds]
        for one in (*day.both(day_hour(day, received_at)), *of_values):
            one.reviewed += 1
            one.review_seconds += max(0, int(waited.total_seconds()))
            one.reviewed_in_day += waited < timedelta(days=1)


DECIDED = (Review.Decision.RELEASE, Review.Decision.REJECT)


def day_hour(day: Day, at: datetime) -> str:
    """Return in which hour of the day a moment lies."""
    return next(hour for hour, _, end in day.hours if at < end)


# --- what is written ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """By what rows of a source in a zone differ from a new count."""

    write: list[DayCount]
    delete: list[int]


def changed(source_id: UUID, zone: str, span: str, days: Days) -> Change:
    """Return what has to be written so that these days, or months, are as they were counted now."""
    rows = DayCount.objects.filter(source=source_id, zone=zone, span=span, on__in=list(days))
    have = {(one.on, one.by, one.value): one for one in rows}
    write = []
    for on, counts in days.items():
        for (by, value), numbers in counts.items():
            old = have.pop((on, by, value), None)
            if old is None or old.numbers != numbers:
                more: dict[str, Any] = {name: getattr(numbers, name) for name in NAMES}
                more |= {"source_id": source_id, "zone": zone, "span": span}
                write.append(DayCount(on=on, by=by, value=value, **more))
    return Change(write, [one.pk for one in have.values()])


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
    """Write what differs."""
    DayCount.objects.filter(pk__in=change.delete).delete()
    DayCount.objects.bulk_create(
        change.write,
        batch_size=500,
        update_conflicts=True,
        unique_fields=["source", "zone", "by", "span", "on", "value"],
        update_fields=NAMES,
    )


def recount(source_id: UUID, zone: str, days: Iterable[date], step: Step, **noted: Any) -> None:
    """Count these days of a source in a zone, and write what differs; `noted` of its CountedZone.

    Of two that count it at the same time, the later one counts again.
    """
    wanted = sorted(set(days))
    while True:
        row, _ = CountedZone.objects.get_or_create(source_id=source_id, zone=zone)
        with one_view():
            found = {on: count(source_id, ZoneInfo(zone), on) for on in wanted}
            change = changed(source_id, zone, Span.DAY, found)
        is_same = not (change.write or change.delete)
        if is_same and not noted:
            return
        with step():
            mine = CountedZone.objects.filter(pk=row.pk, version=row.version)
            if not mine.update(version=F("version") + 1, **noted):
                continue
            if not is_same:
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


def arrivals(since: datetime) -> list[tuple[UUID, datetime, datetime]]:
    """Return between which moments something came, since one, by source and kind of row."""
    leads = Lead.objects.filter(received_at__gte=since)
    posts = Post.objects.without_new_lead().filter(received_at__gte=since)
    # Of each source by itself, for which there is an index.
    counts = RefusalCount.objects.filter(source__in=list(zones_by_source()))
    spans: list[tuple[UUID, datetime, datetime]] = []
    for rows, moment in (
        (leads, "received_at"),
        (posts, "received_at"),
        (counts.filter(minute__gte=since - GRACE), "minute"),
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
    is_wide = until.widened_at is None or at - until.widened_at >= WIDENED_EVERY
    spans = arrivals(min(until.at or at, at) - (WIDE if is_wide else GRACE))
    while True:
        notes = list(Recount.objects.values_list("id", "source", "received_at")[:NOTES_AT_ONCE])
        moments = [(source_id, at, at) for _, source_id, at in notes]
        for (source_id, zone), days in days_of([*spans, *moments]).items():
            recount(source_id, zone, days, step)
            if is_stopping():
                return
        if not notes:
            break
        with step():
            Recount.objects.filter(id__in=[one for one, _, _ in notes]).delete()
        spans = []
    took = timezone.now() - at if now is None else timedelta()
    noted = {"at": at, "took_ms": took // timedelta(milliseconds=1)}
    if is_wide:
        noted["widened_at"] = at
    with step():
        CountedUntil.objects.filter(pk=1).update(**noted)


def days_of(spans: Iterable[tuple[UUID, datetime, datetime]]) -> dict[tuple[UUID, str], set[date]]:
    """Return which days of which source and zone some times touch."""
    sources, viewers = zones_by_source(), console_zone()
    days: dict[tuple[UUID, str], set[date]] = defaultdict(set)
    for source_id, first, last in spans:
        for zone in zones_of(sources[source_id], viewers):
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
            while not is_done:
                first = first_of(source_id)
                wanted = days_between(first, now or timezone.now(), zone) if first else []
                left = [on for on in wanted if counted_on is None or on > counted_on]
                part = left[:DAYS_AT_ONCE]
                is_done = len(left) == len(part)
                counted_on = part[-1] if part else counted_on
                recount(source_id, zone, part, step, counted_on=counted_on, is_complete=is_done)
                if is_over():
                    return False
    for source_id, zone in known:  # in which nobody counts any more
        with step():
            DayCount.objects.filter(source=source_id, zone=zone).delete()
            CountedZone.objects.filter(source=source_id, zone=zone).delete()
    return True


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
        rows = DayCount.objects.filter(source=source_id, zone=zone)
        days = set(rows.filter(span=Span.DAY).values_list("on", flat=True).distinct())
        if first := first_of(source_id):
            days.update(days_between(first, timezone.now(), zone))
        months = {on.replace(day=1) for on in days}
        months.update(rows.filter(span=Span.MONTH).values_list("on", flat=True).distinct())
        for span, each in ((Span.DAY, days), (Span.MONTH, months)):
            for on in sorted(each):
                of_rows = (
                    count(source_id, ZoneInfo(zone), on)
                    if span == Span.DAY
                    else summed(source_id, zone, on)
                )
                change = changed(source_id, zone, span, {on: of_rows})
                named = f"{span.label} {on} in {zone}"
                for one in change.write:
                    told = f"{one.get_by_display()} {one.value}".strip()
                    yield f"{named}: {told} is not as the rows have it."
                if change.delete:
                    yield f"{named}: {len(change.delete)} counts are of nothing."
