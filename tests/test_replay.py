"""Posts that were refused, run again once what was wrong has been mended; contract §9."""

import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from intake import authentication
from intake.jobs import replay_later
from intake.models import START_BYTES, Post, Replay
from intake.replay import (
    IsALead,
    IsCut,
    NotThere,
    Replayed,
    SourceIsOff,
    refused,
    rehearse,
    replay,
)
from leadping.jobs.models import Job
from leadping.jobs.worker import Loop
from leads.caps import CapCounter, approved_in
from leads.explain import explain
from leads.models import Lead
from leads.reviews import NoReason
from sources.models import Source
from sources.rules import Mode, Rule
from tests.factories import Door, make_key, make_source, suppress
from tests.test_compliance import status_of

MENDED = "The vendor's field is mapped now."


def refused_post(door: Door, **members: Any) -> Post:
    """Return the kept post of a vendor who calls the phone `cell`, and has no e-mail."""
    response = door.send(**{"phone": ..., "email": ..., "cell": "512-555-0137"} | members)
    assert response.status_code == 400, response.content
    return Post.objects.latest("received_at")


def map_cell(source: Source) -> None:
    """Mend the mapping."""
    source.field_map = {"cell": "phone"}
    source.save()
    authentication.forget()  # else it is a second until posts are read so


def fresh(post: Post) -> Post:
    return Post.objects.get(id=post.id)


def counted() -> dict[str, int]:
    """Return how many rows there are of what a replay may write."""
    models: tuple[Any, ...] = (Lead, Post, Replay, CapCounter)
    return {one.__name__: one._default_manager.count() for one in models}


# --- what comes of it -----------------------------------------------------------------------------


def test_a_mended_post_becomes_a_lead_with_its_first_arrival_time(door: Door) -> None:
    ben = get_user_model().objects.create_user("ben")
    post = refused_post(door, externalId="x", dateOfBirth="1990-01-01", tagNames=["VIP"])
    tag = door.source.business.tags.create(name="VIP")
    map_cell(door.source)
    with time_machine.travel(timezone.now() + timedelta(days=3)):
        before = timezone.now()
        done = replay(post.id, ben, MENDED)
    assert (done.outcome, done.findings, done.faults) == ("approved", [], [])
    lead = Lead.objects.get()
    assert (lead.id, lead.phone, lead.external_id) == (done.lead_id, "+15125550137", "x")
    assert lead.received_at == post.received_at
    assert list(lead.tags.all()) == [tag]
    assert lead.replayed_at
    assert lead.judged_at
    assert lead.approved_at == lead.replayed_at
    assert before <= lead.judged_at
    now = fresh(post)
    assert (now.outcome, now.lead) == ("approved", lead)
    # what the vendor was told stays on record
    assert (now.status, now.answer, bytes(now.body)) == (400, post.answer, bytes(post.body))
    row = Replay.objects.get()
    assert (row.post_id, row.post_received_at, row.lead) == (post.id, post.received_at, lead)
    assert (row.by, row.reason, row.outcome_before, row.outcome_after) == (
        *(ben, MENDED, "invalid-lead", "approved"),
    )
    # and a repeat of the post finds it
    response = door.send(phone=..., email=..., cell="512-555-0137", externalId="x")
    assert (response.status_code, response.json()["id"]) == (201, str(lead.id))


def test_what_is_still_wrong_stays_refused_and_changes_nothing(door: Door) -> None:
    post = refused_post(door)
    before = counted()
    done = replay(post.id, None, MENDED)
    assert (done.outcome, done.lead_id, done.faults) == ("invalid-lead", None, ["missing-contact"])
    assert counted() == before
    assert (fresh(post).outcome, fresh(post).lead) == ("invalid-lead", None)


def test_twice_makes_one(door: Door) -> None:
    post = refused_post(door)
    map_cell(door.source)
    replay(post.id, None, MENDED)
    before = counted()
    for again in (lambda: replay(post.id, None, MENDED), lambda: rehearse(post.id)):
        with pytest.raises(IsALead):
            again()
    assert counted() == before
    second = Replay.objects.get()
    second.id, second._state.adding = uuid4(), True
    with pytest.raises(IntegrityError), transaction.atomic():
        second.save()


def test_a_rehearsal_says_the_same_and_writes_nothing(door: Door) -> None:
    door.source.daily_cap = 5
    door.source.save()
    posts = [refused_post(door), refused_post(door, dateOfBirth="2020-01-01", cell="512-555-0138")]
    map_cell(door.source)
    before = counted()
    rehearsed = [rehearse(post.id) for post in posts]
    assert counted() == before
    assert [fresh(post).lead for post in posts] == [None, None]
    done = [replay(post.id, None, MENDED) for post in posts]
    assert [(one.outcome, one.findings) for one in rehearsed] == [
        ("approved", []),
        ("blocked", ["underage"]),
    ]
    assert [(one.outcome, one.findings) for one in done] == [
        (one.outcome, one.findings) for one in rehearsed
    ]


