"""Suppressions, look-backs, imports and reviews in the console; issue 6."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape

from leadping.jobs.worker import Loop
from leads.models import (
    Disclosure,
    Lead,
    LookBack,
    RegistryList,
    Review,
    Suppression,
    SuppressionImport,
)
from sources.models import Business
from tests.factories import Door, make_business, suppress
from tests.test_admin import signed_in
from tests.test_admin_later import change, make_import

pytestmark = pytest.mark.django_db

PHONE, EMAIL = "+15125550137", "ada@example.com"  # those of the usual post
MASKED_PHONE, MASKED_EMAIL = "+1512•••••37", "a•••@e•••.com"
VIEW, ADD, RELEASE = "view_suppression", "add_suppression", "change_suppression"
PERSON = "/admin/leads/suppression/person/"
ADDING = "/admin/leads/suppression/add/"
HOSTILE = "<script>alert(1)</script> javascript:alert(2) \u202egnp"
SHOWN = "&lt;script&gt;alert(1)&lt;/script&gt; javascript:alert(2) "


@pytest.fixture(autouse=True)
def plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test client, which speaks HTTP, in."""
    monkeypatch.setattr(settings, "SECURE_SSL_REDIRECT", False)


@pytest.fixture
def business() -> Business:
    return make_business("Lone Star")


def releasing(entry: Suppression) -> str:
    return f"/admin/leads/suppression/{entry.id}/release/"


def look_up(value: str, *permissions: str, **more: Any) -> str:
    """Return the page that answers who looks this person up."""
    client = signed_in(VIEW, *permissions)
    response = client.post(PERSON, {"value": value, **more})
    assert response.status_code == 200
    return one_line(response)


def one_line(response: Any) -> str:
    """Return a page with each run of blanks as one."""
    return " ".join(response.content.decode().split())


# --- is this person suppressed, and why? ----------------------------------------------------------


@pytest.mark.parametrize(
    "spelling",
    [PHONE, "(512) 555-0137", "512.555.0137", "1 512 555 0137", "\uff15\uff11\uff125550137"],
)
def test_a_phone_is_looked_up_in_any_spelling(business: Business, spelling: str) -> None:
    suppress(PHONE, business)
    page = look_up(spelling)
    assert f"<h2><bdi>{MASKED_PHONE}</bdi></h2>" in page
    assert "May not be contacted by text messages, calls or e-mail: opt-out since" in page


@pytest.mark.parametrize("spelling", [EMAIL, "ADA@Example.COM", " ada@example.com "])
def test_an_email_is_looked_up_in_any_spelling(business: Business, spelling: str) -> None:
    suppress(EMAIL, business)
    page = look_up(spelling)
    assert f"<h2><bdi>{MASKED_EMAIL}</bdi></h2>" in page
    assert "opt-out since" in page


def test_of_a_person_whom_nothing_names_this_is_said(business: Business) -> None:
    page = look_up(PHONE)
    assert "<strong><bdi>Lone Star</bdi>:</strong> Nothing stands against this person." in page
    assert "No entry names this person" in page


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("12", "This is not a phone number"),
        ("a@b", "This is not an e-mail address"),
        ("ada＠", "This is not an e-mail address"),
        ("", "Give a phone number or an e-mail address."),
        ("512\x07", "control character"),
    ],
)
def test_what_is_no_phone_or_email_is_told(business: Business, value: str, told: str) -> None:
    page = look_up(value)
    assert told in page
    assert "Nothing stands" not in page


def test_a_person_is_looked_up_by_post_alone(business: Business) -> None:
    suppress(PHONE, business)
    page = one_line(signed_in(VIEW).get(PERSON, {"value": PHONE}))
    assert PHONE not in page
    assert MASKED_PHONE not in page
    assert "opt-out" not in page


