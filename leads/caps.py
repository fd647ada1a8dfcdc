"""The caps of a source: the days and months in which it may only have so many leads approved.

A cap counts leads that became Approved, on arrival or on the day of release; tests never count, and
no number ever goes down. Source: contract §6 `over-cap`; DECISIONS, Intake 3.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from django.db import models
from django.db.models import F

from sources.ids import uuid7
from sources.models import Source


class CapCounter(models.Model):
    """How many leads of a source were approved in one of its days or months.

    Only sources with a cap have counters. `version`: the source's `counters_version`; a counter
    of another one is of no more use.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    source = models.ForeignKey(Source, models.CASCADE, related_name="+", db_index=False)
    version = models.UUIDField()
    period = models.CharField(max_length=10)  # 2026-11-25 or 2026-11
    used = models.PositiveIntegerField()

    class Meta:
        constraints = [
            # The counter of one period; the look-up of every post of a source with a cap.
            models.UniqueConstraint(
                fields=["source", "version", "period"], name="cap_counter_of_period_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.used} in {self.period}"


@dataclass(frozen=True, slots=True)
class Period:
    """A day or month of a source in its own time zone, and how many leads it may have in it.

    It begins and ends in UTC.
    """

    word: str  # daily or monthly
    name: str
    starts_at: datetime
    ends_at: datetime
    cap: int


@dataclass(frozen=True, slots=True)
class Left:
    """How many leads a period has room for yet."""

    period: Period
    count: int


def periods_of(source: Source, at: datetime) -> tuple[Period, ...]:
    """Return the day and the month of `at` for which the source has a cap."""
    if not source.has_cap:
        return ()
    zone = ZoneInfo(source.time_zone)
    today = at.astimezone(zone).date()
    first = today.replace(day=1)
    found = []
    if source.daily_cap is not None:
        ends = midnight(today + timedelta(days=1), zone)
        name, cap = today.isoformat(), source.daily_cap
        found.append(Period("daily", name, midnight(today, zone), ends, cap))
    if source.monthly_cap is not None:
        ends = midnight((first + timedelta(days=32)).replace(day=1), zone)
        name, cap = today.isoformat()[:7], source.monthly_cap
        found.append(Period("monthly", name, midnight(first, zone), ends, cap))
    return tuple(found)


def midnight(day: date, zone: tzinfo, hour: int = 0) -> datetime:
    """Return when a day, or an hour of it, begins in a zone.

    In UTC: between times of one zone, Python counts by the hands of the clock.
    """
    return datetime(day.year, day.month, day.day, hour, tzinfo=zone).astimezone(UTC)


def begin(source: Source, period: Period) -> int:
    """Make the counter of a period that has none yet, and return what it says.

    It begins with the leads that were approved before, for the cap may be younger than its period.
    """
    used = approved_in(source, period.starts_at, period.ends_at)
    mine = CapCounter(source=source, version=source.counters_version, period=period.name, used=used)
    CapCounter.objects.bulk_create([mine], ignore_conflicts=True)
    return counter(source, period).values_list("used", flat=True).get()


def approved_in(
    source: Source, since: datetime, until: datetime, known_at: datetime | None = None
) -> int:
    """Return how many leads of the source, tests apart, became Approved in this time.

    Those that came in it, and those that had come before and were released or replayed in it, each
    by its index. `known_at`: only those that had been judged by then.
    """
    leads = source.leads.filter(is_test=False, approved_at__gte=since, approved_at__lt=until)
    if known_at:
        leads = leads.filter(judged_at__lt=known_at, approved_at__lte=known_at)
    came = leads.filter(received_at__gte=since, received_at__lt=until).count()
    return came + leads.filter(received_at__lt=since, approved_at__gt=F("received_at")).count()


def counter(source: Source, period: Period) -> models.QuerySet[CapCounter]:
    """Return the counter of a period, as a query."""
    return CapCounter.objects.filter(
        source=source, version=source.counters_version, period=period.name
    )


def take(source: Source, periods: Iterable[Period], *, is_limited: bool) -> Period | None:
    """Count one more approved lead in each period; return the first that is full, if one is.

    Then nothing is counted. Each counter stays locked until the transaction ends; so this comes
    last. Not `is_limited`: count beyond the cap too.
    """
    counted: list[models.QuerySet[CapCounter]] = []
    for period in periods:
        rows = counter(source, period)
        open_rows = rows.filter(used__lt=period.cap) if is_limited else rows
        if not open_rows.update(used=F("used") + 1):
            for one in counted:  # nobody has seen it meanwhile
                one.update(used=F("used") - 1)
            return period
        counted.append(rows)
    return None