def test_a_reason_is_needed(door: Door) -> None:
    post = refused_post(door)
    map_cell(door.source)
    with pytest.raises(NoReason):
        replay(post.id, None, "  ")
    assert not Lead.objects.exists()


# --- judged as of now -----------------------------------------------------------------------------


def test_the_person_is_judged_by_what_is_known_now(door: Door) -> None:
    post = refused_post(door)
    map_cell(door.source)
    suppress("512-555-0137", door.source.business)
    done = replay(post.id, None, MENDED)
    assert (done.outcome, done.findings) == ("blocked", ["suppressed"])


def test_who_came_meanwhile_makes_it_a_duplicate(door: Door) -> None:
    post = refused_post(door)
    assert status_of(door.send(email=...)) == "Approved"
    map_cell(door.source)
    assert replay(post.id, None, MENDED).findings == ["duplicate"]


def test_of_two_posts_of_one_person_the_second_is_a_duplicate(door: Door) -> None:
    posts = [refused_post(door), refused_post(door)]
    map_cell(door.source)
    assert [replay(post.id, None, MENDED).outcome for post in posts] == ["approved", "blocked"]


def test_the_age_is_that_of_the_first_arrival(door: Door) -> None:
    today = timezone.now().date()
    born = today.replace(year=today.year - 18, day=1) + timedelta(days=40)
    post = refused_post(door, dateOfBirth=born.isoformat())
    map_cell(door.source)
    with time_machine.travel(timezone.now() + timedelta(days=60)):
        assert replay(post.id, None, MENDED).findings == ["underage"]


def test_a_cap_counts_it_on_the_day_of_the_replay(door: Door) -> None:
    source = door.source
    source.daily_cap = 1
    source.save()
    post = refused_post(door)
    other = refused_post(door, cell="512-555-0138")
    map_cell(source)
    with time_machine.travel(timezone.now() + timedelta(days=3)):
        assert replay(post.id, None, MENDED).outcome == "approved"
        assert replay(other.id, None, MENDED).findings == ["over-cap"]
        now = timezone.now()
        assert approved_in(source, now - timedelta(days=1), now + timedelta(days=1)) == 1
        CapCounter.objects.all().delete()  # begun anew, it counts it too
        assert status_of(door.send(phone="512-555-0139", email=...)) == "Blocked"
    received = post.received_at
    assert approved_in(source, received, received + timedelta(hours=1)) == 0


def test_explaining_it_finds_what_the_replay_found(door: Door) -> None:
    source = door.source
    source.daily_cap = 1
    source.save()
    posts = [refused_post(door), refused_post(door, cell="512-555-0138")]
    map_cell(source)
    with time_machine.travel(timezone.now() + timedelta(days=3)):
        for post in posts:
            replay(post.id, None, MENDED)
        for lead in Lead.objects.all():
            again = [one.rule.value for one in explain(lead).verdict.findings]
            assert again == [one["code"] for one in lead.findings]


def test_a_rule_that_refuses_goes_on_refusing_until_it_is_mended(door: Door) -> None:
    door.source.set_mode(Rule.UNDERAGE, Mode.REJECT)
    assert door.send(dateOfBirth="2020-01-01").status_code == 422
    post = Post.objects.get()
    assert replay(post.id, None, "Again").outcome == "underage"
    door.source.set_mode(Rule.UNDERAGE, Mode.HOLD)
    done = replay(post.id, None, "The rule holds now.")
    assert (done.outcome, done.findings) == ("blocked", ["underage"])


# --- repeats --------------------------------------------------------------------------------------


def test_a_post_that_the_vendor_sent_again_meanwhile_becomes_its_repeat(door: Door) -> None:
    post = refused_post(door, externalId="x")
    map_cell(door.source)
    first = door.send(phone=..., email=..., cell="512-555-0137", externalId="x").json()["id"]
    done = replay(post.id, None, MENDED)
    assert (done.outcome, str(done.lead_id)) == ("repeated", first)
    assert Lead.objects.count() == 1
    assert fresh(post).outcome == "repeated"
    assert Lead.objects.get().seen_by(post.received_at, timezone.now()) == []  # nobody saw it so


def test_the_same_key_finds_the_same_lead(door: Door) -> None:
    headers = {**door.credentials, "Idempotency-Key": "k1"}
    body = {"cell": "512-555-0137"}
    assert door.post(body, headers=headers).status_code == 400
    map_cell(door.source)
    lead_id = replay(Post.objects.get().id, None, MENDED).lead_id
    again = door.post(body, headers=headers)
    assert (again.status_code, again.json()["id"]) == (201, str(lead_id))
    assert again.headers["Idempotency-Replayed"] == "true"


