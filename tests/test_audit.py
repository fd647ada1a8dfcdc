"""The page of who did what: every record is on it, filtered and in pages that lose nothing."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from intake.replay import replay
from leadping.console import audit
from leads import reveals
from leads.models import Disclosure, Lead
from leads.reviews import Review
from sources.rules import Mode, Rule
from tests.factories import Door, make_source, suppress
from tests.test_desk import held, reviewer
from tests.test_replay import map_cell, refused_post

AUDIT = "/admin/audit/"


@pytest.fixture(autouse=True)
def plain_http(settings: Any) -> None:
    """Let the test client, which speaks HTTP, in."""
    settings.SECURE_SSL_REDIRECT = False


@pytest.fixture
def rita(db: None) -> Client:
    return reviewer()


def told(client: Client, **query: Any) -> list[Any]:
    """Return the acts that the page shows."""
    response = client.get(AUDIT, query)
    assert response.status_code == 200
    return list(response.context["rows"])


def test_every_kind_of_act_is_on_record(rita: Client) -> None:
    door = Door(make_source(is_trusted_form_required=True))
    user = get_user_model().objects.get(username="rita")
    lead = held(door, 1)
    lead.reject(user, "", "No consent")
    reveals.reveal(user, "Asked us", lead=lead)
    door.source.set_mode(Rule.UNDERAGE, Mode.FLAG)
    suppress("a@example.com", door.source.business).release(user, "Came back", "A form")
    key, _ = door.source.issue_key(label="new", by=user)
    key.revoke(timezone.now(), by=user)
    post = refused_post(door)
    map_cell(door.source)
    replay(post.id, user, "Mended")
    whats = {act.what for act in told(rita)}
    assert whats >= {
        *("Rejected", "Revealed the person", "Made rule mode", "Made suppression"),
        *("Released suppression", "Made key", "Revoked key", "Made source", "Changed source"),
        "Replayed: invalid-lead → blocked",
    }
    (act,) = told(rita, kind="reveals")
    assert (act.who, act.reason, str(lead.id) in act.subject) == ("rita", "Asked us", True)
    assert {act.who for act in told(rita, by=user.pk)} == {"rita"}
    assert not re.search(r"lp_src_\w{38}", "".join(act.subject for act in told(rita)))


def test_sign_ins_good_and_bad_are_on_record(rita: Client) -> None:
    get_user_model().objects.create_user("ada", password="a long password", is_staff=True)
    stranger = Client()
    for name, password in (
        *(("ada", "wrong"), ("my password, typed too early", "x"), ("ada", "a long password")),
    ):
        stranger.post("/admin/login/", {"username": name, "password": password})
    good = told(rita, kind="sign-ins")[0]
    assert (good.who, good.what, good.subject) == ("ada", "Signed in", "from 127.0.0.1")
    bad = told(rita, kind="failed-sign-ins")
    assert [act.who for act in bad] == ["unknown name", "ada"]
    assert "my password" not in rita.get(AUDIT).content.decode()
    ada = get_user_model().objects.get(username="ada")
    assert {act.what for act in told(rita, by=ada.pk)} == {"Signed in", "Did not sign in"}


def test_looks_at_pages_are_shown_when_asked_for(rita: Client) -> None:
    door = Door(make_source(is_trusted_form_required=True))
    rita.get(reverse("admin:desk_lead", args=[held(door).id]))
    assert not any(act.what == "Opened its page" for act in told(rita))
    (act,) = told(rita, kind="pages")
    assert act.what == "Opened its page"


def test_pages_of_acts_lose_none_even_of_one_moment(rita: Client) -> None:
    door = Door(make_source(is_trusted_form_required=True))
    lead = held(door)
    now = timezone.now()
    for number in range(130):
        # most of them at the very same moment, as a suppression of many leads makes them
        at = now - timedelta(seconds=number // 100)
        Disclosure(lead=lead, at=at, how="export", reason=f"number {number}").save()
    seen: list[str] = []
    query = "?kind=reveals"
    while query:
        response = rita.get(AUDIT + query)
        seen += [act.reason for act in response.context["rows"]]
        query = response.context["older"]
    assert len(seen) == len(set(seen)) == 130


@pytest.mark.parametrize(
    "query",
    [
        *("from=x", "to=9999-12-31", "to=0001-01-01", "by=x", "by=²", "kind=x", "before=x~y"),
        *("before=2026-01-01~1", "before=2026-01-01T00:00:00Z~-1"),
        "before=0001-01-01T00:00:00Z~0",
    ],
)
def test_a_bad_filter_is_no_error(rita: Client, query: str) -> None:
    assert rita.get(f"{AUDIT}?{query}").status_code == 200


def test_from_and_to_are_days_both_included(rita: Client) -> None:
    today = timezone.localdate(timezone.now(), timezone.get_fixed_timezone(-300))
    lead = held(Door(make_source(is_trusted_form_required=True)))
    lead.reject(None, "", "No consent")
    assert told(rita, kind="reviews", **{"from": str(today - timedelta(days=1))})
    assert told(rita, kind="reviews", to=str(today + timedelta(days=1)))
    assert not told(rita, kind="reviews", **{"from": str(today + timedelta(days=2))})
    assert not told(rita, kind="reviews", to=str(today - timedelta(days=2)))


@pytest.mark.parametrize("role", ["Analyst", "Source manager"])
def test_who_may_not_read_it_does_not(db: None, role: str) -> None:
    client = reviewer("ann", role)
    assert client.get(AUDIT).status_code == 403
    assert AUDIT not in client.get("/admin/").content.decode()


def test_it_is_read_only_and_text_is_text(rita: Client) -> None:
    assert rita.post(AUDIT).status_code == 405
    lead = held(Door(make_source(is_trusted_form_required=True)))
    lead.reject(None, "", "<script>alert(1)</script>\u202e")
    page = rita.get(AUDIT).content.decode()
    assert "<script>alert" not in page
    assert "U+202E" in page
    assert "\u202e" not in page


def test_it_costs_the_same_however_much_there_is(
    rita: Client, django_assert_num_queries: Any
) -> None:
    door = Door(make_source(is_trusted_form_required=True))
    for number in range(30):
        if number in (3, 30):
            with django_assert_num_queries(len(audit.KINDS) - len(audit.NOT_BY_DEFAULT) + 7):
                rita.get(AUDIT)
        held(door, number).reject(None, "", "No consent")
    with django_assert_num_queries(len(audit.KINDS) - len(audit.NOT_BY_DEFAULT) + 7):
        rita.get(AUDIT)
    assert Review.objects.count() == Lead.objects.count() == 30
    assert Group.objects.count() == 4