def test_each_business_has_its_own_verdict(business: Business) -> None:
    make_business("Other")
    suppress(PHONE, business, channel=Suppression.Channel.SMS, kind=Suppression.Kind.COMPLAINT)
    page = look_up(PHONE)
    assert "<bdi>Lone Star</bdi>:</strong> May not be contacted by text messages: complaint" in page
    assert "<bdi>Other</bdi>:</strong> Nothing stands against this person." in page
    other = str(Business.objects.get(name="Other").id)
    page = look_up(PHONE, business=other)
    assert "<bdi>Lone Star</bdi>" not in page.partition("<h2>")[2]
    assert "No entry names this person" in page


def test_an_entry_whose_channel_does_not_use_what_was_looked_up_counts_not(
    business: Business,
) -> None:
    suppress(EMAIL, business, phone=PHONE, channel=Suppression.Channel.EMAIL)
    page = look_up(PHONE)
    assert "Nothing stands against this person." in page
    assert "its channel does not use what you looked up" in page
    assert "May not be contacted by e-mail: opt-out" in look_up(EMAIL)


def test_a_registry_is_told_with_how_fresh_it_is(business: Business) -> None:
    listed_on = timezone.now().date() - timedelta(days=20)
    kind = Suppression.Kind.DNC_REGISTRY
    suppress(PHONE, kind=kind, listed_on=listed_on)
    page = look_up(PHONE)
    assert "Only with the person's written consent: on <bdi>National</bdi> since" in page
    assert "Fresh, 11 days left" in page
    RegistryList.objects.update(listed_on=listed_on - timedelta(days=20))
    page = look_up(PHONE)
    assert "Too old by 9 days" in page
    assert "leads with a phone wait until a newer one is imported" in page
    assert "written consent: on <bdi>National</bdi>" in page  # the entry stands all the same
    assert "wait until a newer one" not in look_up(EMAIL)
    RegistryList.objects.retire("National")
    page = look_up(PHONE)
    assert "Nothing stands against this person." in page
    assert "no longer in use: it blocks nothing" in page


def test_an_entry_that_has_ended_is_told_with_why(business: Business) -> None:
    entry = suppress(PHONE, business, reason="Answered STOP.", provenance="manage.py suppress")
    ben = get_user_model().objects.create_user("ben")
    entry.release(ben, "Came back.", "Certificate 3f")
    page = look_up(PHONE, RELEASE)
    assert "Nothing stands against this person." in page
    assert "What has ended" in page
    for told in ("Answered STOP.", "manage.py suppress", "by <bdi>ben</bdi>", "Came back."):
        assert told in page
    assert "Certificate 3f" in page
    assert "Release…" not in page


def test_leads_that_were_blocked_are_linked_for_whom_may_see_them(door: Door) -> None:
    door.send()
    suppress(PHONE, door.source.business)
    lead, look_back = Lead.objects.get(), LookBack.objects.get()
    page = look_up(PHONE)
    assert "A••• · +1512•••••37" in page
    assert change("leads_lead", lead) not in page
    assert change("leads_lookback", look_back) not in page
    page = look_up(PHONE, "view_lead", "view_lookback")
    assert change("leads_lead", lead) in page
    assert change("leads_lookback", look_back) in page


def test_the_import_that_made_an_entry_is_linked(business: Business) -> None:
    one = make_import(business)
    Loop().run(is_once=True)
    assert change("leads_suppressionimport", one) in look_up(PHONE, "view_suppressionimport")
    page = look_up(PHONE)
    assert change("leads_suppressionimport", one) not in page
    assert f"import {one.id}" in page


def test_a_person_is_looked_up_in_a_fixed_number_of_queries(
    door: Door, django_assert_num_queries: Any
) -> None:
    for number in range(3):
        door.send(firstName=f"A{number}", phone=..., email="ada@example.com")
    for kind in (Suppression.Kind.OPT_OUT, Suppression.Kind.COMPLAINT, Suppression.Kind.INTERNAL):
        suppress(EMAIL, door.source.business, kind=kind)
    client = signed_in(VIEW)
    client.post(PERSON, {"value": EMAIL})
    # who is signed in and may (4), entries, their look-backs, lists, businesses to judge by and to
    # choose from
    with django_assert_num_queries(9):
        client.post(PERSON, {"value": EMAIL})


