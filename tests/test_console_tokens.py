"""API tokens in the console: made by who may, shown once, ended at once, changed in little."""

import re
import subprocess
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from leadping.console import tokens
from sources import keys
from sources.models import Business
from sources.tokens import ApiToken, Scope
from tests.api import Api, make_token
from tests.factories import Door, make_business
from tests.test_admin import signed_in
from tests.test_console_sources import text_of
from tests.test_desk import reviewer

LIST = "/admin/sources/apitoken/"
ADD = f"{LIST}add/"


@pytest.fixture(autouse=True)
def plain_http(settings: Any) -> None:
    """Let the test client, which speaks HTTP, in."""
    settings.SECURE_SSL_REDIRECT = False


@pytest.fixture
def ada(db: None) -> Client:
    return reviewer("ada", "Administrator")


@pytest.fixture
def business(db: None) -> Business:
    return make_business("Lone Star")


def form_of(whose: Business, **changes: Any) -> dict[str, Any]:
    """Return what the page that makes a token sends."""
    form = {"business": str(whose.pk), "label": "Their CRM", "scopes": ["leads:read"]}
    return form | {"lasts": "90", "until": "", "rate_per_minute": "600"} | changes


def page_of(token: ApiToken, what: str = "sources_apitoken_change") -> str:
    return reverse(f"admin:{what}", args=[token.pk])


# --- making one -----------------------------------------------------------------------------------


def test_a_token_is_shown_once_and_opens_the_api(ada: Client, door: Door) -> None:
    business = door.source.business
    form = form_of(business, scopes=["leads:read", "sources"], lasts="30", rate_per_minute="50")
    response = ada.post(ADD, form)
    page = text_of(response)
    assert response.headers["Cache-Control"] == "no-store"
    (token,) = ApiToken.objects.all()
    text = response.context["text"]
    assert keys.digest(text) == token.digest
    assert page.count(text) == 2  # by itself, and in the line to paste
    assert (token.business, token.label, token.scopes, token.rate_per_minute) == (
        *(business, "Their CRM", ["leads:read", "sources"], 50),
    )
    assert str(token.created_by) == "ada"
    assert timedelta(days=29) < token.expires_at - timezone.now() <= timedelta(days=30)
    assert Api(business, key=text).post("/leads/all/my").status_code == 200
    for one in (LIST, *(page_of(token, f"sources_apitoken_{name}") for name in PAGES_OF_ONE)):
        assert text not in text_of(ada.get(one))
    assert text not in str(list(LogEntry.objects.values()))
    assert LogEntry.objects.get().object_id == str(token.pk)


PAGES_OF_ONE = ("change", "history")


@pytest.mark.parametrize(
    ("scopes", "path"),
    [
        (["personal-data", "suppressions", "sources", "leads:read"], "/tags"),
        (["suppressions", "sources"], "/sources/all/my"),
        (["leads:write", "suppressions"], "/suppressions/all/my"),
        (["leads:write", "personal-data"], None),
    ],
)
def test_the_line_to_paste_asks_for_what_the_token_may_read(
    ada: Client, business: Business, settings: Any, scopes: list[str], path: str | None
) -> None:
    settings.PUBLIC_URL = "https://leads.example.com"
    response = ada.post(ADD, form_of(business, scopes=scopes))
    if path is None:
        assert response.context["curl"] == ""
        assert "It opens nothing that only reads" in text_of(response)
        return
    line = response.context["curl"]
    said = subprocess.run(
        ["bash", "-c", f"curl() {{ printf '%s\\n' \"$@\"; }}; {line}"],  # as a shell reads it
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert said[-1] == f"https://leads.example.com{path}"
    assert f"Authorization: Bearer {response.context['text']}" in said
    method = "post" if path.endswith("/my") else "get"
    assert ("-d" in said) == (method == "post")
    api = Api(business, key=response.context["text"])
    assert (api.post(path, {}) if method == "post" else api.get(path)).status_code == 200


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"business": ""}, "This field is required"),
        ({"business": "019a0000-0000-7000-8000-000000000000"}, "Select a valid choice"),
        ({"business": "x"}, "is not a valid UUID"),
        ({"label": " "}, "This field is required"),
        ({"label": "x" * 101}, "at most 100 characters"),
        ({"label": "x\0"}, "Null characters are not allowed"),
        ({"scopes": []}, "Choose at least one"),
        ({"scopes": ["leads:read", "everything"]}, "Select a valid choice"),
        ({"lasts": "3650"}, "Select a valid choice"),
        ({"until": "2020-01-01"}, "This lies in the past"),
        ({"until": "9999-12-31"}, "A token lives for a year at most"),
        ({"until": "x"}, "Enter a valid date"),
        ({"rate_per_minute": "0"}, "greater than or equal to 1"),
        ({"rate_per_minute": "100001"}, "less than or equal to 100000"),
    ],
)
def test_a_token_with_a_fault_is_not_made(
    ada: Client, business: Business, changes: dict[str, Any], told: str
) -> None:
    assert told in text_of(ada.post(ADD, form_of(business, **changes)))
    assert not ApiToken.objects.exists()
    assert not LogEntry.objects.exists()


