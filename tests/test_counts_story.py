"""Stories of all that changes what is counted, through nights in which the clock is changed.

Whenever it has been counted, the rows are those of a count in plain Python, one lead and one post
after the other, by what `intake/counts.py` says of them; not one more, not one less.
"""

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.db import transaction
from django.test.utils import override_settings
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from intake import authentication, refusals, rollup
from intake.counts import NAMES, CountedZone, DayCount
from intake.models import Post, RefusalCount
from intake.replay import replay
from leads import masks
from leads.counts import Recount
from leads.models import Lead, Review
from leads.reviews import NotDecided
from sources.models import Source
from sources.rules import Mode, Rule
from tests.factories import Door, make_business, make_key, make_source, make_tombstone, suppress
from tests.test_story import CONSENTED, external_ids, people, picks, values

pytestmark = pytest.mark.django_db

# So many by default, always the same; more, and others each time, by hand.
STORIES = int(os.environ.get("STORIES", "0"))

ZONES = ["America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns"]
# Hours before a change of the clock in one of them, or before a month or year is over.
STARTS = [
    datetime(2026, 3, 8, 4, 10, tzinfo=UTC),  # St. John's at 05:30, New York at 07:00
    datetime(2026, 11, 1, 3, 20, tzinfo=UTC),  # St. John's at 04:30, New York at 06:00
    datetime(2026, 4, 4, 13, 40, tzinfo=UTC),  # Lord Howe at 15:00, back by half an hour
    datetime(2026, 10, 3, 14, 10, tzinfo=UTC),  # Lord Howe at 15:30
    datetime(2026, 12, 31, 12, 50, tzinfo=UTC),
]
MOVES = [
    *(timedelta(minutes=one) for one in (-10, 20, 29, 60)),
    *(timedelta(hours=one) for one in (3, 11, 24, 50)),
]
# What a vendor sent, and what everybody may see of it.
SHOWN = {
    "": "",
    "TX": "TX",
    "Ontario": "•••",
    "Texas Toast": "•••",
    "solar": "solar",
    "roof": "roof",
    "ada@example.com": "•••",
    "512-555-0137": "•••",
    "call 5125550137 now": "•••",
    "fb-17": "fb-17",
}
states = st.sampled_from(["", "TX", "Ontario", "Texas Toast"])
products = st.sampled_from(["", "solar", "roof", "ada@example.com"])
sub_ids = st.sampled_from(["", "fb-17", "512-555-0137", "call 5125550137 now"])
prices = st.sampled_from([None, None, "0", "12.5", "0.0001", "19.99"])
doors = st.integers(0, 1)


