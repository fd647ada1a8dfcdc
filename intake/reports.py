"""Reports: what came in some days, by whom and of what, beside as many days before.

All of it is read from the counts. A report is asked for by a URL, as the list of leads is, and
every number of it has a list of exactly its rows. Days are those of the console's zone, or of the
sources' own if they share one.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import ExpressionWrapper, F, Q, Sum
from django.utils import timezone

from intake.counts import NAMES, CountedUntil, CountedZone, DayCount, Numbers
from intake.rollup import next_month
from leads import geography
from leads.caps import midnight
from leads.moments import PERIODS, YEARS, days_of
from sources.decimals import PLACES, ExactDecimalField
from sources.models import Source
from sources.rules import STANDING

By, Span = DayCount.By, DayCount.Span

DEFAULT_PERIOD = "7d"
# Of more days the months are told, and the sums are read from them.
DAYS_AT_MOST = 92
LONGEST_DAYS = 3653
LATE_SECONDS = 60
NONE = "(none)"
# By what a report is told apart: its name in the URL and its label.
BREAKDOWNS = {
    "day": "Day",
    "hour": "Hour",
    "source": "Source",
    "vendor": "Vendor",
    "business": "Business",
    "sub_id": "Sub ID",
    "state": "State",
    "product": "Product",
    "reason": "Reason",
}
UNITS = 10**PLACES
UNPRICED, COST = F("approved") - F("approved_priced"), F("source__cost_per_lead")
# Of approved leads without a price: what they cost by their source, and how many have such a cost.
OF_UNPRICED = {
    "cost": Sum(ExpressionWrapper(UNPRICED * COST, ExactDecimalField())),
    "costed": Sum(UNPRICED, filter=Q(source__cost_per_lead__isnull=False)),
}
# What a URL may say.
CHOICES = ("source", "vendor", "business", "by", "sort", "zone", "period", "from", "to")
OF_VALUES = ("sub_id", "state", "product")
OF_SOURCES: dict[str, Callable[[Source], tuple[UUID, str]]] = {
    "source": lambda one: (one.id, one.name),
    "vendor": lambda one: (one.vendor_id, one.vendor.name),
    "business": lambda one: (one.business_id, one.business.name),
}
SORTS: dict[str, Callable[[Numbers], float]] = {
    "received": lambda one: one.received,
    "leads": lambda one: one.leads,
    "approved": lambda one: one.approved,
    "blocked": lambda one: one.blocked,
    "rejected": lambda one: one.rejected,
    "repeated": lambda one: one.repeated,
    "refused": lambda one: one.refused,
    "approval": lambda one: -1 if one.approval_rate is None else one.approval_rate,
    "price": lambda one: one.approved_price,
    "cost": lambda one: float(one.cost),
    "cost_per_lead": lambda one: -1 if one.cost_per_lead is None else float(one.cost_per_lead),
    "reviewed": lambda one: one.reviewed,
    "review_time": lambda one: one.review_seconds / one.reviewed if one.reviewed else -1,
}


@dataclass(slots=True)
class Row:
    """One row of a report: its name, its numbers, those before, and how lists are narrowed to it.

    `before` is None where there is nothing to compare with. `leads` and `posts` are the parts of
    the queries of these lists, None where the list has no such filter; no sub ID of a post is kept,
    for example.
    """

    key: str
    label: str
    numbers: Numbers
    before: Numbers | None
    since: datetime
    until: datetime
    leads: dict[str, str] | None = field(default_factory=dict)
    posts: dict[str, str] | None = field(default_factory=dict)

    @property
    def change(self) -> float | None:
        """Return by which share the leads are more than before, or less; None before was none."""
        if not self.before or not self.before.leads:
            return None
        return self.numbers.leads / self.before.leads - 1


@dataclass(frozen=True, slots=True)
class Reason:
    """Why leads are held, posts refused or turned away, and how many; `kind` says which."""

    code: str
    kind: str
    count: int
    before: int
    of: int

    @property
    def share(self) -> float:
        return self.count / self.of if self.of else 0


class Report:
    """A report as a URL asks for it; what cannot be read is left out, and told in `faults`."""

    def __init__(self, given: Mapping[str, str], now: datetime | None = None) -> None:
        self.now = now or timezone.now()
        self.faults: list[str] = []
        self.chosen: dict[str, str] = {}
        self.sources = self._narrowed(given)
        self.own_zone = self._own_zone()
        self.zone = self._zone(given)
        self.by = self._one_of("by", "Told by", BREAKDOWNS, given) or "day"
        self.sort = self._one_of("sort", "Order", SORTS, given)
        self.first, self.last = self._days(given)
        length = self.last - self.first + timedelta(days=1)
        self.before_first, self.before_last = self.first - length, self.first - timedelta(days=1)
        self._before = Numbers()

    # --- what is asked for ----------------------------------------------------------------------

    @cached_property
    def all_sources(self) -> list[Source]:
        """Return all sources, with vendor and business."""
        rows = Source.objects.select_related("vendor", "business").order_by("name", "id")
        names = ("name", "time_zone", "vendor__name", "business__name")
        return list(rows.only(*names))

    def _narrowed(self, given: Mapping[str, str]) -> list[Source]:
        kept = self.all_sources
        for name, of in OF_SOURCES.items():
            wanted = given.get(name, "").strip()
            if not wanted:
                continue
            if any(str(of(one)[0]) == wanted for one in self.all_sources):
                self.chosen[name] = wanted
                kept = [one for one in kept if str(of(one)[0]) == wanted]
            else:
                self.faults.append(f"{BREAKDOWNS[name]}: there is none like this.")
        return kept

    def _own_zone(self) -> str:
        """Return the zone of all these sources, "" if they have several or the console's."""
        zones = {one.time_zone for one in self.sources} - {str(settings.CONSOLE_TIME_ZONE)}
        is_shared = len({one.time_zone for one in self.sources}) == 1
        return zones.pop() if zones and is_shared else ""

    def _zone(self, given: Mapping[str, str]) -> ZoneInfo:
        text = given.get("zone", "")
        if text == "source" and self.own_zone:
            self.chosen["zone"] = text
            return ZoneInfo(self.own_zone)
        if text:
            self.faults.append("Days: these sources have no zone of their own in common.")
        return ZoneInfo(str(settings.CONSOLE_TIME_ZONE))

    def _one_of(
        self, name: str, label: str, known: Mapping[str, Any], given: Mapping[str, str]
    ) -> str:
        text = given.get(name, "")
        if text and text not in known:
            self.faults.append(f"{label}: there is no such choice.")
            return ""
        if text:
            self.chosen[name] = text
        return text

    def _days(self, given: Mapping[str, str]) -> tuple[date, date]:
        texts = {name: given.get(name, "").strip() for name in ("from", "to")}
        if any(texts.values()):
            try:
                first, last = (self._day(texts[name] or texts["to"]) for name in ("from", "to"))
            except ValueError:
                self.faults.append("Days: this is no date, like 2026-11-25.")
            else:
                if (last - first).days >= LONGEST_DAYS:
                    self.faults.append("Days: a report has ten years at most.")
                elif first <= last:
                    self.chosen |= {"from": str(first), "to": str(last)}
                    return first, last
                else:
                    self.faults.append("Days: the last one lies before the first.")
        period = given.get("period", "")
        if period and period not in PERIODS:
            self.faults.append("Days: there is no such time.")
            period = ""
        if period and not any(texts.values()):
            self.chosen["period"] = period
        return days_of(self.chosen.get("period", DEFAULT_PERIOD), self.today)

    def _day(self, text: str) -> date:
        on = date.fromisoformat(text or str(self.today))
        if len(text) not in (0, len("2026-11-25")) or on.year not in YEARS:
            raise ValueError(text)
        return on

    @property
    def today(self) -> date:
        return self.now.astimezone(self.zone).date()

    @property
    def period(self) -> str:
        """Return the name of the time in PERIODS, "" for days that were given."""
        return "" if "from" in self.chosen else self.chosen.get("period", DEFAULT_PERIOD)

    @property
    def is_open(self) -> bool:
        """Say whether the last day is not over."""
        return self.last >= self.today

    @property
    def is_by_month(self) -> bool:
        return (self.last - self.first).days >= DAYS_AT_MOST

    def query(self, without: Iterable[str] = (), **more: str) -> str:
        """Return the query of this report, in one order, some parts left out or replaced."""
        given = {name: text for name, text in self.chosen.items() if name not in without} | more
        return urlencode(sorted(given.items()))

    # --- how late -------------------------------------------------------------------------------

    @cached_property
    def counted_until(self) -> datetime | None:
        """Return up to when everything is counted, None if nothing is yet."""
        row = CountedUntil.objects.first()
        return row.at if row else None

    @property
    def late_seconds(self) -> int | None:
        """Return how late the counts are."""
        until = self.counted_until
        return max(0, math.ceil((self.now - until).total_seconds())) if until else None

    @property
    def is_late(self) -> bool:
        return self.late_seconds is None or self.late_seconds > LATE_SECONDS

    @cached_property
    def uncounted(self) -> int:
        """Return of how many of the sources not all days have been counted yet."""
        rows = CountedZone.objects.filter(
            source__in=self.source_ids, zone=self.zone.key, is_complete=True
        )
        return len(self.source_ids) - rows.count()

    # --- the numbers ----------------------------------------------------------------------------

    @property
    def source_ids(self) -> list[UUID]:
        return [one.id for one in self.sources]

    def sums(self, by: str, first: date, last: date, key: str) -> dict[Any, Numbers]:
        """Return the numbers of some days by a column: `value`, `source` or `on`.

        Of whole months from their sums, unless by day.
        """
        found: dict[Any, Numbers] = defaultdict(Numbers)
        rows = DayCount.objects.filter(
            source__in=self.source_ids, zone=self.zone.key, by=by
        ).order_by()
        for span, since, until in spans(first, last, with_months=key != "on" or self.is_by_month):
            within = rows.filter(span=span, on__gte=since, on__lte=until)
            sums = within.values_list(key).annotate(*(Sum(name) for name in NAMES), **OF_UNPRICED)
            for value, *numbers, cost, costed in sums:
                units = int((cost or 0) * UNITS)
                more = {"unpriced_cost": units, "unpriced_costed": costed or 0}
                found[value] += Numbers(*map(int, numbers), **more)
        return found

    @cached_property
    def series(self) -> list[Row]:
        """Return the days of the report in order, or its months, with those before."""
        now, then = (
            self._periods(first, last)
            for first, last in (
                (self.first, self.last),
                (self.before_first, self.before_last),
            )
        )
        rows = []
        for number, (first, last, numbers) in enumerate(now):
            before = then[number][2] if not self.is_by_month and number < len(then) else None
            label = f"{first:%b %Y}" if self.is_by_month else f"{first:%a, %b %-d}"
            rows.append(Row(str(first), label, numbers, before, self.begin(first), self.end(last)))
        self._before = total(numbers for _, _, numbers in then)
        return rows

    def _periods(self, first: date, last: date) -> list[tuple[date, date, Numbers]]:
        """Return the days of some time, or the parts of months, with their numbers."""
        found = self.sums(By.TOTAL, first, last, "on")
        if not self.is_by_month:
            days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
            return [(on, on, found.get(on, Numbers())) for on in days]
        months = []
        on = first
        while on <= last:
            end = min(next_month(on) - timedelta(days=1), last)
            numbers = total(each for day, each in found.items() if on <= day <= end)
            months.append((on, end, numbers))
            on = next_month(on)
        return months

    @property
    def total(self) -> Row:
        """Return all of the report, and all before."""
        numbers = total(one.numbers for one in self.series)
        return self.row("", "All", numbers, self._before)

    def rows(self) -> list[Row]:
        """Return the rows of the report: days in order, all else the largest first."""
        if self.by == "day":
            found = self.series
        elif self.by == "hour":
            found = self._hours()
        elif self.by in OF_SOURCES:
            found = self._of_sources()
        else:
            found = self._of_values()
        if self.sort:
            key = SORTS[self.sort]
            found = sorted(found, key=lambda one: key(one.numbers), reverse=True)
        return found

    def row(
        self, key: str, label: str, numbers: Numbers, before: Numbers | None, **narrow: Any
    ) -> Row:
        """Return a row of all days of the report."""
        return Row(
            key, label, numbers, before, self.begin(self.first), self.end(self.last), **narrow
        )

    def _both(self, by: str, key: str) -> Iterator[tuple[Any, Numbers, Numbers]]:
        """Yield the numbers by a column, and those before."""
        now = self.sums(by, self.first, self.last, key)
        then = self.sums(by, self.before_first, self.before_last, key)
        for value in now.keys() | then.keys():
            yield value, now.get(value, Numbers()), then.get(value, Numbers())

    def _hours(self) -> list[Row]:
        found = {hour: (now, then) for hour, now, then in self._both(By.HOUR, "value")}
        rows = []
        for hour in (f"{number:02}" for number in range(24)):
            now, then = found.get(hour, (Numbers(), Numbers()))
            narrow = {"hour": f"{hour}@{self.zone.key}"}
            rows.append(self.row(hour, f"{hour}:00", now, then, leads=narrow, posts=narrow))
        return rows

    def _of_sources(self) -> list[Row]:
        of = OF_SOURCES[self.by]
        sources = {one.id: of(one) for one in self.sources}
        found: dict[tuple[UUID, str], tuple[Numbers, Numbers]] = {
            one: (Numbers(), Numbers()) for one in sources.values()
        }
        for source_id, now, then in self._both(By.TOTAL, "source"):
            both = found[sources[source_id]]
            for mine, one in zip(both, (now, then), strict=True):
                mine += one
        posts = {"source": "source__id__exact"}.get(self.by, f"source__{self.by}__id__exact")
        rows = [
            self.row(str(key), label, now, then, leads={self.by: str(key)}, posts={posts: str(key)})
            for (key, label), (now, then) in found.items()
            if not (now.is_empty and then.is_empty)
        ]
        return largest_first(rows)

    def _of_values(self) -> list[Row]:
        rows = []
        for value, now, then in self._both(self.by, "value"):
            label = value or NONE
            if self.by == "state" and value in geography.STATES:
                label = f"{value} {geography.STATES[value]}"
            narrow = {self.by: value} if value else {"without": self.by}
            rows.append(self.row(value, label, now, then, leads=narrow, posts=None))
        return largest_first(rows)

    def reasons(self) -> list[Reason]:
        """Return why leads are held and posts were refused or turned away, the most frequent first.

        A lead may be held for several. Shares are of the leads, or of the posts.
        """
        counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
        for found, *both in self._both(By.FOUND, "value"):
            for code, mode in (one.split(":") for one in found.split()):
                if mode in STANDING:
                    for number, one in enumerate(both):
                        counts["held", code][number] += one.held
        for by, kind, name in (
            (By.REFUSED, "refused", "refused"),
            (By.TURNED_AWAY, "turned away", "turned_away"),
        ):
            for code, *both in self._both(by, "value"):
                for number, one in enumerate(both):
                    counts[kind, code][number] += getattr(one, name)
        of = self.total.numbers
        rows = [
            Reason(
                *(code, kind, now, then),
                {"held": of.leads, "refused": of.received}.get(kind, of.received + of.turned_away),
            )
            for (kind, code), (now, then) in counts.items()
            if now or then
        ]
        return sorted(rows, key=lambda one: (-one.count, one.kind, one.code))

    def begin(self, on: date) -> datetime:
        return midnight(on, self.zone)

    def end(self, on: date) -> datetime:
        return midnight(on + timedelta(days=1), self.zone)


def spans(first: date, last: date, *, with_months: bool) -> Iterator[tuple[str, date, date]]:
    """Yield what some days are made of: days, whole months, and days again."""
    begin = first if first.day == 1 else next_month(first)
    end = (last + timedelta(days=1)).replace(day=1)
    if not with_months or begin >= end:
        yield Span.DAY, first, last
        return
    if first < begin:
        yield Span.DAY, first, begin - timedelta(days=1)
    yield Span.MONTH, begin, end - timedelta(days=1)
    if end <= last:
        yield Span.DAY, end, last


def total(numbers: Iterable[Numbers]) -> Numbers:
    """Return the sum of some numbers."""
    found = Numbers()
    for one in numbers:
        found += one
    return found


def largest_first(rows: list[Row]) -> list[Row]:
    """Return rows by how many leads they have, or had before."""

    def size(row: Row) -> tuple[Any, ...]:
        before = row.before or Numbers()
        return -row.numbers.leads, -row.numbers.received, -before.leads, row.label, row.key

    return sorted(rows, key=size)
