"""What goes wrong at the desk, on the first page, the rules and the audit when others are at it."""

import re
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from leadping.console import desk
from leadping.console import figures as figures_of
from leadping.console.figures import figures
from leads.models import Claim, Lead
from leads.reviews import DeskTab
from sources.models import Source
from sources.rules import Mode, Rule
from tests.factories import Door, make_source, suppress
from tests.test_admin import signed_in
from tests.test_console_sources import rehearsed, rules_form
from tests.test_desk import held, reviewer, url, where
from tests.test_replay import map_cell, refused_post

NEW_YORK = ZoneInfo("America/New_York")


@pytest.fixture(autouse=True)
def plain_http(settings: Any) -> None:
    """Let the test client, which speaks HTTP, in."""
    settings.SECURE_SSL_REDIRECT = False


@pytest.fixture
def rita(db: None) -> Client:
    return reviewer()


@pytest.fixture
def strict(db: None) -> Door:
    return Door(make_source(is_trusted_form_required=True))


# --- the desk -------------------------------------------------------------------------------------


def test_a_decided_lead_that_kept_its_tab_does_not_jam_the_desk(rita: Client, strict: Door) -> None:
    """As the code of before writes it, which runs on until its processes have been replaced."""
    done, waits = held(strict, 1), held(strict, 2)
    done.release(None, "", "Checked")
    Lead.objects.filter(id=done.id).update(desk_tab=DeskTab.REVIEW)
    assert where(rita.get(url("desk"))) == url("desk_lead", waits.id)


def test_a_release_overrules_only_what_was_shown(rita: Client, strict: Door) -> None:
    first, second = held(strict, 1, state="TX", zip=...), held(strict, 2, state="TX", zip=...)
    page = rita.get(url("desk_alike", first.id)).content.decode()
    assert "state-not-allowed" not in page
    source = Source.objects.get(id=strict.source.id)
    source.allowed_states = ["CA"]
    source.save()
    form = {"decision": "release", "reason": "Fine", "count": "2", "lead": [first.id, second.id]}
    rita.post(url("desk_alike", first.id), form)
    assert set(Lead.objects.values_list("compliance_status", flat=True)) == {"Blocked"}


