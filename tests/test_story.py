"""Stories of posts, repeats, suppressions, reviews, replays and lists, in any order.

Whatever happens, and after each step of it: nobody is approved while suppressed, an external id has
one lead, the books balance, what was decided stays on record, and no cap is overrun.
"""

import os
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from intake import authentication
from intake.balance import days_of, faults_of
from intake.models import Post, Replay
from intake.replay import IsALead, rehearse, replay
from leads import proof
from leads.caps import CapCounter
from leads.models import Lead, LookBack, RegistryList, Review, Suppression
from leads.reviews import NotDecided
from sources.rules import Mode, Rule
from tests.factories import Door, make_business, make_source, suppress
from tests.test_importing import REGISTRY, run

pytestmark = pytest.mark.django_db

# So many by default, always the same; more, and others each time, by hand.
STORIES = int(os.environ.get("STORIES", "0"))
CAP = 4
CONSENTED = "Signed again, certificate 3f…"

PHONES = ["512-555-0100", "512-555-0101", "512-155-0102", None]
EMAILS = ["ada@example.com", "ben@example.com", None]
people = st.tuples(st.sampled_from(PHONES), st.sampled_from(EMAILS)).filter(any)
values = st.sampled_from([one for one in (*PHONES, *EMAILS) if one])
external_ids = st.sampled_from(["1", "2", "3", None, None])
doors = st.integers(0, 2)
picks = st.integers(0, 1000)