# --- add ------------------------------------------------------------------------------------------


def given(whose: Business | None, **more: Any) -> dict[str, Any]:
    """Return what the form sends."""
    return {
        "phone": "(512) 555-0137",
        "kind": "opt-out",
        "channel": "all",
        "business": str(whose.id) if whose else "",
        **more,
    }


def test_a_person_is_suppressed_and_what_that_blocked_is_told(door: Door) -> None:
    door.send()
    client = signed_in(ADD, VIEW, "view_lookback")
    response = client.post(
        ADDING, given(door.source.business, reason="Answered STOP.", since="2026-01-05T09:30")
    )
    entry = Suppression.objects.get()
    assert response.headers["Location"] == change("leads_suppression", entry)
    assert (entry.phone, entry.kind, entry.reason, entry.provenance) == (
        *(PHONE, "opt-out", "Answered STOP.", "console"),
    )
    assert entry.created_by_id == int(client.session["_auth_user_id"])
    assert f"{entry.suppressed_at:%Y-%m-%d %H:%M}" == "2026-01-05 14:30"  # in New York
    assert Lead.objects.get().compliance_status == "Blocked"
    page = one_line(client.get(response.headers["Location"]))
    assert "Added. 1 lead that had been let out is blocked now." in page
    # only those of this suppression
    others = f"/admin/leads/lookback/?state=all&amp;suppression__id__exact={entry.id}"
    assert f'<a href="{others}">Whom to tell</a>' in page
    looked = client.get(others.replace("&amp;", "&"))
    assert looked.context["cl"].result_count == 1
    log = LogEntry.objects.get()
    assert (log.object_id, log.change_message) == (
        *(str(entry.id), "Added in the console; 1 lead blocked."),
    )
    assert "555" not in log.object_repr


def test_who_stands_already_is_not_added_again(business: Business) -> None:
    entry = suppress(PHONE, business)
    page = one_line(signed_in(ADD, VIEW).post(ADDING, given(business), follow=True))
    assert "Was there already. No lead of this person had been let out." in page
    assert Suppression.objects.get() == entry
    assert LogEntry.objects.get().change_message == (
        "Added again, was there already; 0 leads blocked."
    )


def test_who_may_add_but_not_view_is_told_on_the_same_page(business: Business) -> None:
    response = signed_in(ADD).post(ADDING, given(business), follow=True)
    assert response.redirect_chain == [(ADDING, 302)]
    assert "Added." in one_line(response)


def test_an_entry_of_a_registry_needs_its_name_and_date(business: Business) -> None:
    client = signed_in(ADD, VIEW)
    today = timezone.now().date()
    registry = {"kind": "dnc-registry", "list_name": "National", "listed_on": str(today)}
    client.post(ADDING, given(None, **registry))
    entry = Suppression.objects.get()
    assert (entry.business, entry.list_name, entry.listed_on) == (None, "National", today)


@pytest.mark.parametrize(
    ("more", "field", "told"),
    [
        ({"phone": "12"}, "phone", "This is not a phone number"),
        ({"phone": "", "email": "a@b"}, "email", "This is not an e-mail address"),
        ({"phone": ""}, None, "Give a phone number or an e-mail address."),
        ({"kind": "nonsense"}, "kind", "Select a valid choice"),
        ({"channel": "email"}, "channel", "This channel needs an e-mail address."),
        ({"phone": "", "email": EMAIL, "channel": "sms"}, "channel", "This channel needs a phone"),
        ({"since": "2999-01-01T00:00"}, "since", "This lies in the future."),
        ({"since": "0001-01-01T00:00"}, "since", "This is too long ago."),
        ({"since": "soon"}, "since", "Enter a valid date/time."),
        ({"reason": "a\x01b"}, "reason", "This holds control characters."),
        ({"business": ""}, None, "An entry of this kind needs a business"),
        ({"kind": "dnc-registry"}, None, "An entry of a registry needs"),
        (
            {"kind": "dnc-registry", "business": "", "list_name": "N", "listed_on": "2020-01-01"},
            *("listed_on", "A list that old may not be used any more."),
        ),
    ],
)
def test_what_cannot_be_added_is_told_at_its_field(
    business: Business, more: dict[str, Any], field: str | None, told: str
) -> None:
    response = signed_in(ADD).post(ADDING, given(business, **more))
    assert response.status_code == 200
    errors = response.context["form"].errors[field or "__all__"]
    assert told in errors[0]
    assert escape(told) in response.content.decode()
    assert not Suppression.objects.exists()
    assert not LogEntry.objects.exists()


