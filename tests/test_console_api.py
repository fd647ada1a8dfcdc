"""What was done by the read API, as the console tells it: in stories, on record, at the desk."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from intake import rollup
from intake.counts import DayCount
from leads import amend, masks, reveals
from leads.models import Disclosure, Lead, Review
from leads.reviews import NotUndone
from sources.rules import Mode, Rule
from sources.tokens import Actor
from tests.api import Api, make_token
from tests.factories import Door, suppress
from tests.test_audit import told
from tests.test_desk import reviewer

OTHER_PHONE = {"contact": {"phone": {"number": "512-555-0166"}}}


@pytest.fixture(autouse=True)
def plain_http(settings: Any) -> None:
    """Let the test client, which speaks HTTP, in."""
    settings.SECURE_SSL_REDIRECT = False


@pytest.fixture
def mary(db: None) -> Any:
    return get_user_model().objects.create_user("mary")


@pytest.fixture
def api(door: Door, mary: Any) -> Api:
    """Return a client whose token Mary has made."""
    one = Api(door.source.business, key="made below")
    one.token, one.key = make_token(door.source.business, by=mary)
    return one


@pytest.fixture
def lead(door: Door) -> Lead:
    return Lead.objects.get(id=door.send().json()["id"])


def fresh(lead: Lead) -> Lead:
    return Lead.objects.get(id=lead.id)


def path(lead: Lead) -> str:
    return f"/leads/{lead.id}"


def story(client: Client, lead: Lead) -> list[Any]:
    """Return the events of the story of a lead."""
    response = client.get(reverse("admin:leads_lead_change", args=[lead.id]))
    assert response.status_code == 200
    return list(response.context["story"].events)


def sentences(client: Client, lead: Lead) -> list[str]:
    return [one.sentence for one in story(client, lead)]


def event(client: Client, lead: Lead, begins: str) -> Any:
    """Return the one event whose sentence begins so."""
    (found,) = [one for one in story(client, lead) if one.sentence.startswith(begins)]
    return found


# --- what was done to a lead ----------------------------------------------------------------------


def test_a_story_tells_who_changed_what_and_by_which_token(lead: Lead, api: Api) -> None:
    rita = reviewer()
    put = {"contact": {"firstName": "Eve", "phone": {"number": "512-555-0199"}}}
    assert api.put(path(lead), put).status_code == 200
    api.post(f"{path(lead)}/tags", {"tagNames": ["VIP", "late"], "createMissing": True})
    api.put(f"{path(lead)}/tags", {"tagNames": ["VIP", "new"], "createMissing": True})
    api.post(f"{path(lead)}/archive", {"reason": 3, "note": "Ada asked 512-555-0137"})
    api.post(f"{path(lead)}/unarchive")
    api.post(f"{path(lead)}/archive")
    api.delete(path(lead))
    told = [one for one in story(rita, lead) if "API token" in one.who]
    assert {one.who for one in told} == {f"mary, by the API token {api.token}"}
    assert [one.sentence for one in told if not one.sentence.startswith("Read")] == [
        "Changed: first name, phone.",
        "Its tags: VIP put on, late put on.",
        "Its tags: new put on, late taken off.",
        "Archived, reason 3.",
        "Taken back from the archive.",
        "Archived.",
        "Deleted: put away, but still the answer to a repeat.",
    ]
    page = rita.get(reverse("admin:leads_lead_change", args=[lead.id])).content.decode()
    for personal in ("Eve", "5550199", "Ada", "555-0137"):
        assert personal not in page


def test_what_was_before_is_told_to_who_has_revealed_the_person(lead: Lead, api: Api) -> None:
    rita = reviewer()
    api.put(path(lead), {"contact": {"firstName": "Eve"}, "metadata": {"price": 12.5}})
    api.post(f"{path(lead)}/archive", {"note": "Ada asked for it"})
    assert event(rita, lead, "Changed").note == ""
    assert event(rita, lead, "Archived").reason == masks.hidden("x")
    reveals.reveal(get_user_model().objects.get(username="rita"), "Asked", lead=lead)
    assert event(rita, lead, "Changed").note.splitlines() == [
        *("price: nothing → 12.5", "first name: Ada → Eve"),
    ]
    assert event(rita, lead, "Archived").reason == "Ada asked for it"
    assert event(reviewer("ann", "Analyst"), lead, "Archived").reason == masks.hidden("x")


def test_a_lead_put_away_by_nobody_on_record_is_still_told(lead: Lead) -> None:
    Lead.objects.filter(id=lead.id).update(deleted_at=timezone.now())
    assert event(reviewer(), lead, "Deleted").who == ""


def test_readings_are_summed_up_by_token(lead: Lead, api: Api) -> None:
    rita = reviewer()
    other = Api(api.business)
    at = timezone.now()
    for minute in range(60):
        with time_machine.travel(at + timedelta(minutes=minute)):
            api.get(path(lead))
    other.get(path(lead))
    masked = Api(api.business, ["leads:read"])
    masked.get(path(lead))
    told = [one for one in story(rita, lead) if one.sentence.startswith("Read by the API")]
    assert [one.who for one in told] == [
        f"maker of tokens, by the API token {other.token}",
        f"mary, by the API token {api.token}",
    ]
    assert told[0].sentence == "Read by the API 1 time."
    there = at.astimezone(settings.CONSOLE_TIME_ZONE)
    assert told[1].sentence == f"Read by the API 60 times since {there:%b %-d, %Y, %H:%M}."


def test_a_story_costs_the_same_however_often_a_lead_was_read_and_changed(
    lead: Lead, api: Api, django_assert_num_queries: Any
) -> None:
    rita = reviewer()
    api.get(path(lead))
    api.put(path(lead), {"contact": {"firstName": "Eve"}})
    with django_assert_num_queries(29):
        story(rita, lead)
    for number in range(60):
        amend.change(lead, {"city": f"City {number}"}, Actor(None, api.token))
    Api(api.business).get(path(lead))
    with django_assert_num_queries(29):
        found = rita.get(reverse("admin:leads_lead_change", args=[lead.id])).context["story"]
    assert found.left_out == ["changes"]


def test_who_was_shown_a_lead_names_each_token_once(lead: Lead, api: Api, mary: Any) -> None:
    since = timezone.now()
    for _ in range(3):
        api.get(path(lead))
    Disclosure(lead=lead, at=timezone.now(), by=mary, how="page").save()
    seen = fresh(lead).seen_by(since, timezone.now())
    assert [(one["who"], one["how"]) for one in seen] == [
        *((f"API token {api.token}", "api"), ("user mary", "page")),
    ]
    suppress("512-555-0137", api.business)
    (look_back,) = lead.look_backs.all()
    page = reviewer().get(reverse("admin:leads_lookback_change", args=[look_back.pk]))
    assert f"API token {api.token}" in page.content.decode()


# --- a block that followed a change ---------------------------------------------------------------


@pytest.fixture
def blocked(lead: Lead, api: Api) -> Lead:
    """Return a lead that was blocked, for a change made of it one who may not be contacted."""
    lead.source.set_mode(Rule.STATE_NOT_ALLOWED, Mode.HOLD)
    lead.source.allowed_states = ["TX"]
    lead.source.save()
    api.put(path(lead), {"contact": {"streetAddress": {"state": "CA"}}})
    lead.refresh_from_db()
    assert lead.compliance_status == "Blocked"
    return lead


def test_a_block_after_a_change_is_told_and_waits_at_the_desk(blocked: Lead) -> None:
    rita = reviewer()
    assert event(rita, blocked, "Blocked after a change of it.").reason == "Changed: state."
    told = sentences(rita, blocked)
    assert told.index("Changed: state.") < told.index("Blocked after a change of it.")
    review = blocked.reviews.get()
    for name, pk in (("leads_review_change", review.pk), ("desk_lead", blocked.pk)):
        page = rita.get(reverse(f"admin:{name}", args=[pk]))
        assert page.status_code == 200
        assert "Blocked after a change of it" in page.content.decode()
    listed = rita.get(reverse("admin:leads_review_changelist") + "?decision__exact=change")
    assert "Blocked after a change of it" in listed.content.decode()


def test_who_made_the_token_cannot_undo_what_a_change_has_blocked(blocked: Lead, mary: Any) -> None:
    with pytest.raises(NotUndone, match="after a change of it"):
        blocked.undo(mary)
    blocked.refresh_from_db()
    assert blocked.compliance_status == "Blocked"
    blocked.release(mary, "", "Looked at")
    blocked.undo(mary)
    assert Review.objects.filter(decision="undo").count() == 1


def test_such_a_lead_has_waited_since_its_change(lead: Lead, api: Api, mary: Any) -> None:
    lead.source.allowed_states = ["TX"]
    lead.source.save()
    Lead.objects.filter(id=lead.id).update(received_at=timezone.now() - timedelta(hours=3))
    api.put(path(lead), {"contact": {"streetAddress": {"state": "CA"}}})
    fresh(lead).reject(mary, "", "Not ours")
    rollup.keep_now()
    # It may have come the day before its post, which is where it was put back to.
    days = DayCount.objects.filter(source=lead.source, by=DayCount.By.TOTAL, span="day")
    (row,) = days.filter(reviewed__gt=0)
    assert row.numbers.reviewed == 1
    assert row.numbers.review_seconds < 60


# --- on record ------------------------------------------------------------------------------------


def test_what_tokens_do_is_on_record(lead: Lead, api: Api, mary: Any) -> None:
    rita = reviewer()
    assert api.token
    api.put(path(lead), {"contact": {"firstName": "Eve"}})
    api.post(f"{path(lead)}/archive", {"note": "Ada asked for it"})
    (archived, changed) = told(rita, kind="changes")
    assert (changed.who, changed.what, changed.reason) == (
        *("mary", "Changed: first name", f"API token {api.token}"),
    )
    assert (archived.what, archived.reason) == ("Archived", f"API token {api.token}")
    assert str(lead.id) in changed.subject
    (reading, *_) = told(rita, kind="readings")
    assert (reading.who, reading.what) == ("mary", "Read it by the API")
    assert reading.reason == f"API token {api.token}"
    assert not any(one.what == "Read it by the API" for one in told(rita))
    assert not told(rita, kind="reveals")
    api.token.revoke(timezone.now(), by=mary)
    acts = told(rita, kind="tokens")
    assert [one.what for one in acts] == ["Revoked token", "Made token"]
    assert {one.subject for one in acts} == {str(api.token)}
    assert {one.what for one in told(rita)} >= {"Made token", "Revoked token", "Archived"}


def test_a_source_that_a_token_changed_says_so(door: Door, api: Api) -> None:
    source = door.source
    source.daily_cap = 5
    Actor(api.token.created_by, api.token).sign(source)  # type: ignore[union-attr]
    source.save()
    act = told(reviewer(), kind="sources")[0]
    assert (act.who, act.reason) == ("mary", f"API token {api.token}")
    page = reviewer("sam", "Source manager").get(reverse("admin:source_history", args=[source.pk]))
    assert f"API token {api.token}" in page.content.decode()
