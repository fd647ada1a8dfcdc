"""The numbers of the first page: what came on each of the last days, by outcome and by source.

Over posts by what they are now: received = approved + blocked + rejected + repeated + refused;
tests apart. Read from two indexes alone. Source: contract §9.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import (
    Case,
    Count,
    F,
    IntegerField,
    OuterRef,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.utils import timezone

from intake.models import Post
from leads.models import Lead
from leads.moments import midnight
from sources.rules import STANDING

DAYS = 14
WEEK = timedelta(days=7)
OUTCOMES = ("approved", "blocked", "rejected", "refused", "repeated")
REASONS_OF_DAYS = 7
HELD_AT_MOST = 2000


@dataclass(slots=True)
class Day:
    """What came on one day of the console's zone, by outcome."""

    on: date
    since: datetime
    until: datetime
    outcomes: Counter[str] = field(default_factory=Counter)

    @property
    def received(self) -> int:
        return self.outcomes.total()


@dataclass(slots=True)
class Figures:
    """The last days, the last of them today until now; and the same weekday until this time.

    `by_source`: of each source, for the last seven full days and for the seven before, what became
    of its leads.
    """

    days: list[Day]
    then: Counter[str] = field(default_factory=Counter)
    by_source: dict[UUID, tuple[Counter[str], Counter[str]]] = field(default_factory=dict)

    @property
    def today(self) -> Day:
        return self.days[-1]


def figures(now: datetime) -> Figures:
    """Count what came in the last days, in two statements."""
    today = timezone.localdate(now)
    first = today - timedelta(days=DAYS)
    starts = [midnight(first + timedelta(days=number)) for number in range(DAYS + 2)]
    days = [
        Day(first + timedelta(days=number), starts[number], starts[number + 1])
        for number in range(DAYS + 1)
    ]
    found = Figures(days)
    # The day of a week ago in two: until this time by the clock, and after.
    then = timezone.localtime(now) - WEEK
    cuts = sorted({*starts[:-1], then})
    leads = Lead.objects.filter(is_test=False, received_at__gte=starts[0], received_at__lt=now)
    for cut, source, status, count in counted(leads, cuts, "source", "compliance_status"):
        take(found, cuts[cut], str(status).lower(), count, then)
        age = (today - timezone.localdate(cuts[cut])).days
        if age:
            pair = found.by_source.setdefault(source, (Counter(), Counter()))
            pair[0 if age <= WEEK.days else 1][str(status).lower()] += count
    posts = Post.objects.without_new_lead().filter(
        key__is_test=False, received_at__gte=starts[0], received_at__lt=now
    )
    for cut, outcome, count in counted(posts, cuts, "outcome"):
        is_repeat = outcome == "repeated"
        take(found, cuts[cut], "repeated" if is_repeat else "refused", count, then)
    return found


def counted(rows: QuerySet[Any], cuts: list[datetime], *names: str) -> Iterable[tuple[Any, ...]]:
    """Return for each span that begins with a cut, and for each of the values, how many rows."""
    spans = [When(received_at__lt=end, then=Value(number)) for number, end in enumerate(cuts[1:])]
    span = Case(*spans, default=Value(len(cuts) - 1), output_field=IntegerField())
    grouped = rows.annotate(span=span).order_by().values_list("span", *names)
    found: Iterable[tuple[Any, ...]] = grouped.annotate(count=Count("*"))
    return found


def take(found: Figures, since: datetime, outcome: str, count: int, then: datetime) -> None:
    """Count rows of a span that begins `since`; `then`: a week ago, by the clock."""
    on = timezone.localdate(since)
    found.days[(on - found.days[0].on).days].outcomes[outcome] += count
    if on == found.today.on - WEEK and since < then:
        found.then[outcome] += count


def reasons(now: datetime) -> tuple[list[tuple[str, int]], int, datetime]:
    """Return which rules held leads of the last days, the most frequent first.

    And of how many leads, at most the newest 2,000, and since when.
    """
    since = midnight(timezone.localdate(now) - timedelta(days=REASONS_OF_DAYS - 1))
    rows = Lead.objects.filter(is_test=False, received_at__gte=since).exclude(
        compliance_status=Lead.Status.APPROVED
    )
    kept = list(rows.order_by("-received_at").values_list("found", flat=True)[:HELD_AT_MOST])
    held = Counter(
        code
        for found in kept
        for code, mode in (one.split(":") for one in found.split())
        if mode in STANDING
    )
    return held.most_common(6), len(kept), since


@dataclass(frozen=True, slots=True)
class Change:
    """A source that behaves otherwise than the week before: id, and what to tell."""

    source: UUID
    told: str
    kind: str


ENOUGH = 50
POINTS = 15


def changes(found: Figures) -> list[Change]:
    """Return the sources of which the share let out, or the number, has changed much in a week."""
    told = []
    for source, (week, before) in found.by_source.items():
        now, then = week.total(), before.total()
        if min(now, then) < ENOUGH:
            if then >= ENOUGH:
                told.append(Change(source, f"{now:,} leads in 7 days, {then:,} before", "fewer"))
            continue
        share, was = (100 * one["approved"] / one.total() for one in (week, before))
        if abs(share - was) >= POINTS:
            told.append(Change(source, f"{share:.0f}% approved, {was:.0f}% before", "share"))
        elif not then / 2 < now < then * 2:
            word = "fewer" if now < then else "more"
            told.append(Change(source, f"{now:,} leads in 7 days, {then:,} before", word))
    return told


def silent(rows: QuerySet[Any], now: datetime) -> list[Any]:
    """Return the sources that posted within 14 days and are silent for one; `last_post_at`."""
    newest = (
        Post.objects.filter(source=OuterRef("pk"))
        .order_by("-received_at")
        .values("received_at")[:1]
    )
    dated = rows.filter(is_enabled=True).annotate(last_post_at=Subquery(newest))
    return list(
        dated.filter(
            last_post_at__lt=now - timedelta(days=1), last_post_at__gte=now - timedelta(days=DAYS)
        ).order_by(F("last_post_at").desc())
    )