def test_a_list_that_is_no_longer_in_use_takes_no_entry(business: Business) -> None:
    suppress(EMAIL, kind=Suppression.Kind.DNC_REGISTRY)
    RegistryList.objects.retire("National")
    today = str(timezone.now().date())
    registry = {"kind": "dnc-registry", "list_name": "National", "listed_on": today}
    response = signed_in(ADD).post(ADDING, given(None, **registry))
    assert response.context["form"].errors["list_name"] == ["This list is no longer in use."]


@pytest.mark.parametrize(("value", "field"), [(PHONE, "phone"), ("Ada@example.com", "email")])
def test_the_page_of_a_person_carries_the_value_by_post(
    business: Business, value: str, field: str
) -> None:
    page = look_up(value, ADD, business=str(business.id))
    assert f'<input type="hidden" name="carried" value="{value}">' in page
    assert f'<input type="hidden" name="business" value="{business.id}">' in page
    assert not [url for url in re.findall(r'(?:href|action)="([^"]*)"', page) if value in url]
    response = signed_in(ADD).post(ADDING, {"carried": value, "business": str(business.id)})
    form = response.context["form"]
    assert (form.initial[field], form.is_bound) == (value, False)
    assert f'value="{business.id}" selected' in response.content.decode()
    assert not Suppression.objects.exists()


# --- one, and its release -------------------------------------------------------------------------


def test_the_page_of_a_suppression_shows_the_person_masked_and_its_look_backs(door: Door) -> None:
    door.send(email="ada@example.com")
    entry = suppress(PHONE, door.source.business, email=EMAIL, reason="Answered STOP.")
    page = one_line(signed_in(VIEW).get(change("leads_suppression", entry)))
    assert f"<h1><bdi>{MASKED_PHONE} · {MASKED_EMAIL}</bdi></h1>" in page
    assert PHONE not in page
    assert EMAIL not in page
    assert "Answered STOP." in page
    assert '<strong>Made</strong> by <span class="quiet">the command line</span>' in page
    assert change("leads_lookback", LookBack.objects.get()) in page


def test_a_suppression_is_released_with_a_reason_and_evidence(door: Door) -> None:
    door.send()
    entry = suppress(PHONE, door.source.business)
    client = signed_in(VIEW, RELEASE)
    assert releasing(entry) in one_line(client.get(change("leads_suppression", entry)))
    page = one_line(client.get(releasing(entry)))
    assert "Leads that it blocked stay blocked" in page
    response = client.post(releasing(entry), {"reason": " Came back. ", "evidence": "3f…"})
    assert response.headers["Location"] == change("leads_suppression", entry)
    entry.refresh_from_db()
    assert (entry.release_reason, entry.release_evidence) == ("Came back.", "3f…")
    assert entry.released_by_id == int(client.session["_auth_user_id"])
    assert Lead.objects.get().compliance_status == "Blocked"
    log = LogEntry.objects.get()
    assert (log.object_id, log.change_message) == (str(entry.id), "Released.")
    page = one_line(client.get(change("leads_suppression", entry)))
    assert "<strong>Released</strong> by <bdi>" in page
    assert "Came back." in page
    assert "Release…" not in page