class Story(RuleBasedStateMachine):
    """What may happen to the leads of two businesses with three sources."""

    def __init__(self) -> None:
        super().__init__()
        self.undone = transaction.atomic()
        self.undone.__enter__()
        authentication.forget()
        first, second = make_business(), make_business()
        self.sources = [
            make_source(business=first, daily_cap=CAP, rate_per_minute=10_000),
            make_source(
                business=first,
                duplicate_scope="business",
                rate_per_minute=10_000,
                modes={Rule.ON_DNC_REGISTRY: Mode.FLAG, Rule.PHONE_INVALID: Mode.REJECT},
            ),
            make_source(business=second, rate_per_minute=10_000, modes={Rule.DUPLICATE: Mode.OFF}),
        ]
        self.doors = [Door(one) for one in self.sources]
        self.posted = [0, 0, 0]
        self.decided: dict[UUID, Any] = {}

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.undone.__exit__(None, None, None)

    # --- vendors --------------------------------------------------------------------------

    @rule(door=doors, who=people, external_id=external_ids, is_young=st.booleans())
    def post(self, door: int, who: Any, external_id: str | None, is_young: bool) -> None:
        """A vendor posts somebody, perhaps once more, perhaps by an id that somebody else has."""
        self.send(door, who, external_id, dateOfBirth="2020-01-01" if is_young else "1980-01-01")

    @rule(door=doors, who=people, external_id=external_ids)
    def post_by_another_name(self, door: int, who: Any, external_id: str | None) -> None:
        """A vendor calls the phone `cell`, which may not be mapped; there is no e-mail then."""
        phone = who[0] or "512-555-0103"
        self.send(door, (None, None), external_id, cell=phone)

    @rule(door=doors)
    def post_what_nobody_can_read(self, door: int) -> None:
        self.doors[door].post(b"{")
        self.posted[door] += 1

    def send(self, door: int, who: Any, external_id: str | None, **more: Any) -> None:
        response = self.doors[door].send(phone=who[0], email=who[1], externalId=external_id, **more)
        assert response.status_code in (201, 400, 409, 422), response.content
        self.posted[door] += 1

    # --- staff ----------------------------------------------------------------------------

    @rule(pick=picks)
    def release(self, pick: int) -> None:
        if lead := self.lead(pick):
            self.decide(lambda: lead.release(None, "", "Looked", written_consent=CONSENTED))

    @rule(pick=picks)
    def reject(self, pick: int) -> None:
        if lead := self.lead(pick):
            self.decide(lambda: lead.reject(None, "", "Looked"))

    @rule(pick=picks)
    def undo(self, pick: int) -> None:
        if lead := self.lead(pick):
            self.decide(lambda: lead.undo(None))

    def decide(self, work: Any) -> None:
        try:
            work()
        except NotDecided:
            return

    @rule(value=values, source=doors, kind=st.sampled_from(["opt-out", "complaint"]))
    def suppress(self, value: str, source: int, kind: str) -> None:
        suppress(value, self.sources[source].business, kind=kind)

    @rule(value=values, channel=st.sampled_from(["sms", "email"]))
    def suppress_one_channel(self, value: str, channel: str) -> None:
        if (channel == "email") == ("@" in value):
            suppress(value, self.sources[0].business, channel=channel)

    @rule(pick=picks)
    def end_a_suppression(self, pick: int) -> None:
        entries = list(Suppression.objects.active().order_by("id"))
        if entries:
            entries[pick % len(entries)].release(None, "Signed again", CONSENTED)

    @rule(chosen=st.lists(values, min_size=1, max_size=3), is_registry=st.booleans())
    def import_a_list(self, chosen: list[str], is_registry: bool) -> None:
        text = "phone,email\n" + "".join(
            f",{one}\n" if "@" in one else f"{one},\n" for one in chosen
        )
        if is_registry:
            one = run(text, **REGISTRY)
        else:
            one = run(text, self.sources[0].business, kind="internal")
        assert one.state == "done"
        assert one.rows_done == len(chosen)

    @rule()
    def retire_the_list(self) -> None:
        RegistryList.objects.in_use().update(retired_at=timezone.now())

    @rule(source=doors, is_mapped=st.booleans())
    def map_or_not(self, source: int, is_mapped: bool) -> None:
        one = self.sources[source]
        one.field_map = {"cell": "phone"} if is_mapped else {}
        one.save()
        authentication.forget()

    @rule(pick=picks, is_first_rehearsed=st.booleans())
    def replay(self, pick: int, is_first_rehearsed: bool) -> None:
        posts = list(Post.objects.exclude(outcome="approved").order_by("received_at", "id"))
        if not posts:
            return
        post = posts[pick % len(posts)]
        before = Lead.objects.count()
        try:
            rehearsed = rehearse(post.id) if is_first_rehearsed else None
            assert Lead.objects.count() == before
            done = replay(post.id, None, "Mended")
        except IsALead:
            assert post.lead_id
            return
        assert post.lead_id is None
        if rehearsed:
            assert (rehearsed.outcome, rehearsed.findings) == (done.outcome, done.findings)
        is_new = done.outcome in ("approved", "blocked")
        assert Lead.objects.count() == before + is_new
        assert Replay.objects.filter(post_id=post.id).count() == (done.lead_id is not None)

    def lead(self, pick: int) -> Lead | None:
        leads = list(Lead.objects.order_by("received_at", "id"))
        return leads[pick % len(leads)] if leads else None

    # --- what always holds ----------------------------------------------------------------

    @invariant()
    def nobody_is_approved_while_suppressed(self) -> None:
        assert list(proof.violations()) == []
        for lead in Lead.objects.filter(compliance_status="Approved"):
            entries = Suppression.objects.active().filter(business=lead.business_id)
            assert not entries.matching(lead.phone, lead.email_key).exists()

    @invariant()
    def an_external_id_has_one_lead(self) -> None:
        ids = list(Lead.objects.exclude(external_id="").values_list("source", "external_id"))
        assert len(ids) == len(set(ids))

    @invariant()
    def the_books_balance(self) -> None:
        first, last = (timezone.now().date() + timedelta(days=n) for n in (-2, 2))
        for source, posted in zip(self.sources, self.posted, strict=True):
            days = days_of(source, first, last)
            assert sum(one.received for one in days) == posted
            assert all(one.received == one.accounted for one in days)
            assert list(faults_of(source, first, last)) == []

    @invariant()
    def what_was_decided_stays_on_record(self) -> None:
        rows: dict[UUID, Any] = {one["id"]: one for one in Review.objects.values()}
        assert self.decided.items() <= rows.items()
        self.decided = rows
        blocked = Review.objects.filter(decision="suppress").count()
        assert LookBack.objects.count() == blocked
        for lead in Lead.objects.prefetch_related("reviews"):
            reviews = list(lead.reviews.all())
            for one, following in pairwise(reviews):
                assert one.status_after == following.status_before
            if reviews:
                assert reviews[-1].status_after == lead.compliance_status

    @invariant()
    def no_cap_is_overrun(self) -> None:
        source = self.sources[0]
        approved = Lead.objects.filter(source=source).exclude(approved_at=None).count()
        assert approved <= CAP
        used = CapCounter.objects.filter(source=source).values_list("used", flat=True)
        assert set(used) <= {approved}


@pytest.mark.no_cover  # it would take thrice as long, and chance proves little
def test_whatever_happens_what_is_promised_holds() -> None:
    run_state_machine_as_test(
        Story,
        settings=settings(
            max_examples=STORIES or 12,
            stateful_step_count=25,
            derandomize=not STORIES,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
