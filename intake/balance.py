"""The balance of a source's days: every post that came is one lead, one repeat or one refusal.

By posts on one side and by leads on the other, so that whatever got lost or doubled between the
two tables shows. Source: contract §9, "received = approved + blocked + rejected + repeated +
refused".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import TruncDate

from intake.models import Post, Replay
from leads.caps import midnight
from leads.models import Lead
from sources.models import Source

# The outcomes of posts that are leads; all others but "repeated" are codes of problems.
AS_LEADS = ("approved", "blocked")
REPEATED = "repeated"
STORED = 201
FAULTS_NAMED = 5


@dataclass
class Day:
    """One day of a source, of first arrival and in its time zone: what came, and what it is now.

    `by_status` counts leads; `tests` are posts with keys for tests; `turned_away` counts answers of
    which nothing is kept, by code: neither is in `received`.
    """

    day: date
    received: int = 0
    repeated: int = 0
    by_status: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    tests: int = 0
    turned_away: Counter[str] = field(default_factory=Counter)

    @property
    def accounted(self) -> int:
        """Return how many of the posts are accounted for: equal to `received`, or it is a fault."""
        return self.by_status.total() + self.repeated + self.refused.total()


def days_of(source: Source, first: date, last: date) -> list[Day]:
    """Return the days of a source from first to last on which anything came."""
    zone = ZoneInfo(source.time_zone)
    since, until = midnight(first, zone), midnight(last + timedelta(days=1), zone)
    days: dict[date, Day] = {}

    def of(day: date) -> Day:
        return days.setdefault(day, Day(day))

    posts = posts_of(source, since, until).annotate(
        is_test=F("key__is_test"), is_lead=Q(lead__isnull=False)
    )
    for row in by_day(posts, zone, "is_test", "outcome", "is_lead"):
        one, count = of(row["day"]), row["count"]
        if row["is_test"]:
            one.tests += count
            continue
        one.received += count
        if row["outcome"] == REPEATED:
            one.repeated += count
        elif not row["is_lead"]:
            one.refused[row["outcome"]] += count
    leads = source.leads.filter(received_at__gte=since, received_at__lt=until, is_test=False)
    for row in by_day(leads, zone, "compliance_status"):
        of(row["day"]).by_status[row["compliance_status"]] += row["count"]
    counts = source.refusal_counts.filter(minute__gte=since, minute__lt=until)
    for row in (
        counts.annotate(day=TruncDate("minute", tzinfo=zone))
        .values("day", "code")
        .annotate(count=Sum("count"))
        .order_by()
    ):
        of(row["day"]).turned_away[row["code"]] += row["count"]
    return [days[day] for day in sorted(days)]


def posts_of(source: Source, since: datetime, until: datetime) -> QuerySet[Post]:
    """Return the posts of a source in a time."""
    return Post.objects.filter(source=source, received_at__gte=since, received_at__lt=until)


def by_day(rows: Any, zone: ZoneInfo, *names: str) -> Any:
    """Return rows counted by their day in a zone and by these columns."""
    days = rows.annotate(day=TruncDate("received_at", tzinfo=zone))
    return days.values("day", *names).annotate(count=Count("id")).order_by()


def faults_of(source: Source, first: date, last: date) -> Iterator[str]:
    """Yield what does not fit between the posts and the leads of a source, one sentence each."""
    for one in days_of(source, first, last):
        if one.received != one.accounted:
            yield f"{one.day}: received {one.received}, but {one.accounted} are accounted for."
    zone = ZoneInfo(source.time_zone)
    since, until = midnight(first, zone), midnight(last + timedelta(days=1), zone)
    posts = posts_of(source, since, until)
    leads = source.leads.filter(received_at__gte=since, received_at__lt=until)
    firsts = Post.objects.filter(
        lead=OuterRef("id"), source=OuterRef("source"), received_at=OuterRef("received_at")
    ).exclude(outcome=REPEATED)
    is_outcome_of_lead = Q(outcome__in=(*AS_LEADS, REPEATED))
    kept_leads = Lead.objects.filter(id=OuterRef("lead"))
    replays = Replay.objects.all()
    wrong: dict[str, QuerySet[Any]] = {
        "leads that no post made": leads.filter(~Exists(firsts)),
        "posts that became a lead of another source or moment": posts.filter(
            ~Q(outcome=REPEATED), lead__isnull=False
        ).exclude(
            Exists(
                kept_leads.filter(source=OuterRef("source"), received_at=OuterRef("received_at"))
            )
        ),
        "posts that say they are a lead, and are none": posts.filter(is_outcome_of_lead, lead=None),
        "posts that say they were refused, and are a lead": posts.filter(
            ~is_outcome_of_lead, lead__isnull=False
        ),
        "posts that were taken and are no lead": posts.filter(status=STORED, lead=None),
        "posts that were refused and are a lead without a replay": posts.filter(
            ~Q(status=STORED), lead__isnull=False
        ).exclude(
            Exists(replays.filter(post_id=OuterRef("id"), outcome_after=OuterRef("outcome")))
        ),
        "replays of posts that are not that lead": Replay.objects.filter(
            lead__source=source, post_received_at__gte=since, post_received_at__lt=until
        ).exclude(Exists(Post.objects.filter(id=OuterRef("post_id"), lead=OuterRef("lead")))),
        "leads that say they were replayed, and were not": leads.filter(
            replayed_at__isnull=False
        ).exclude(Exists(replays.filter(lead=OuterRef("id")))),
        "posts that are a test and no lead of a test, or the other way round": posts.filter(
            lead__isnull=False
        ).exclude(lead__is_test=F("key__is_test")),
        "repeats of a lead of another source": posts.filter(
            outcome=REPEATED, lead__isnull=False
        ).exclude(Exists(kept_leads.filter(source=OuterRef("source")))),
    }
    for what, rows in wrong.items():
        ids = [str(one) for one in rows.values_list("id", flat=True)[: FAULTS_NAMED + 1]]
        if ids:
            more = ", …" if len(ids) > FAULTS_NAMED else ""
            yield f"There are {what}: {', '.join(ids[:FAULTS_NAMED])}{more}"
    twice = (
        posts.filter(lead__isnull=False)
        .exclude(outcome=REPEATED)
        .values("lead")
        .annotate(count=Count("id"))
        .filter(count__gt=1)
        .order_by()
    )
    for row in twice[:FAULTS_NAMED]:
        yield f"{row['count']} posts say that they made the lead {row['lead']}."