@pytest.mark.parametrize(
    ("kind", "sent", "field", "told"),
    [
        ("opt-out", {"reason": " ", "evidence": "3f"}, "reason", "only released with a reason"),
        ("opt-out", {"reason": "x"}, "evidence", "ends only by the person's new consent"),
        ("revocation", {"reason": "x", "evidence": " "}, "evidence", "new consent"),
        ("complaint", {"reason": "a\x01b"}, "__all__", "A text holds control characters."),
    ],
)
def test_what_keeps_a_suppression_from_being_released_is_told(
    business: Business, kind: str, sent: dict[str, str], field: str, told: str
) -> None:
    entry = suppress(PHONE, business, kind=Suppression.Kind(kind))
    response = signed_in(RELEASE).post(releasing(entry), sent)
    assert response.status_code == 200
    assert told in response.context["form"].errors[field][0]
    entry.refresh_from_db()
    assert entry.released_at is None
    assert not LogEntry.objects.exists()


def test_a_complaint_ends_without_evidence(business: Business) -> None:
    entry = suppress(PHONE, business, kind=Suppression.Kind.COMPLAINT)
    response = signed_in(RELEASE).post(releasing(entry), {"reason": "Settled."})
    assert response.headers["Location"] == "/admin/"
    entry.refresh_from_db()
    assert entry.released_at


def test_a_suppression_is_released_once(business: Business) -> None:
    entry = suppress(PHONE, business)
    entry.release(None, "Came back.", "3f")
    client = signed_in(RELEASE)
    page = one_line(client.post(releasing(entry), {"reason": "Again", "evidence": "4a"}))
    assert "This suppression has been released before." in page
    assert "Came back." in page
    assert "<textarea" not in page
    entry.refresh_from_db()
    assert entry.release_reason == "Came back."
    assert not LogEntry.objects.exists()


def test_who_releases_is_told_of_other_entries_that_name_the_person(business: Business) -> None:
    entry = suppress(PHONE, business)
    other = suppress(PHONE, make_business("Other"))
    page = one_line(signed_in(RELEASE).get(releasing(entry)))
    assert "It is not the only one" in page
    assert change("leads_suppression", other) in page


# --- the list -------------------------------------------------------------------------------------

LIST = "/admin/leads/suppression/"


def test_the_list_is_masked_and_filtered(business: Business) -> None:
    stands = suppress(PHONE, business, channel=Suppression.Channel.SMS)
    ended = suppress(EMAIL, business)
    ended.release(None, "Came back.", "3f")
    registry = suppress("512-555-0199", kind=Suppression.Kind.DNC_REGISTRY)
    client = signed_in(VIEW)
    page = one_line(client.get(LIST))
    assert MASKED_PHONE in page
    assert MASKED_EMAIL in page
    assert PHONE not in page
    assert PERSON in page
    for query, rows in (
        ({}, [registry, ended, stands]),
        ({"state": "stands"}, [registry, stands]),
        ({"state": "ended"}, [ended]),
        ({"kind__exact": "dnc-registry"}, [registry]),
        ({"channel__exact": "sms"}, [stands]),
        ({"business__id__exact": str(business.id)}, [ended, stands]),
        ({"q": str(ended.id)}, [ended]),
        ({"q": PHONE}, []),
    ):
        assert list(client.get(LIST, query).context["cl"].result_list) == rows, query


@pytest.mark.parametrize(
    ("url", "permission", "queries"),
    [
        (LIST, VIEW, 7),
        ("/admin/leads/lookback/", "view_lookback", 6),
        ("/admin/leads/review/", "view_review", 6),
        ("/admin/leads/suppressionimport/", "view_suppressionimport", 6),
        ("/admin/leads/registrylist/", "view_registrylist", 6),
    ],
)
def test_a_list_takes_the_same_queries_however_long_it_is(
    door: Door, django_assert_num_queries: Any, url: str, permission: str, queries: int
) -> None:
    for number in range(3):
        phone = f"+1512555010{number}"
        door.send(phone=phone, email=...)
        suppress(phone, door.source.business)
        suppress(phone, kind=Suppression.Kind.DNC_REGISTRY, list_name=f"List {number}")
        make_import(door.source.business)
    client = signed_in(permission)
    client.get(url)
    with django_assert_num_queries(queries):
        response = client.get(url)
    assert len(response.context["cl"].result_list) >= 3


# --- look-backs -----------------------------------------------------------------------------------

