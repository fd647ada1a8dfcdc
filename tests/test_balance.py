"""Every post that came is one lead, one repeat or one refusal: the balance, and what upsets it."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.utils import timezone

from intake import authentication, refusals
from intake.balance import Day, days_of
from intake.models import Post
from intake.replay import replay
from leads.models import Lead
from sources.models import Source
from sources.rules import Mode, Rule
from tests.factories import Door, make_key, make_source, make_tombstone, suppress
from tests.test_replay import map_cell, refused_post

TODAY = timezone.now().date()


def told(*words: Any) -> str:
    said = io.StringIO()
    call_command("reconcile", *map(str, words), stdout=said, stderr=said)
    return said.getvalue()


def faults(*words: Any) -> str:
    said = io.StringIO()
    with pytest.raises(CommandError):
        call_command("reconcile", *map(str, words), stdout=said, stderr=said)
    return said.getvalue()


def days(source: Source) -> list[Day]:
    found = days_of(source, TODAY - timedelta(days=9), TODAY + timedelta(days=9))
    for one in found:
        assert one.received == one.accounted
    return found


@pytest.fixture
def busy(door: Door) -> Source:
    """Return a source with a post of every kind on one day."""
    source = door.source
    source.set_mode(Rule.UNDERAGE, Mode.REJECT)
    authentication.forget()
    door.send(externalId="1")
    door.send(externalId="1")  # repeated
    door.send(externalId="1", phone="512-555-0199", email=...)  # 409
    door.send()  # a duplicate
    for phone in ("512-155-0100", "512-155-0101"):
        door.send(phone=phone, email=...)
    released, rejected = Lead.objects.order_by("-received_at")[:2]
    released.release(None, "", "Looked at it")
    rejected.reject(None, "", "Looked at it")
    door.send(dateOfBirth="2020-01-01", phone="512-555-0142", email=...)  # 422
    door.post(b"{")
    refused_post(door)
    Door(source, make_key(source, is_test=True)[1]).send(phone="512-555-0160", email=...)
    refusals.count("rate-limited", source.id, "", timezone.now())
    refusals.write()
    return source


def test_every_post_is_accounted_for(busy: Source) -> None:
    (day,) = days(busy)
    assert day.received == 9
    assert dict(day.by_status) == {"Approved": 2, "Blocked": 1, "Rejected": 1}
    assert day.repeated == 1
    assert dict(day.refused) == {
        "external-id-conflict": 1,
        "underage": 1,
        "malformed-body": 1,
        "invalid-lead": 1,
    }
    assert (day.tests, dict(day.turned_away)) == (1, {"rate-limited": 1})


def test_the_command_tells_the_balance_of_each_day(busy: Source) -> None:
    said = told()
    assert "received 9 = 2 approved + 1 blocked + 1 rejected + 1 repeated + 4 refused" in said
    assert "1 external-id-conflict, 1 invalid-lead, 1 malformed-body, 1 underage" in said
    assert "apart: 1 tests, 1 rate-limited" in said
    assert "9 posts of 1 sources on 1 days: all fit." in said
    assert "received" not in told("--quiet")
    assert "all fit" in told(busy.name)
    assert "0 posts" in told("--from", "2020-01-01", "--to", "2020-01-31")
    for wrong in (["Nobody"], ["--from", "2026-02-01", "--to", "2026-01-01"]):
        with pytest.raises(CommandError):
            told(*wrong)
    with pytest.raises(CommandError, match="too far away"):
        told("--to", "9999-12-31")


def test_a_replayed_post_leaves_the_refused_on_its_first_day(door: Door) -> None:
    source = door.source
    with time_machine.travel(timezone.now() - timedelta(days=2)):
        post = refused_post(door)
        again = refused_post(door, externalId="x", cell="512-555-0138")
        map_cell(source)
        door.send(phone=..., email=..., cell="512-555-0138", externalId="x")
    (before,) = days(source)
    assert (before.refused.total(), before.by_status.total(), before.repeated) == (2, 1, 0)
    for one in (post, again):
        replay(one.id, None, "Mended")
    (after,) = days(source)
    assert (after.refused.total(), after.by_status.total(), after.repeated) == (0, 2, 1)
    assert after.received == before.received == 3
    told()


def test_decisions_and_look_backs_move_a_lead_within_its_day(door: Door) -> None:
    door.send()
    suppress("512-555-0137", door.source.business)
    (day,) = days(door.source)
    assert dict(day.by_status) == {"Blocked": 1}
    Lead.objects.get().reject(None, "", "Opted out")
    (day,) = days(door.source)
    assert dict(day.by_status) == {"Rejected": 1}
    make_tombstone(Lead.objects.get())
    (day,) = days(door.source)
    assert dict(day.by_status) == {"Rejected": 1}
    told()


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("Pacific/Honolulu", {"2026-10-31": 2, "2026-11-01": 1}),
        ("America/New_York", {"2026-10-31": 1, "2026-11-01": 2}),
        ("Pacific/Auckland", {"2026-11-01": 2, "2026-11-02": 1}),
    ],
)
def test_days_are_those_of_the_zone_of_the_source(
    db: None, zone: str, expected: dict[str, int]
) -> None:
    source = make_source(time_zone=zone)
    door = Door(source)
    times = [
        datetime(2026, 11, 1, 2, 30, tzinfo=UTC),
        datetime(2026, 11, 1, 5, 30, tzinfo=UTC),  # and again at 06:30 in New York
        datetime(2026, 11, 1, 23, 30, tzinfo=UTC),
    ]
    for number, at in enumerate(times):
        with time_machine.travel(at, tick=False):
            door.send(phone=f"512-555-010{number}", email=...)
    first, last = datetime(2026, 10, 30).date(), datetime(2026, 11, 3).date()
    found = days_of(source, first, last)
    assert {str(one.day): one.received for one in found} == expected
    assert all(one.received == one.accounted for one in found)


# --- what does not fit ----------------------------------------------------------------------------


def test_a_lead_that_no_post_made_is_found(busy: Source) -> None:
    post = Post.objects.filter(outcome="approved", key__is_test=False).first()
    assert post
    Post.objects.filter(id=post.id).delete()
    said = faults()
    assert f"leads that no post made: {post.lead_id}" in said
    assert "received 8, but 9 are accounted for" in said


def test_a_lead_that_is_gone_is_found(busy: Source) -> None:
    post = Post.objects.get(outcome="approved", key__is_test=False)
    Post.objects.filter(id=post.id).update(lead=None)
    said = faults()
    assert f"say they are a lead, and are none: {post.id}" in said


def test_a_lead_that_two_posts_made_is_found(busy: Source) -> None:
    post = Post.objects.get(outcome="repeated")
    Post.objects.filter(id=post.id).update(outcome="approved")
    said = faults()
    assert f"2 posts say that they made the lead {post.lead_id}" in said


def test_a_refused_post_with_a_lead_is_found(busy: Source) -> None:
    lead = Lead.objects.filter(is_test=False).first()
    assert lead
    post = Post.objects.get(outcome="malformed-body")
    Post.objects.filter(id=post.id).update(lead=lead)
    assert f"say they were refused, and are a lead: {post.id}" in faults()


def test_a_lead_of_another_day_or_source_is_found(busy: Source) -> None:
    post = Post.objects.get(outcome="approved", key__is_test=False)
    lead = Lead.objects.filter(posts=post)
    lead.update(received_at=post.received_at - timedelta(days=3))
    assert str(post.id) in faults()
    Lead.objects.filter(posts=post).update(received_at=post.received_at)
    told()
    Lead.objects.filter(posts=post).update(source=make_source())
    said = faults()
    assert f"posts that became a lead of another source or moment: {post.id}" in said
    assert "repeats of a lead of another source" in said


def test_replays_and_tests_that_do_not_fit_are_found(door: Door, busy: Source) -> None:
    source = door.source
    map_cell(source)
    made = Post.objects.get(outcome="invalid-lead")
    replay(made.id, None, "Mended")
    told()
    refused = Post.objects.get(outcome="malformed-body")
    lead = Lead.objects.filter(posts=made).get()
    Post.objects.filter(id=refused.id).update(outcome="repeated", lead=lead)
    assert f"are a lead without a replay: {refused.id}" in faults()
    Post.objects.filter(id=refused.id).update(outcome="malformed-body", lead=None)
    Post.objects.filter(id=made.id).update(lead=None, outcome="invalid-lead")
    assert "replays of posts that are not that lead" in faults()
    Post.objects.filter(id=made.id).update(lead=lead, outcome="blocked")
    told()
    other = Lead.objects.filter(is_test=False, replayed_at=None).first()
    assert other
    Lead.objects.filter(id=other.id).update(replayed_at=timezone.now())
    assert f"say they were replayed, and were not: {other.id}" in faults()
    Lead.objects.filter(id=other.id).update(replayed_at=None, is_test=True)
    assert "posts that are a test and no lead of a test" in faults()


def test_reconciling_costs_the_same_however_many_posts_there_are(
    door: Door, django_assert_num_queries: Any
) -> None:
    counts = []
    for more in (1, 10):
        for number in range(more):
            door.send(phone=f"512-555-01{more:02}{number}"[:12], email=...)
        with django_assert_num_queries(18) as queries:
            told()
        counts.append(len(queries))
    assert counts[0] == counts[1]