class Nights(RuleBasedStateMachine):
    """What may happen to the leads of two sources, in any zone, while time goes on."""

    @initialize(
        start=st.sampled_from(STARTS),
        zones=st.tuples(*[st.sampled_from(ZONES)] * 3),
        every=st.integers(1, 6),
    )
    def begin(self, start: datetime, zones: tuple[str, ...], every: int) -> None:
        self.clock = time_machine.travel(start, tick=False)
        self.time = self.clock.start()
        viewers, *own = zones
        self.viewers = override_settings(CONSOLE_TIME_ZONE=ZoneInfo(viewers))
        self.viewers.enable()
        self.undone = transaction.atomic()
        self.undone.__enter__()
        authentication.forget()
        refusals.forget()
        business = make_business()
        self.sources = [
            make_source(
                business=business,
                time_zone=zone,
                rate_per_minute=10_000,
                modes={Rule.UNDERAGE: Mode.REJECT, Rule.PHONE_INVALID: Mode.HOLD},
            )
            for zone in own
        ]
        self.doors = [Door(one) for one in self.sources]
        self.tests = [Door(one, make_key(one, is_test=True)[1]) for one in self.sources]
        self.every, self.steps, self.is_due = every, 0, False

    def teardown(self) -> None:
        if hasattr(self, "undone"):
            transaction.set_rollback(True)
            self.undone.__exit__(None, None, None)
            self.viewers.disable()
            self.clock.stop()
            refusals.forget()

    # --- time -----------------------------------------------------------------------------

    @rule(move=st.sampled_from(MOVES))
    def time_passes(self, move: timedelta) -> None:
        """Or the clock is set back."""
        self.time.shift(move)

    @contextmanager
    def earlier(self, ago: timedelta) -> Iterator[None]:
        """Let what happens inside have come before, and only be there by now."""
        now = timezone.now()
        self.time.move_to(now - ago)
        try:
            yield
        finally:
            self.time.move_to(now)

    # --- vendors --------------------------------------------------------------------------

    @rule(
        door=doors,
        who=people,
        external_id=external_ids,
        state=states,
        product=products,
        sub_id=sub_ids,
        price=prices,
        is_young=st.booleans(),
        is_test=st.booleans(),
        late=st.sampled_from([0, 0, 90, 119]),
    )
    def post(
        self, door: int, who: Any, external_id: Any, is_young: bool, is_test: bool, **more: Any
    ) -> None:
        """A vendor posts somebody, perhaps once more, and perhaps it took long to be there."""
        doors = self.tests if is_test and is_young else self.doors
        born = "2020-01-01" if is_young and not is_test else "1980-01-01"
        with self.earlier(timedelta(seconds=more.pop("late"))):
            response = doors[door].send(
                phone=who[0],
                email=who[1],
                externalId=external_id,
                dateOfBirth=born,
                state=more["state"],
                product=more["product"],
                subId=more["sub_id"],
                price=more["price"],
            )
        assert response.status_code in (201, 409, 410, 422), response.content

    @rule(door=doors, who=people, external_id=external_ids, price=prices)
    def post_by_another_name(self, door: int, who: Any, external_id: Any, price: Any) -> None:
        """A vendor calls the phone `cell`, which may not be mapped; there is no e-mail then."""
        phone = who[0] or "512-555-0103"
        self.doors[door].send(phone=..., email=..., cell=phone, externalId=external_id, price=price)

    @rule(door=doors, who=people, hours=st.integers(1, 25))
    def post_that_nobody_saw_for_hours(self, door: int, who: Any, hours: int) -> None:
        """Its machine stood still; then it takes up to an hour until it is counted."""
        with self.earlier(timedelta(hours=hours)):
            self.doors[door].send(phone=who[0], email=who[1])
        self.time.shift(rollup.WIDENED_EVERY)

    @rule(door=doors)
    def post_what_nobody_can_read(self, door: int) -> None:
        self.doors[door].post(b"{")

    @rule(door=doors, code=st.sampled_from(["rate-limited", "invalid-credentials"]), more=doors)
    def turn_away(self, door: int, code: str, more: int) -> None:
        for _ in range(1 + more):
            refusals.count(code, self.sources[door].id, "", timezone.now())
        refusals.count(code, None, "203.0.113.9", timezone.now())  # whose it is, nobody knows
        refusals.write()

    # --- staff ----------------------------------------------------------------------------

    @rule(pick=picks, is_let_out=st.booleans(), is_taken_back=st.booleans())
    def decide(self, pick: int, is_let_out: bool, is_taken_back: bool) -> None:
        """Staff release or reject a lead that waits, and perhaps think better of it."""
        if (lead := self.lead(pick, compliance_status="Blocked")) is None:
            return
        self.settle()
        with contextlib.suppress(NotDecided):
            if is_let_out:
                lead.release(None, "", "Looked", written_consent=CONSENTED)
            else:
                lead.reject(None, "", "Looked")
        if is_taken_back:
            self.settle()
            with contextlib.suppress(NotDecided):
                lead.undo(None)

    @rule(pick=picks)
    def undo(self, pick: int) -> None:
        """Take back the last decision on a lead that was decided, if that is allowed yet."""
        rows = list(Review.objects.order_by("at", "id").select_related("lead"))
        if rows:
            self.settle()
            with contextlib.suppress(NotDecided):
                rows[pick % len(rows)].lead.undo(None)

    @rule(pick=picks, kind=st.sampled_from(["opt-out", "complaint"]))
    def suppress(self, pick: int, kind: str) -> None:
        """Somebody whose lead was let out wants no more, and all leads of theirs are blocked."""
        if lead := self.lead(pick, compliance_status="Approved", erased_at=None):
            self.settle()
            suppress(lead.phone or lead.email, self.sources[0].business, kind=kind)

    @rule(value=values)
    def suppress_anybody(self, value: str) -> None:
        suppress(value, self.sources[1].business)

    @rule(pick=picks)
    def erase(self, pick: int) -> None:
        if lead := self.lead(pick):
            make_tombstone(lead)

    @rule(source=doors, is_mapped=st.booleans())
    def map_or_not(self, source: int, is_mapped: bool) -> None:
        self.change(source, field_map={"cell": "phone"} if is_mapped else {})

    @rule(source=doors, zone=st.sampled_from(ZONES))
    def change_the_zone(self, source: int, zone: str) -> None:
        self.change(source, time_zone=zone)

    def change(self, source: int, **settings: Any) -> None:
        one = self.sources[source]
        for name, value in settings.items():
            setattr(one, name, value)
        one.save()
        authentication.forget()

    @rule(pick=picks, is_mended=st.booleans())
    def replay(self, pick: int, is_mended: bool) -> None:
        posts = list(Post.objects.filter(lead=None).order_by("received_at", "id"))
        if posts:
            post = posts[pick % len(posts)]
            if is_mended:
                source = next(n for n in (0, 1) if self.sources[n].id == post.source_id)
                self.change(source, field_map={"cell": "phone"})
            self.settle()
            replay(post.id, None, "Mended")

    def lead(self, pick: int, **those: Any) -> Lead | None:
        leads = list(Lead.objects.filter(**those).order_by("received_at", "id"))
        return leads[pick % len(leads)] if leads else None

    def settle(self) -> None:
        """Let all be counted, so that what changes now is found by its note or not at all."""
        self.time.shift(rollup.GRACE + timedelta(minutes=1))
        self.check()
        self.is_due = True

    # --- what is counted ------------------------------------------------------------------

    @rule()
    def count_all_anew(self) -> None:
        rollup.begin_again()

    @invariant()
    def what_is_counted_is_what_there_is(self) -> None:
        self.steps += 1
        self.time.shift(timedelta(milliseconds=7))  # so that there is an order of events
        if self.is_due or not self.steps % self.every:
            self.check()

    def check(self) -> None:
        """Count, and compare it with a count by hand."""
        self.is_due = False
        rollup.keep_now()
        assert not Recount.objects.exists()
        viewers = rollup.console_zone()
        zones = {(one.id, zone) for one in self.sources for zone in (one.time_zone, viewers)}
        counted = CountedZone.objects.filter(is_complete=True)
        assert set(counted.values_list("source", "zone")) == zones
        assert CountedZone.objects.count() == len(zones)
        assert kept() == {
            key: numbers
            for source in self.sources
            for zone in {source.time_zone, viewers}
            for key, numbers in counted_by_hand(source, zone).items()
        }
        for one in DayCount.objects.filter(by=DayCount.By.TOTAL):
            assert one.numbers.received == one.numbers.accounted
        for source_id, zone in zones:
            assert list(rollup.faults_of(source_id, zone)) == []