def test_a_claim_given_back_meanwhile_is_no_error(
    rita: Client, strict: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead = held(strict, 1)
    other = get_user_model().objects.create_user("otto", is_staff=True)
    Claim.objects.take(lead.id, other, timezone.now())
    plain = type(Claim.objects.all()).get_or_create

    def then_given_back(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = plain(self, *args, **kwargs)
        Claim.objects.filter(lead=lead).delete()  # the other one has decided, and committed
        return found

    monkeypatch.setattr(type(Claim.objects.all()), "get_or_create", then_given_back)
    assert rita.get(url("desk_lead", lead.id)).status_code == 200


def test_a_field_called_status_does_not_break_the_answer(rita: Client, strict: Door) -> None:
    lead = held(strict, 1)
    response = rita.post(url("desk_reject", lead.id), {"reason": "", "status": "x", "lead": "y"})
    assert response.status_code == 409


def test_the_position_far_down_the_queue_is_told(
    rita: Client, strict: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        held(strict, number)
    monkeypatch.setattr(desk, "COUNTED_AT_MOST", 3)
    last = Lead.objects.earliest("-received_at")
    page = rita.get(url("desk_lead", last.id)).content.decode()
    assert "2+1 of 2+" not in page


# --- the first page -------------------------------------------------------------------------------


def test_the_number_of_look_backs_leads_to_them(strict: Door) -> None:
    client = signed_in(is_superuser=True)
    held(strict, 1).release(None, "", "Checked")
    suppress("512-555-0101", strict.source.business)
    page = client.get("/admin/").content.decode()
    (link,) = re.findall(r'href="(/admin/leads/lookback/[^"]*)">1 look-back', page)
    assert client.get(link).status_code == 200


def test_the_same_weekday_is_counted_until_the_same_hour_after_the_clocks_have_changed(
    db: None,
) -> None:
    door = Door(make_source(is_trusted_form_required=True))
    with time_machine.travel(datetime(2027, 3, 10, 0, 10, tzinfo=NEW_YORK), tick=False):
        held(door, 1)
    with timezone.override(NEW_YORK):  # since Sunday, March 14, an hour less
        found = figures(datetime(2027, 3, 17, 0, 30, tzinfo=NEW_YORK).astimezone(UTC))
    assert found.then["blocked"] == 1


# --- rules ----------------------------------------------------------------------------------------


@pytest.fixture
def sam(db: None) -> Client:
    return signed_in(is_superuser=True)


def test_an_old_form_does_not_silently_undo_what_a_colleague_saved(sam: Client) -> None:
    source = make_source()
    old = rules_form(source, daily_cap="5")  # opened before, and changed in one thing
    Source.objects.get(id=source.id).set_mode(Rule.UNDERAGE, Mode.REJECT)
    response = sam.post(url("source_rules", source.pk), old)
    assert response.status_code == 409
    assert "Somebody has changed this source" in response.content.decode()
    assert Source.objects.get(id=source.id).modes[Rule.UNDERAGE] == Mode.REJECT


def test_a_rehearsal_names_what_would_be_changed(sam: Client) -> None:
    source = make_source()
    page = sam.post(url("source_rules", source.pk), rules_form(source, mode_underage="reject"))
    told = page.content.decode().split('id="rehearsal"')[1].split("</section>")[0]
    assert "<dt>Under age</dt><dd><del><bdi>hold</bdi></del> → <ins><bdi>reject</bdi></ins>" in told


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("allowed_products", ["Home, auto"]),
        ("allowed_products", ["auto "]),
        ("allowed_states", ["Texas"]),
        ("allowed_states", ["tx"]),
        ("allowed_states", ["ON"]),
    ],
)
def test_a_form_sent_as_it_came_changes_nothing(sam: Client, name: str, kept: list[str]) -> None:
    settings: dict[str, Any] = {name: kept}
    source = make_source(**settings)
    source.full_clean()  # it may stand so
    page = sam.get(url("source_rules", source.pk)).content.decode()
    (text,) = re.findall(rf'<textarea name="{name}"[^>]*>\s*([^<]*)</textarea>', page)
    sent = sam.post(url("source_rules", source.pk), rules_form(source, **{name: text}))
    assert "Nothing by which leads are judged would change" in sent.content.decode()


# --- audit ----------------------------------------------------------------------------------------


def told(client: Client, **query: Any) -> list[str]:
    rows = client.get("/admin/audit/", query).context["rows"]
    return [f"{one.kind}: {one.what} {one.subject}" for one in rows]


def test_a_change_of_one_mode_is_told_once(sam: Client) -> None:
    source = make_source()
    before = len(told(sam))
    sam.post(
        url("source_rules", source.pk),
        rehearsed(sam, source, rules_form(source, mode_underage="reject")),
    )
    assert len(told(sam)) == before + 1, told(sam)


def test_a_replay_in_the_console_is_told_once(sam: Client) -> None:
    source = make_source()
    post = refused_post(Door(source), cell="512-555-0137")
    map_cell(source)
    before = told(sam)
    form = {"post": [str(post.pk)], "count": "1", "reason": "Mapped"}
    sam.post(url("intake_post_replay"), form)
    new = [one for one in told(sam) if one not in before]
    assert len(new) == 1, new


def test_a_suppression_that_is_added_again_is_on_record(sam: Client, strict: Door) -> None:
    business = strict.source.business
    form = {"phone": "512-555-0101", "kind": "opt-out", "business": business.pk, "channel": "all"}
    sam.post(url("suppression_add"), form)
    before = told(sam)
    held(strict, 1)
    Lead.objects.update(compliance_status="Approved", compliance_blocked_reason="", desk_tab=None)
    sam.post(url("suppression_add"), form)
    assert [one for one in told(sam) if "again" in one and one not in before], told(sam)


def test_who_is_no_longer_staff_can_still_be_asked_for(sam: Client, strict: Door) -> None:
    gone = get_user_model().objects.create_user("gone", is_staff=True)
    held(strict, 1).reject(gone, "", "No consent")
    stays = get_user_model().objects.create_user("stays", is_staff=True)
    held(strict, 2).reject(stays, "", "No consent")
    gone.is_staff = False
    gone.save()
    rows = sam.get("/admin/audit/", {"by": gone.pk}).context["rows"]
    assert {one.who for one in rows} == {"gone"}


def test_a_database_that_is_away_is_told_on_a_page_and_never_as_an_error_of_ours(
    sam: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: Any) -> Any:
        raise OperationalError from psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr(figures_of, "figures", away)
    response = sam.get("/admin/")
    assert response.status_code == 503
    assert "Nothing was changed: try again in a moment" in response.content.decode()
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
