"""The pages of posts: found by what became of them, shown as they came, replayed."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from intake.admin import REPLAYED_AT_ONCE, milliseconds_of
from intake.models import Post, Replay
from leads.models import Disclosure, Lead
from leads.reviews import REVEAL_LASTS
from sources.ids import first_of
from tests.factories import Door, make_source
from tests.test_admin import act, signed_in
from tests.test_desk import reviewer
from tests.test_replay import map_cell, refused_post

LIST = "/admin/intake/post/"
REPLAY = "/admin/intake/post/replay/"


@pytest.fixture(autouse=True)
def plain_http(settings: Any) -> None:
    """Let the test client, which speaks HTTP, in."""
    settings.SECURE_SSL_REDIRECT = False


@pytest.fixture
def sam(db: None) -> Client:
    return reviewer("sam", "Source manager")


def page_of(post: Post) -> str:
    return reverse("admin:intake_post_change", args=[post.id])


def found(client: Client, **query: str) -> set[Any]:
    """Return the ids of the posts that the list finds."""
    response = client.get(LIST, query)
    assert response.status_code == 200, query
    return {one.id for one in response.context["cl"].result_list}


# --- the list -------------------------------------------------------------------------------------


def test_posts_are_found_by_outcome_status_source_key_test_and_time(sam: Client) -> None:
    source = make_source(is_trusted_form_required=True, duplicate_window_days=0)
    door, other = Door(source), Door(make_source())
    test_door = Door(source, key=source.issue_key(is_test=True, label="tests")[1])
    now = timezone.now()
    with time_machine.travel(now - timedelta(days=2)):
        door.send(phone="12", email=...)
    door.send(externalId="x")
    door.send(externalId="x")
    other.send()
    other.send(externalId="y", phone="512-555-0199", email=...)
    other.send(externalId="y", phone="512-555-0198", email=...)
    test_door.send()
    old, blocked, repeat, approved, _, conflict, test = Post.objects.order_by("id")
    assert found(sam, outcome="refused") == {old.id, conflict.id}
    assert found(sam, outcome="invalid-lead") == {old.id}
    assert found(sam, outcome="repeated") == {repeat.id}
    assert found(sam, outcome="blocked") == {blocked.id, test.id}
    assert approved.id in found(sam, outcome="approved")
    assert found(sam, status="409") == {conflict.id}
    by_source = {"source__id__exact": str(source.id)}
    assert found(sam, **by_source) == {old.id, blocked.id, repeat.id, test.id}
    assert found(sam, **by_source, key=str(test.key_id)) == {test.id}
    assert found(sam, tests="0", outcome="blocked") == {blocked.id}
    until = (now - timedelta(days=1)).isoformat()
    assert found(sam, to=until) == {old.id}
    assert old.id not in found(sam, **{"from": until})
    assert found(sam, outcome="refused", **{"from": until}) == {conflict.id}
    assert found(sam, q=str(old.id)) == {old.id}
    assert found(sam, q="nonsense") == set()


@pytest.mark.parametrize(
    "query",
    [
        *("outcome=x", "status=x", "status=999", "key=x", "tests=x", "from=x", "to=2026-13-01"),
        *("source__id__exact=x", "source__id__exact=x&key=y", "to=9999-12-31", "from=0001-01-01"),
        "from=0001-01-01T00:00:00%2B14:00",
    ],
)
def test_a_filter_that_is_none_is_no_error(sam: Client, query: str) -> None:
    assert sam.get(f"{LIST}?{query}").status_code in (200, 302)


def test_an_id_begins_with_its_time(door: Door) -> None:
    door.send()
    post = Post.objects.get()
    assert first_of(milliseconds_of(post.received_at - timedelta(seconds=1))) < post.id
    assert post.id < first_of(milliseconds_of(post.received_at + timedelta(seconds=10)))


def test_the_list_costs_the_same_however_many_it_shows(
    sam: Client, door: Door, django_assert_num_queries: Any
) -> None:
    for number in range(20):
        door.send(phone=f"512-555-01{number:02}", email=...)
        if number in (4, 19):
            with django_assert_num_queries(9):  # three for what there is to choose from
                sam.get(LIST)


# --- one post -------------------------------------------------------------------------------------


def test_a_post_shows_what_was_answered_and_hides_what_was_sent(sam: Client, door: Door) -> None:
    post = refused_post(door, firstName="Zebediah", zip="1234567")
    page = sam.get(page_of(post)).content.decode()
    assert "<code><bdi>firstName</bdi></code>: •••" in page
    assert "Zebediah" not in page
    assert "512-555-0137" not in page
    assert "invalid-zip" in page
    assert "127.0.•••" in page


def test_revealing_a_post_takes_a_reason_and_writes_its_row(sam: Client, door: Door) -> None:
    post = refused_post(door, firstName="Zebediah")
    url = reverse("admin:intake_post_reveal", args=[post.id])
    refused = sam.post(url, {"reason": ""}, follow=True)
    assert "needs a reason" in refused.content.decode()
    assert "Zebediah" not in refused.content.decode()
    assert not Disclosure.objects.exists()
    page = sam.post(url, {"reason": "The vendor asked"}, follow=True).content.decode()
    assert "&quot;firstName&quot;: &quot;Zebediah&quot;" in page
    row = Disclosure.objects.get()
    assert (row.lead, row.post_id, row.how, row.reason) == (
        *(None, post.id, "reveal", "The vendor asked"),
    )
    assert "Zebediah" not in reviewer("otto").get(page_of(post)).content.decode()
    with time_machine.travel(timezone.now() + REVEAL_LASTS + timedelta(seconds=1)):
        assert "Zebediah" not in sam.get(page_of(post)).content.decode()
    assert sam.get(url).status_code == 405


def test_a_revealed_post_of_a_lead_is_named_with_the_lead(sam: Client, door: Door) -> None:
    door.send(firstName="Zebediah")
    post = Post.objects.get()
    sam.get(page_of(post))
    url = reverse("admin:intake_post_reveal", args=[post.id])
    page = sam.post(url, {"reason": "Asked"}, follow=True).content.decode()
    assert "&quot;complianceStatus&quot;: &quot;Approved&quot;" in page  # the answer
    rows = Disclosure.objects.filter(lead=Lead.objects.get(), post_id=post.id)
    assert [one.how for one in rows] == ["page", "reveal", "page"]


def test_bytes_that_are_no_text_and_queries_are_shown(sam: Client, source: Any) -> None:
    door = Door(source)
    door.post(b'{"firstName": "\xff"}')
    broken = Post.objects.get()
    page = sam.get(page_of(broken)).content.decode()
    assert "Cannot be read as a list of fields." in page
    url = reverse("admin:intake_post_reveal", args=[broken.id])
    assert "\\xff" in sam.post(url, {"reason": "Asked"}, follow=True).content.decode()
    door.client.get("/leads/intake?FirstName=Zebediah&Zip=1", headers=door.credentials)
    query = Post.objects.latest("id")
    page = sam.get(page_of(query)).content.decode()
    assert "<bdi>FirstName</bdi>" in page
    assert "Zebediah" not in page


def test_hostile_posts_are_text_everywhere(sam: Client, door: Door) -> None:
    script = "<script>alert(1)</script>\u202e"
    body = {script: script, "cell": "512-555-0137", "zip": script, "subId": "javascript:alert(1)"}
    door.post(body, headers={**door.credentials, "User-Agent": "<img src=x>"})
    post = Post.objects.get()
    sam.post(reverse("admin:intake_post_reveal", args=[post.id]), {"reason": script})
    pages = [
        *(sam.get(LIST), sam.get(page_of(post))),
        sam.post(REPLAY, {"post": [str(post.id)]}),
        sam.post(REPLAY, {"post": [str(post.id)], "count": "1", "reason": script}),
    ]
    for response in pages:
        text = response.content.decode()
        assert response.status_code == 200
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "\u202e" not in text
        assert 'href="javascript' not in text


# --- replay ---------------------------------------------------------------------------------------


def test_a_post_is_replayed_once_shown_counted_and_with_a_reason(sam: Client, door: Door) -> None:
    post = refused_post(door)
    form: dict[str, Any] = {"post": [str(post.id)]}
    shown = sam.post(REPLAY, form).content.decode()
    assert "<strong>0 of 1</strong> would become a lead" in shown
    map_cell(door.source)
    shown = sam.post(REPLAY, form).content.decode()
    assert "<strong>1 of 1</strong> would become a lead" in shown
    assert not Lead.objects.exists()
    refused = sam.post(REPLAY, form | {"count": "2", "reason": "Mended"})
    assert "Type the number of posts to confirm: 1." in refused.content.decode()
    refused = sam.post(REPLAY, form | {"count": "1", "reason": " "})
    assert "needs a reason" in refused.content.decode()
    assert not Lead.objects.exists()
    done = sam.post(REPLAY, form | {"count": "1", "reason": "Mended"})
    assert "<strong>1 of 1</strong> became a lead" in done.content.decode()
    assert Replay.objects.get().reason == "Mended"
    assert LogEntry.objects.get().change_message == "Replayed: approved."
    again = sam.post(REPLAY, form | {"count": "1", "reason": "Mended"})
    assert "This post already is a lead" in again.content.decode()
    assert Lead.objects.count() == 1
    page = sam.get(page_of(post)).content.decode()
    assert "Replay…" not in page
    assert "Mended" in page


def test_many_are_replayed_from_the_list(sam: Client, door: Door) -> None:
    posts = [refused_post(door, cell=f"512-555-01{number:02}") for number in range(3)]
    map_cell(door.source)
    shown = act(sam, "intake_post", "replay", *posts)
    assert "<strong>3 of 3</strong> would become a lead" in shown.content.decode()
    assert not Lead.objects.exists()
    many = [str(posts[0].id)] * (REPLAYED_AT_ONCE + 1)
    told = sam.post(REPLAY, {"post": many}, follow=True)
    assert "manage.py replay_posts" in told.content.decode()
    assert sam.post(REPLAY, {"post": ["x"]}).status_code == 400
    assert sam.post(REPLAY, {}).status_code == 302
    assert sam.get(REPLAY).status_code == 405


# --- who may --------------------------------------------------------------------------------------


def test_who_may_only_view_posts_replays_and_reveals_none(door: Door) -> None:
    post = refused_post(door)
    map_cell(door.source)
    client = signed_in("view_post")
    assert 'name="action"' not in client.get(LIST).content.decode()
    page = client.get(page_of(post)).content.decode()
    assert "Replay…" not in page
    assert "Why you need" not in page
    act(client, "intake_post", "replay", post)
    form = {"post": [str(post.id)], "count": "1", "reason": "Mended"}
    assert client.post(REPLAY, form).status_code == 403
    url = reverse("admin:intake_post_reveal", args=[post.id])
    assert client.post(url, {"reason": "Asked"}).status_code == 403
    assert client.post(page_of(post), {}).status_code == 403
    assert not Lead.objects.exists()
    assert not Disclosure.objects.exists()


def test_an_analyst_sees_no_post(door: Door) -> None:
    post = refused_post(door)
    client = reviewer("ann", "Analyst")
    for url in (LIST, page_of(post)):
        assert client.get(url).status_code == 403
    for url in (REPLAY, reverse("admin:intake_post_reveal", args=[post.id])):
        assert client.post(url, {"reason": "x", "post": [str(post.id)]}).status_code == 403


def test_what_stands_where_a_name_should_is_hidden(sam: Client, door: Door) -> None:
    door.post(b"zeb@example.com", content_type="application/x-www-form-urlencoded")
    door.post({"zeb@example.com": 1, "+15125550137": 2, "cell": 3})
    for post in Post.objects.order_by("id"):
        page = sam.get(page_of(post)).content.decode()
        assert "zeb@example.com" not in page
        assert "15125550137" not in page
    assert "<bdi>cell</bdi>" in page


@pytest.mark.parametrize(
    "query",
    [
        *("address__startswith=127", "body__contains=Zeb", "headers__icontains=x"),
        *("lead__phone__startswith=%2B1512", "key__digest__startswith=a", "status__gte=1"),
    ],
)
def test_nothing_hidden_is_guessed_by_the_url(sam: Client, door: Door, query: str) -> None:
    door.send()
    assert sam.get(f"{LIST}?{query}").status_code == 400


@pytest.mark.parametrize(
    ("model", "query"),
    [
        *(("suppression", "phone__startswith=%2B1"), ("suppression", "email_key=a")),
        *(("lookback", "lead__phone=1"), ("review", "lead__email__contains=a")),
    ],
)
def test_no_person_is_guessed_by_the_url(door: Door, model: str, query: str) -> None:
    door.send()
    client = signed_in(is_superuser=True)
    assert client.get(f"/admin/leads/{model}/?{query}").status_code == 400