Key = tuple[UUID, str, str, date, str, str]


def kept() -> dict[Key, dict[str, int]]:
    """Return the rows as they are kept, each by what it is of."""
    return {
        (one.source_id, one.zone, one.span, one.on, one.by, one.value): {
            name: number for name in NAMES if (number := getattr(one, name))
        }
        for one in DayCount.objects.all()
    }


def counted_by_hand(source: Source, zone: str) -> dict[Key, dict[str, int]]:
    """Return the rows that there should be of a source in a zone, one thing after the other."""
    rows: dict[Key, dict[str, int]] = defaultdict(lambda: defaultdict(int))

    def add(at: datetime, of: list[tuple[str, str]], **numbers: int) -> None:
        there = at.astimezone(ZoneInfo(zone))
        for span, on in (("day", there.date()), ("month", there.date().replace(day=1))):
            for by, value in (("total", ""), ("hour", f"{there:%H}"), *of):
                for name, number in numbers.items():
                    if number:
                        rows[source.id, zone, span, on, by, value][name] += number

    for post in Post.objects.filter(source=source).select_related("key"):
        if post.key.is_test:
            add(post.received_at, [], tests=1)
        elif post.outcome == "repeated":
            add(post.received_at, [], received=1, repeated=1)
        elif post.lead_id is None:
            add(post.received_at, [], received=1, refused=1)
            # Of a code it is only said how many were refused for it.
            there = post.received_at.astimezone(ZoneInfo(zone)).date()
            for span, on in (("day", there), ("month", there.replace(day=1))):
                rows[source.id, zone, span, on, "refused", post.outcome]["refused"] += 1
        else:
            add(post.received_at, [], received=1)
    for lead in Lead.objects.filter(source=source, is_test=False).prefetch_related("reviews"):
        values = [("state", seen(lead.state)), ("product", seen(lead.product))]
        values.append(("sub_id", seen(lead.sub_id)))
        units = None if lead.price is None else int(lead.price * 10_000)
        kind = "approved" if lead.compliance_status == "Approved" else "held"
        numbers = {lead.compliance_status.lower(): 1}
        numbers |= {f"{kind}_price": units or 0, f"{kind}_priced": int(units is not None)}
        add(lead.received_at, [*values, ("found", lead.found)], **numbers)
        if review := decision_of(lead):
            waited = review.at - waits_since(lead, review)
            seconds = max(int(waited.total_seconds()), 0)
            is_quick = waited < timedelta(days=1)
            numbers = {"reviewed": 1, "review_seconds": seconds, "reviewed_in_day": is_quick}
            add(lead.received_at, values, **numbers)
    for one in RefusalCount.objects.filter(source=source):
        add(one.minute, [("away", one.code)], turned_away=one.count)
    return {key: dict(numbers) for key, numbers in rows.items()}


def seen(value: str) -> str:
    shown = SHOWN[value]
    assert masks.state(value) == shown or masks.reference(value) == shown
    return shown


def decision_of(lead: Lead) -> Review | None:
    """Return the first decision of staff on a lead that nobody took back."""
    reviews = list(lead.reviews.all())
    undone = {one.undoes_id for one in reviews}
    decided = [one for one in reviews if one.decision in ("release", "reject")]
    return next((one for one in decided if one.id not in undone), None)


def waits_since(lead: Lead, review: Review) -> datetime:
    """Return from when a lead had waited for a decision."""
    blocked = [one.at for one in lead.reviews.all() if one.decision == "suppress"]
    before = [at for at in blocked if at < review.at]
    return before[-1] if before else lead.judged_as_of


@pytest.mark.no_cover  # it would take thrice as long, and chance proves little
def test_whatever_happens_all_of_it_is_counted_where_it_belongs() -> None:
    run_state_machine_as_test(
        Nights,
        settings=settings(
            max_examples=STORIES or 16,
            stateful_step_count=25,
            derandomize=not STORIES,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