def test_a_key_in_the_key_is_blanked_and_goes_on_being_the_same(door: Door) -> None:
    headers = {**door.credentials, "Idempotency-Key": f"k-{door.key}"}
    assert door.post({"cell": "512-555-0137"}, headers=headers).status_code == 400
    map_cell(door.source)
    lead_id = replay(Post.objects.get().id, None, MENDED).lead_id
    again = door.post({"cell": "512-555-0137"}, headers=headers)
    assert (again.status_code, again.json()["id"]) == (201, str(lead_id))


@pytest.mark.parametrize("key", ["ab\x01c", "", "two words"])
def test_a_post_refused_for_its_key_stays_refused(door: Door, key: str) -> None:
    headers = {**door.credentials, "Idempotency-Key": key}
    assert door.post(headers=headers).status_code == 400
    assert replay(Post.objects.get().id, None, "Try").outcome == "invalid-lead"


def test_what_was_ignored_is_noted_with_the_post(door: Door) -> None:
    post = refused_post(door, unknown="1", utmSource="x" * 600)
    map_cell(door.source)
    replay(post.id, None, MENDED)
    assert fresh(post).notes == {"ignored": ["unknown"], "truncated": ["utmSource"]}


def test_another_persons_external_id_stays_a_conflict(door: Door) -> None:
    assert door.send(externalId="x").status_code == 201
    assert door.send(externalId="x", phone="512-555-0199", email=...).status_code == 409
    post = Post.objects.latest("received_at")
    assert replay(post.id, None, "Again").outcome == "external-id-conflict"
    assert fresh(post).lead is None


# --- every kind of post ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "send"),
    [
        (
            "/leads/intake",
            lambda door: door.post(
                b"cell=512-555-0137&zip=78701", content_type="application/x-www-form-urlencoded"
            ),
        ),
        ("/leads", lambda door: door.post({"contact": {"cell": "512-555-0137"}})),
        (
            "/leads/intake",
            lambda door: door.client.get(
                f"/leads/intake?sourceId={door.source.id}&sourceKey={door.key}&cell=512-555-0137"
            ),
        ),
        (
            "/leads/intake",
            lambda door: door.post(b'{"cell": "512-555-0137"}', content_type="text/plain"),
        ),
    ],
)
def test_forms_queries_structures_and_odd_types_are_read_as_they_came(
    db: None, path: str, send: Callable[[Door], Any]
) -> None:
    source = make_source(is_query_key_allowed=True)
    door = Door(source, path=path)
    assert send(door).status_code in (400, 415)
    post = Post.objects.get()
    map_cell(source)
    assert replay(post.id, None, MENDED).outcome == "approved"
    assert Lead.objects.get().phone == "+15125550137"


@pytest.mark.parametrize("body", [b"", b"{", b'{"phone": "512-555-0137"', b"\xff", b"[]"])
def test_what_nobody_can_read_stays_refused(door: Door, body: bytes) -> None:
    door.post(body)
    assert replay(Post.objects.get().id, None, "Try").outcome == "malformed-body"


def test_a_post_of_which_only_the_start_is_kept_is_not_replayed(door: Door) -> None:
    door.post(b'{"phone": "512-555-0137", "x": "' + b"x" * 70_000 + b'"}')
    with pytest.raises(IsCut):
        replay(Post.objects.get().id, None, "Try")


def test_a_body_in_which_a_key_was_blanked_is_whole(door: Door) -> None:
    refused_post(door, note=door.key)
    map_cell(door.source)
    assert replay(Post.objects.get().id, None, MENDED).outcome == "approved"


def test_a_body_that_grew_by_blanking_and_was_cut_then_is_not_taken_for_whole(door: Door) -> None:
    door.source.is_enabled = False
    door.source.save()
    token = "sk_" + "a" * 16
    body = b'{"phone": "512-555-0137", "x": "%s", "y": "%s"}'
    filled = body % (token.encode(), b"y" * (START_BYTES - len(body) - len(token) + 3))
    assert START_BYTES - 3 < len(filled) <= START_BYTES
    assert door.post(filled).status_code == 403
    door.source.is_enabled = True
    door.source.save()
    with pytest.raises(IsCut):
        replay(Post.objects.get().id, None, "The source is on again.")


def test_a_source_that_is_off_gets_no_lead_and_back_on_it_does(door: Door) -> None:
    door.source.is_enabled = False
    door.source.save()
    assert door.send().status_code == 403
    post = Post.objects.get()
    with pytest.raises(SourceIsOff):
        replay(post.id, None, "Try")
    door.source.is_enabled = True
    door.source.save()
    assert replay(post.id, None, "The source is on again.").outcome == "approved"