LOOK_BACKS = "/admin/leads/lookback/"


@pytest.fixture
def look_back(door: Door) -> LookBack:
    door.send()
    ben = get_user_model().objects.create_user("ben")
    Disclosure(lead=Lead.objects.get(), at=timezone.now(), by=ben, how="export").save()
    suppress(PHONE, door.source.business, reason="Answered STOP.")
    return LookBack.objects.get()


@pytest.mark.parametrize(
    ("days", "told"),
    [
        (-2, '<span class="badge badge-bad">Overdue by 2 days</span>'),
        (-1, '<span class="badge badge-bad">Overdue by 1 day</span>'),
        (0, '<span class="badge badge-bad">Today</span>'),
        (1, '<span class="badge badge-wait">1 day left</span>'),
        (9, '<span class="badge badge-plain">9 days left</span>'),
    ],
)
def test_a_look_back_says_how_urgent_it_is(look_back: LookBack, days: int, told: str) -> None:
    client = signed_in("view_lookback")
    today = timezone.now().astimezone(settings.CONSOLE_TIME_ZONE).date()
    LookBack.objects.update(act_by=today + timedelta(days=days))
    assert told in one_line(client.get(LOOK_BACKS))
    assert told in one_line(client.get(change("leads_lookback", look_back)))


def test_look_backs_are_open_or_settled(look_back: LookBack) -> None:
    client = signed_in("view_lookback", "settle_lookback")
    assert client.get(LOOK_BACKS).context["cl"].result_count == 1
    response = client.post(
        change("leads_lookback", look_back), {"settled_note": "Told all."}, follow=True
    )
    assert "Settled." in one_line(response)
    for state, count in (("", 0), ("settled", 1), ("all", 1)):
        assert client.get(LOOK_BACKS, {"state": state}).context["cl"].result_count == count
    page = one_line(client.get(change("leads_lookback", look_back)))
    assert "Told all." in page
    assert "<textarea" not in page
    assert LogEntry.objects.get().change_message == "Settled."