def test_a_token_may_end_with_a_day_of_the_next_year(ada: Client, business: Business) -> None:
    day = timezone.localdate(timezone=settings.CONSOLE_TIME_ZONE) + timedelta(days=365)
    assert "The token is made" in text_of(ada.post(ADD, form_of(business, until=str(day))))
    token = ApiToken.objects.get()
    assert token.expires_at > timezone.now() + timedelta(days=364)
    beyond = form_of(business, until=str(day + timedelta(days=1)))
    assert "a year at most" in text_of(ada.post(ADD, beyond))


def test_the_day_on_which_clocks_change_is_a_form_error_at_worst(
    ada: Client, business: Business
) -> None:
    for at in ("2026-11-01T04:10:00Z", "2026-03-08T05:10:00Z"):
        with time_machine.travel(at, tick=False):
            client = reviewer(f"ada of {at}", "Administrator")
            day = timezone.localdate(timezone=settings.CONSOLE_TIME_ZONE) + timedelta(days=365)
            assert client.post(ADD, form_of(business, until=str(day))).status_code == 200


def test_only_who_may_export_persons_lets_a_token_see_them(ada: Client, business: Business) -> None:
    form = form_of(business, scopes=["leads:read", "personal-data"])
    may_make = signed_in("view_apitoken", "add_apitoken")
    page = text_of(may_make.get(ADD))
    assert 'value="leads:read"' in page
    assert 'value="personal-data"' not in page
    refused = text_of(may_make.post(ADD, form))
    assert "Only who may export persons may let a token see them." in refused
    assert not ApiToken.objects.exists()
    assert 'value="personal-data"' in text_of(ada.get(ADD))
    assert "The token is made" in text_of(ada.post(ADD, form))
    assert ApiToken.objects.get().may(Scope.PERSONAL_DATA)
    Group.objects.get(name="Administrator").permissions.remove(
        Permission.objects.get(codename="export_person")
    )
    assert "Only who may export persons" in text_of(ada.post(ADD, form))


# --- the list -------------------------------------------------------------------------------------


def test_the_list_tells_whose_each_is_what_it_opens_and_how_it_stands(
    ada: Client, business: Business
) -> None:
    now = timezone.now()
    live, _ = make_token(business, ["leads:read", "personal-data"], label="CRM")
    soon, _ = make_token(business, label="Dialler", expires_at=now + timedelta(days=3))
    over, _ = make_token(make_business("Other"), label="Old", expires_at=now + timedelta(days=9))
    ApiToken.objects.filter(pk=over.pk).update(expires_at=now - timedelta(seconds=1))
    gone, _ = make_token(business, label="Leaked")
    gone.revoke(now)
    page = text_of(ada.get(LIST))
    for word in (
        "CRM",
        live.preview,
        "Lone Star",
        "See persons unmasked",
        "by <bdi>maker of tokens</bdi>",
    ):
        assert word in page
    for state in ("live", "expiring", "expired", "revoked"):
        assert f">{state}</span>" in page

    def shown(query: str) -> set[str]:
        rows = ada.get(f"{LIST}?{query}").context["cl"].result_list
        return {one.label for one in rows}

    assert shown("state=live") == {"CRM", "Dialler"}
    assert shown("state=ended") == {"Old", "Leaked"}
    assert shown(f"business__id__exact={business.pk}&state=live") == {"CRM", "Dialler"}
    assert shown("q=crm") == {"CRM"}
    assert soon.preview in page


def test_the_list_costs_the_same_however_many_there_are(
    ada: Client, business: Business, django_assert_num_queries: Any
) -> None:
    for number in range(12):
        make_token(business)
        if number in (2, 11):
            with django_assert_num_queries(9):
                ada.get(LIST)


def test_the_digest_of_a_token_is_not_guessed_by_the_url(ada: Client, business: Business) -> None:
    token, _ = make_token(business)
    assert ada.get(f"{LIST}?digest__startswith={token.digest[:2]}").status_code == 400
    for page in (LIST, page_of(token), page_of(token, "sources_apitoken_history")):
        assert token.digest not in text_of(ada.get(page))


# --- one token ------------------------------------------------------------------------------------


def test_a_token_is_revoked_at_once_and_on_record(ada: Client, door: Door) -> None:
    api = Api(door.source.business)
    assert api.token
    address = page_of(api.token, "token_revoke")
    assert "answered <strong>401</strong>" in text_of(ada.get(address))
    assert api.post("/leads/all/my").status_code == 200
    assert ada.post(address).status_code == 302
    assert api.post("/leads/all/my").status_code == 401
    token = ApiToken.objects.get()
    assert str(token.revoked_by) == "ada"
    assert LogEntry.objects.get().change_message == "Revoked."
    assert "It has ended already" in text_of(ada.get(address))
    at = token.revoked_at
    ada.post(address)
    assert ApiToken.objects.get().revoked_at == at
    history = text_of(ada.get(page_of(token, "sources_apitoken_history")))
    assert "Token made" in history
    assert "Token changed" in history
    assert "by <bdi>ada</bdi>" in history