def test_a_key_that_was_revoked_since_is_no_matter(door: Door) -> None:
    post = refused_post(door)
    map_cell(door.source)
    door.source.keys.get().revoke(timezone.now())
    assert replay(post.id, None, MENDED).outcome == "approved"


def test_a_test_stays_a_test(source: Source) -> None:
    door = Door(source, make_key(source, is_test=True)[1])
    post = refused_post(door)
    map_cell(source)
    replay(post.id, None, MENDED)
    assert Lead.objects.get().is_test


def test_a_post_that_is_not_there_is_told(db: None) -> None:
    with pytest.raises(NotThere):
        rehearse(uuid4())


def test_a_lead_is_no_refused_post(door: Door) -> None:
    door.send()
    post = refused_post(door)
    assert list(refused(Post.objects.all())) == [post]
    with pytest.raises(IsALead):
        replay(Post.objects.exclude(id=post.id).get().id, None, "Again")


# --- many -----------------------------------------------------------------------------------------


def told(*words: Any) -> str:
    said = io.StringIO()
    call_command("replay_posts", *map(str, words), stdout=said)
    return said.getvalue()


@pytest.fixture
def posts(door: Door) -> list[Post]:
    """Return six refused posts: three of a mapping that is mended, one of a broken body."""
    made = [refused_post(door, cell=f"512-555-013{n}") for n in range(3)]
    door.post(b"{")
    map_cell(door.source)
    return [*made, Post.objects.latest("received_at")]


def test_the_command_shows_what_would_come_of_them(posts: list[Post], door: Door) -> None:
    before = counted()
    said = told("--source", door.source.name)
    assert "Of 4 posts would be:" in said
    assert "3  approved" in said
    assert "1  malformed-body" in said
    assert "--count 4" in said
    assert counted() == before


def test_the_command_replays_only_the_number_that_was_meant(posts: list[Post]) -> None:
    for count in ([], ["--count", 3]):
        with pytest.raises(CommandError, match="4 posts match"):
            told("--reason", MENDED, *count)
    assert not Lead.objects.exists()
    assert "3  approved" in told("--reason", MENDED, "--count", 4)
    assert Lead.objects.count() == 3
    assert "Of 1 posts are:" in told("--reason", MENDED, "--count", 1)


def test_the_command_takes_some_of_them(posts: list[Post], door: Door) -> None:
    other = Door(make_source())
    refused_post(other)
    assert "Of 4 posts" in told("--source", door.source.id)
    assert "Of 1 posts" in told("--source", other.source.id)
    assert "Of 1 posts" in told("--outcome", "malformed-body")
    assert "Of 2 posts" in told(posts[0].id, posts[3].id)
    assert "Of 0 posts" in told("--until", "2020-01-01")
    assert "Of 5 posts" in told("--since", "2020-01-01")


@pytest.mark.parametrize(
    "words",
    [["nonsense"], ["--source", "Nobody"], ["--reason", "", "--count", 4], ["--since", "x"]],
)
def test_the_command_says_what_is_wrong(posts: list[Post], words: list[Any]) -> None:
    with pytest.raises(CommandError):
        told(*words)
    assert not Lead.objects.exists()


def test_the_worker_replays_many(posts: list[Post]) -> None:
    assert "The worker will replay 4 posts" in told("--reason", MENDED, "--count", 4, "--later")
    assert not Lead.objects.exists()
    Loop().run(is_once=True)
    assert Lead.objects.count() == 3
    # But for what is never done.
    replays = Job.objects.filter(kind="replay-post")
    assert set(replays.values_list("state", flat=True)) == {"done"}
    # asked for twice, done once
    replay_later([post.id for post in posts], MENDED)
    Loop().run(is_once=True)
    assert Lead.objects.count() == 3


def test_the_worker_gives_up_what_cannot_be_replayed(door: Door) -> None:
    door.source.is_enabled = False
    door.source.save()
    door.send()
    ben = get_user_model().objects.create_user("ben")
    replay_later([Post.objects.get().id], "Try", ben)
    Loop().run(is_once=True)
    job = Job.objects.get(kind="replay-post")
    assert (job.state, job.error) == ("failed", SourceIsOff.__doc__)
    door.source.is_enabled = True
    door.source.save()
    job.retry()
    Loop().run(is_once=True)
    assert Replay.objects.get().by == ben


def test_a_replay_costs_few_statements(door: Door, django_assert_max_num_queries: Any) -> None:
    post = refused_post(door)
    map_cell(door.source)
    assert isinstance(rehearse(post.id), Replayed)
    assert isinstance(post.id, UUID)
    savepoints = 2
    locks = 1 if connection.vendor == "postgresql" else 0
    # post, key, source, its business, modes and tags; look-up; lead, replay, post
    with django_assert_max_num_queries(10 + savepoints + locks):
        replay(post.id, None, MENDED)