def test_a_look_back_that_another_settled_meanwhile_is_not_said_to_be_settled(
    look_back: LookBack, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = signed_in("view_lookback", "settle_lookback")
    ask = LookBack.settle

    def late(one: LookBack, by: Any, note: str) -> None:
        ask(one, None, "By another.")
        ask(LookBack.objects.get(), by, note)

    monkeypatch.setattr(LookBack, "settle", late)
    response = client.post(
        change("leads_lookback", look_back), {"settled_note": "Mine."}, follow=True
    )
    assert "This look-back has been settled before." in one_line(response)
    assert not LogEntry.objects.exists()


# --- imports and registries -----------------------------------------------------------------------


def test_an_import_under_way_has_a_meter_and_looks_again(business: Business) -> None:
    one = make_import(business)
    SuppressionImport.objects.update(state="suppressing", rows_staged=4, rows_done=1)
    client = signed_in("view_suppressionimport")
    response = client.get(change("leads_suppressionimport", one))
    assert response.headers["Refresh"] == "2"
    meter = '<progress class="meter progress" value="1" max="4" aria-label="Progress"></progress>'
    for page in (response, client.get("/admin/leads/suppressionimport/")):
        assert meter in one_line(page)
        assert "1 of 4 (25%)" in one_line(page)


def test_bad_rows_are_shown_as_they_came_when_asked_for_by_post(business: Business) -> None:
    text = "phone,name\n512-555-0137,Ada\n" + "".join(f"12,Ben {one}\n" for one in range(25))
    one = make_import(business, text)
    Loop().run(is_once=True)
    client = signed_in("view_suppressionimport", "add_suppressionimport", "reveal_lead")
    page = one_line(client.get(change("leads_suppressionimport", one)))
    assert "The first 20 of 25." in page
    assert "This is not a phone number" in page
    assert "Ben" not in page
    url = reverse("admin:import_bad_rows_shown", args=[one.id])
    assert client.get(url).status_code == 405
    page = one_line(client.post(url))
    assert page.count("<bdi>Ben ") == 20
    assert LogEntry.objects.get().change_message == "Was shown the bad rows."


@pytest.mark.parametrize(
    ("age", "told"),
    [
        (0, '<span class="badge badge-good">Fresh, 31 days left</span>'),
        (25, '<span class="badge badge-wait">Fresh, 6 days left</span>'),
        (31, '<span class="badge badge-wait">Fresh until today</span>'),
        (32, '<span class="badge badge-bad">Too old by 1 day</span>'),
    ],
)
def test_a_registry_says_how_fresh_it_is(age: int, told: str) -> None:
    day = timezone.now().date() - timedelta(days=age)
    suppress(PHONE, kind=Suppression.Kind.DNC_REGISTRY)
    RegistryList.objects.update(listed_on=day)
    client = signed_in("view_registrylist")
    assert told in one_line(client.get("/admin/leads/registrylist/"))
    page = one_line(client.get(change("leads_registrylist", RegistryList.objects.get())))
    assert told in page
    assert '1 <span class="quiet">stand, of all editions of the list</span>' in page
    RegistryList.objects.load("National", day + timedelta(days=40), is_renewed=True)
    assert "Older edition" in one_line(client.get("/admin/leads/registrylist/"))
    RegistryList.objects.retire("National")
    assert one_line(client.get("/admin/leads/registrylist/")).count("Not in use") == 2


# --- reviews --------------------------------------------------------------------------------------


def test_a_review_says_what_came_and_where_its_lead_is(look_back: LookBack) -> None:
    review = Review.objects.get()
    client = signed_in("view_review", "view_lead", "view_lookback")
    for url in ("/admin/leads/review/", change("leads_review", review)):
        page = one_line(client.get(url))
        assert '<span class="badge badge-wait">Blocked by a later suppression</span>' in page
        assert change("leads_lead", look_back.lead) in page
    assert '<span class="badge badge-wait">suppressed</span>' in page
    assert change("leads_lookback", look_back) in page
    page = one_line(signed_in("view_review").get(change("leads_review", review)))
    assert change("leads_lead", look_back.lead) not in page


# --- who may --------------------------------------------------------------------------------------


@pytest.fixture
def rows(look_back: LookBack) -> dict[str, Any]:
    """Return one row of each model of this area."""
    suppress("512-555-0198", kind=Suppression.Kind.DNC_REGISTRY)
    return {
        "suppression": look_back.suppression,
        "lookback": look_back,
        "suppressionimport": make_import(look_back.lead.business),
        "registrylist": RegistryList.objects.get(),
        "review": look_back.review,
    }


def all_urls(rows: dict[str, Any]) -> list[str]:
    """Return every address of this area."""
    one = rows["suppressionimport"]
    return [
        *(f"/admin/leads/{model}/" for model in rows),
        *(change(f"leads_{model}", row) for model, row in rows.items()),
        *(PERSON, ADDING, releasing(rows["suppression"])),
        reverse("admin:leads_suppressionimport_add"),
        *(
            reverse(f"admin:{name}", args=[one.id])
            for name in (
                "import_cancel",
                "import_resume",
                "import_bad_rows",
                "import_bad_rows_shown",
            )
        ),
    ]


def test_an_analyst_is_refused_everywhere(rows: dict[str, Any]) -> None:
    client = signed_in("view_lead")
    for url in all_urls(rows):
        if "/cancel/" not in url and "/resume/" not in url and "/bad-rows" not in url:
            assert client.get(url).status_code == 403, url
        assert client.post(url, {"value": PHONE}).status_code == 403, url
    for url in all_urls(rows):
        assert Client().post(url).status_code == 302, url
    assert not LogEntry.objects.exists()


def test_who_may_only_view_is_offered_nothing_and_can_do_nothing(rows: dict[str, Any]) -> None:
    client = signed_in(*(f"view_{model}" for model in rows))
    entry, one = rows["suppression"], rows["suppressionimport"]
    for model, row in rows.items():
        for url in (f"/admin/leads/{model}/", change(f"leads_{model}", row)):
            page = client.get(url).content.decode()
            for offered in (
                "Release…",
                "Add a supp",
                "Import a",
                'value="Cancel"',
                "Settle<",
                'name="action"',
            ):
                assert offered not in page, (url, offered)
    page = client.post(PERSON, {"value": PHONE}).content.decode()
    assert "opt-out since" in page
    assert "Release…" not in page
    assert "Add a supp" not in page
    assert client.get(ADDING).status_code == 403
    assert client.post(ADDING, given(entry.business)).status_code == 403
    assert client.get(releasing(entry)).status_code == 403
    sent = {"reason": "x", "evidence": "y"}
    assert client.post(releasing(entry), sent).status_code == 403
    note = {"settled_note": "Done"}
    assert client.post(change("leads_lookback", rows["lookback"]), note).status_code == 403
    for name in ("import_cancel", "import_resume", "import_bad_rows_shown"):
        assert client.post(reverse(f"admin:{name}", args=[one.id])).status_code == 403
    entry.refresh_from_db()
    assert entry.released_at is None
    assert LookBack.objects.get().settled_at is None
    assert Suppression.objects.count() == 2
    assert not LogEntry.objects.exists()


def test_nobody_deletes_or_rewrites_what_happened(rows: dict[str, Any]) -> None:
    client = signed_in(is_superuser=True)
    for model, row in rows.items():
        url = reverse(f"admin:leads_{model}_delete", args=[row.pk])
        assert client.post(url, {"post": "yes"}).status_code == 403
        if model != "lookback":
            assert client.post(change(f"leads_{model}", row), {"reason": "x"}).status_code == 403
        body = {"action": "delete_selected", "_selected_action": [str(row.pk)], "post": "yes"}
        client.post(f"/admin/leads/{model}/", body)
        assert type(row)._default_manager.filter(pk=row.pk).exists()
    assert client.post("/admin/leads/registrylist/add/", {}).status_code == 403
    assert client.post("/admin/leads/review/add/", {}).status_code == 403


# --- text of strangers ----------------------------------------------------------------------------


def test_text_of_strangers_is_shown_as_text(door: Door) -> None:
    door.send()
    business = door.source.business
    Business.objects.update(name=HOSTILE)
    business.refresh_from_db()
    entry = suppress(PHONE, business, reason=HOSTILE, provenance=HOSTILE)
    entry.release(None, HOSTILE, HOSTILE)
    listed = suppress(PHONE, kind=Suppression.Kind.DNC_REGISTRY, list_name=HOSTILE)
    look_back = LookBack.objects.get()
    look_back.settle(None, HOSTILE)
    one = make_import(business, f"phone,name\n512-555-0138,x\n12,{HOSTILE}\n")
    Loop().run(is_once=True)
    SuppressionImport.objects.update(file_name=HOSTILE, reason=HOSTILE, trouble=HOSTILE)
    client = signed_in(is_superuser=True)
    bad_rows = reverse("admin:import_bad_rows_shown", args=[one.id])
    answers = {
        **{
            url: client.get(url)
            for url in (
                *(LIST, LOOK_BACKS + "?state=all", "/admin/leads/suppressionimport/"),
                *("/admin/leads/registrylist/", ADDING, releasing(entry), releasing(listed)),
                *(change("leads_suppression", entry), change("leads_suppression", listed)),
                *(change("leads_lookback", look_back), change("leads_suppressionimport", one)),
                change("leads_registrylist", RegistryList.objects.get()),
            )
        },
        PERSON: client.post(PERSON, {"value": PHONE}),
        bad_rows: client.post(bad_rows),
        "error": client.post(PERSON, {"value": HOSTILE}),
    }
    for url, answer in answers.items():
        assert answer.status_code == 200, url
        page = answer.content.decode()
        assert "<script>alert" not in page, url
        assert 'href="javascript' not in page, url
        assert "alert(1)" in page, url
    for url in answers.keys() - {ADDING, "error", LIST, "/admin/leads/suppressionimport/"}:
        page = answers[url].content.decode().partition('id="content"')[2]
        assert SHOWN in page, url
        assert "U+202E" in page, url