def test_several_are_revoked_from_the_list(ada: Client, business: Business) -> None:
    rows = [make_token(business)[0] for _ in range(3)]
    rows[0].revoke(timezone.now())
    ids = [str(one.pk) for one in rows]
    done = ada.post(LIST, {"action": "revoke", "_selected_action": ids}, follow=True)
    assert "2 revoked, 1 had ended before." in text_of(done)
    assert not ApiToken.objects.live(timezone.now()).exists()
    assert LogEntry.objects.count() == 2


def test_its_name_and_rate_are_changed_and_nothing_else(ada: Client, business: Business) -> None:
    token, _ = make_token(business, ["leads:read"])
    until = token.expires_at
    form = {"label": "New CRM", "rate_per_minute": "5", "scopes": '["personal-data"]'}
    form |= {"expires_at_0": "2999-01-01", "expires_at_1": "00:00", "business": "x"}
    assert ada.post(page_of(token), form).status_code == 302
    token.refresh_from_db()
    assert (token.label, token.rate_per_minute) == ("New CRM", 5)
    assert (token.scopes, token.expires_at, token.business) == (["leads:read"], until, business)
    assert "greater than or equal to 1" in text_of(
        ada.post(page_of(token), form | {"rate_per_minute": "0"})
    )
    history = text_of(ada.get(page_of(token, "sources_apitoken_history")))
    assert "<del><bdi>CRM</bdi></del> → <ins><bdi>New CRM</bdi></ins>" in history


def test_what_was_revoked_meanwhile_stays_so(
    ada: Client, business: Business, monkeypatch: Any
) -> None:
    token, _ = make_token(business)
    saved = tokens.ApiTokenAdmin.save_model

    def late(self: Any, request: Any, obj: Any, *args: Any) -> None:
        ApiToken.objects.get(pk=obj.pk).revoke(timezone.now())  # somebody else, just before
        saved(self, request, obj, *args)

    monkeypatch.setattr(tokens.ApiTokenAdmin, "save_model", late)
    ada.post(page_of(token), {"label": "New name", "rate_per_minute": "600"})
    token.refresh_from_db()
    assert token.label == "New name"
    assert token.revoked_at is not None


def test_one_that_has_ended_is_for_reading(ada: Client, business: Business) -> None:
    token, _ = make_token(business)
    token.revoke(timezone.now())
    page = text_of(ada.get(page_of(token)))
    assert 'name="label"' not in page
    assert 'name="_save"' not in page
    assert "Revoke…" not in page
    ada.post(page_of(token), {"label": "x", "rate_per_minute": "5"})
    token.refresh_from_db()
    assert token.label == "CRM"


def test_nobody_deletes_a_token(business: Business) -> None:
    token, _ = make_token(business)
    client = signed_in(is_superuser=True)
    assert client.post(page_of(token, "sources_apitoken_delete")).status_code == 403
    assert client.get(page_of(token, "sources_apitoken_delete")).status_code == 403


def test_hostile_labels_are_text(ada: Client, business: Business) -> None:
    script = "<script>alert(1)</script>\u202e"
    made = ada.post(ADD, form_of(business, label=script))
    token = ApiToken.objects.get()
    pages = [LIST, page_of(token), page_of(token, "token_revoke")]
    pages.append(page_of(token, "sources_apitoken_history"))
    for page in (text_of(made), *(text_of(ada.get(one)) for one in pages)):
        assert "<script>alert" not in page
        assert "U+202E" in page


# --- who may --------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["Analyst", "Source manager", "Compliance reviewer"])
def test_no_other_role_reaches_tokens(business: Business, role: str) -> None:
    token, _ = make_token(business)
    client = reviewer("other", role)
    pages = [LIST, ADD, page_of(token), page_of(token, "token_revoke")]
    for one in [*pages, page_of(token, "sources_apitoken_history")]:
        assert client.get(one).status_code == 403, one
        assert client.post(one, form_of(business)).status_code == 403, one
    assert LIST not in text_of(client.get("/admin/"))
    assert ApiToken.objects.count() == 1


def test_who_may_only_view_tokens_changes_nothing(business: Business) -> None:
    token, _ = make_token(business)
    client = signed_in("view_apitoken")
    assert "Revoke…" not in text_of(client.get(page_of(token)))
    assert client.get(page_of(token, "token_revoke")).status_code == 403
    for one in (ADD, page_of(token), page_of(token, "token_revoke")):
        assert client.post(one, form_of(business)).status_code == 403, one
    client.post(LIST, {"action": "revoke", "_selected_action": [str(token.pk)]})
    now = ApiToken.objects.get()
    assert (now.label, now.revoked_at) == ("CRM", None)
    assert re.search(r"sk_…\w{4}", text_of(client.get(LIST)))
