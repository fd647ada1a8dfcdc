"""The pages of sources: health, settings, rules that are rehearsed, approval, keys, history."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from intake import authentication
from leadping.console import rules
from leadping.console.sources import SourceAdmin
from leads.models import Lead
from sources import keys
from sources.admin import TagForm
from sources.models import Source, SourceKey, SourceRule, Tag, Vendor
from sources.rules import ALLOWED_MODES, DEFAULT_MODES, Mode, Rule
from tests.factories import Door, make_business, make_source
from tests.test_admin import signed_in
from tests.test_desk import held, reviewer

LIST = "/admin/sources/source/"


@pytest.fixture(autouse=True)
def plain_http(settings: Any) -> None:
    """Let the test client, which speaks HTTP, in."""
    settings.SECURE_SSL_REDIRECT = False


@pytest.fixture
def sam(db: None) -> Client:
    return reviewer("sam", "Source manager")


def url(name: str, source: Source, *more: Any) -> str:
    return reverse(f"admin:{name}", args=[source.pk, *more])


def text_of(response: Any, status: int = 200) -> str:
    assert response.status_code == status
    return str(response.content.decode())


# --- the list -------------------------------------------------------------------------------------


def test_the_list_tells_health_at_a_glance(sam: Client, db: None) -> None:
    source = make_source(name="Busy", is_trusted_form_required=True)
    door = Door(source)
    held(door, 1)
    held(door, 2)
    source.issue_key(expires_at=timezone.now() + timedelta(days=3))
    make_source(name="Idle", is_approved=False, is_enabled=False)
    page = text_of(sam.get(LIST))
    assert "0 approved, 2 held" in page
    assert "2 live" in page
    assert "expiring" in page
    assert "not approved" in page
    assert ">off<" in page
    assert 'name="action"' not in page


def test_the_list_costs_the_same_however_many_there_are(
    sam: Client, django_assert_num_queries: Any
) -> None:
    for number in range(12):
        make_source().issue_key()
        if number in (2, 11):
            with django_assert_num_queries(8):
                sam.get(LIST)


# --- making and setting ---------------------------------------------------------------------------


def settings_form(source: Source | None = None, **changes: Any) -> dict[str, Any]:
    """Return what the page of settings sends."""
    form = {
        "name": source.name if source else "New one",
        "vendor": str(source.vendor_id if source else Vendor.objects.create(name="V").pk),
        "is_enabled": "on",
        "rate_per_minute": "300",
        "field_map": "{}",
    }
    if source is None:
        form["business"] = str(make_business().pk)
    return form | changes


def test_a_source_is_made_and_says_what_is_left_to_do(sam: Client) -> None:
    response = sam.post(f"{LIST}add/", settings_form(), follow=True)
    source = Source.objects.get()
    assert response.redirect_chain[-1][0] == url("source_overview", source)
    page = text_of(response)
    assert "it has not passed compliance review" in page
    assert "no key of it is live" in page
    assert LogEntry.objects.get().object_id == str(source.pk)


def test_settings_are_changed_and_the_business_is_not(sam: Client) -> None:
    source = make_source()
    business = source.business_id
    form = settings_form(
        source, name="Other", field_map='{"cell": "phone"}', business=str(make_business().pk)
    )
    assert sam.post(url("sources_source_change", source), form).status_code == 302
    source.refresh_from_db()
    assert (source.name, source.field_map, source.business_id) == (
        *("Other", {"cell": "phone"}, business),
    )
    row = source.history.first()
    assert row.history_user.username == "sam"


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("field_map", '{"cell": "nonsense"}', "is not the name of a field"),
        ("field_map", "[", "Enter a valid JSON"),
        ("field_map", "[1]", "Give up to 100 pairs of names"),
        ("rate_per_minute", "0", "greater than or equal to 1"),
        ("name", "", "This field is required"),
    ],
)
def test_settings_with_a_fault_are_not_saved(
    sam: Client, field: str, value: str, told: str
) -> None:
    source = make_source()
    form = settings_form(source, **{field: value})
    assert told in text_of(sam.post(url("sources_source_change", source), form))
    assert source.history.count() == 1


def test_a_field_map_shows_what_a_post_becomes_while_it_is_typed(sam: Client) -> None:
    def shown(text: str) -> str:
        return text_of(sam.post("/admin/sources/source/example/", {"field_map": text}))

    assert "<td>(512) 555-0137</td><td>phone</td><td>+15125550137</td>" in shown(
        '{"cell": "phone"}'
    )
    assert "Not yet a JSON object." in shown('{"cell"')
    assert "is not the name of a field" in shown('{"cell": "x"}')
    assert "Give up to 100 pairs" in shown("[1]")
    assert "ours are taken as is" in shown("")
    hostile = shown('{"<script>alert(1)</script>": "phone"}')
    assert "<script>" not in hostile
    source = make_source(field_map={"geb": "dateOfBirth"})
    page = text_of(sam.get(url("sources_source_change", source)))
    assert "<td>1984-07-19</td>" in page


def test_nothing_that_the_record_needs_is_deleted(db: None) -> None:
    source = make_source()
    key, _ = source.issue_key()
    tag = source.business.tags.create(name="VIP")
    client = signed_in(is_superuser=True)
    for row in (source, source.business, source.vendor, tag, key):
        name = f"admin:{row._meta.app_label}_{row._meta.model_name}_delete"
        assert client.post(reverse(name, args=[row.pk]), {"post": "yes"}).status_code == 403


# --- rules ----------------------------------------------------------------------------------------


def rules_form(source: Source, **changes: Any) -> dict[str, Any]:
    """Return what the page of rules sends, with modes as `mode_underage`."""
    form: dict[str, Any] = {
        "duplicate_window_days": str(source.duplicate_window_days),
        "duplicate_scope": source.duplicate_scope,
        "time_zone": source.time_zone,
        "version": str(Source.objects.get(pk=source.pk).version),
        **{f"mode-{rule}": mode.value for rule, mode in source.modes.items()},
    }
    for name, value in changes.items():
        is_mode = name.startswith("mode_")
        form[f"mode-{name[5:].replace('_', '-')}" if is_mode else name] = value
    return form


def fresh(source: Source) -> Source:
    return Source.objects.get(pk=source.pk)


def rehearsed(client: Client, source: Source, form: dict[str, Any]) -> dict[str, Any]:
    """Return the form with what a rehearsal of it signs."""
    response = client.post(url("source_rules", source), form)
    return form | {"rehearsed": response.context["signature"], "save": "1"}


def test_a_rule_is_rehearsed_shown_and_only_then_saved(sam: Client) -> None:
    source = make_source(is_trusted_form_required=True)
    door = Door(source)
    for number in range(3):
        held(door, number, state="CA")
    held(door, 3, state="TX", trustedFormUrl="https://cert.trustedform.com/" + "a" * 40)
    held(door, 4, state="CA", trustedFormUrl="https://cert.trustedform.com/" + "b" * 40)
    form = rules_form(source, allowed_states="Texas", mode_consent_missing="flag")
    page = text_of(sam.post(url("source_rules", source), form))
    assert "Of 5 leads since" in page
    assert "<strong>1 more</strong>, <strong>0 fewer</strong>" in page
    assert "<code>state-not-allowed</code>:" in page
    assert fresh(source).allowed_states == []
    done = sam.post(url("source_rules", source), rehearsed(sam, source, form))
    assert done.status_code == 302
    saved = fresh(source)
    assert saved.allowed_states == ["TX"]
    assert saved.modes[Rule.CONSENT_MISSING] == Mode.FLAG
    assert not saved.is_trusted_form_required
    entry = LogEntry.objects.get()
    assert "consent-missing to flag" in entry.change_message
    assert Source.history.first().history_user.username == "sam"


def test_only_what_was_rehearsed_is_saved(sam: Client) -> None:
    source = make_source()
    signed = rehearsed(sam, source, rules_form(source, allowed_states="TX"))
    page = text_of(sam.post(url("source_rules", source), signed | {"allowed_states": "TX, CA"}))
    assert "These are not the rules that you had seen rehearsed" in page
    page = text_of(sam.post(url("source_rules", source), signed | {"rehearsed": "made up"}))
    assert "These are not the rules" in page
    with time_machine.travel(timezone.now() + timedelta(hours=2)):
        assert "These are not the rules" in text_of(sam.post(url("source_rules", source), signed))
    other = make_source()
    signed_there = signed | {"version": str(other.version)}
    assert "These are not" in text_of(sam.post(url("source_rules", other), signed_there))
    source.daily_cap = 5  # somebody else, meanwhile
    source.save()
    page = text_of(sam.post(url("source_rules", source), signed), 409)
    assert "Somebody has changed this source since you opened it" in page
    now = signed | {"version": str(fresh(source).version)}
    page = text_of(sam.post(url("source_rules", source), now))
    assert "the source has changed meanwhile" in page
    assert fresh(source).allowed_states == []
    assert not LogEntry.objects.exists()


def test_what_changes_between_look_and_save_is_told(source: Source) -> None:
    old = fresh(source)
    source.save()
    with pytest.raises(rules.SourceHasChanged):
        rules.save_rules(old, {"allowed_states": ["TX"]}, {})
    assert fresh(source).allowed_states == []


def test_a_rule_goes_back_to_its_default(sam: Client) -> None:
    source = make_source(modes={Rule.UNDERAGE: Mode.FLAG, Rule.STATE_MISMATCH: Mode.HOLD})
    form = rules_form(source, mode_underage="hold", mode_state_mismatch="flag")
    sam.post(url("source_rules", source), rehearsed(sam, source, form))
    assert fresh(source).modes == DEFAULT_MODES
    assert not SourceRule.objects.exists()


def test_rules_that_stay_as_they_are_are_not_saved(sam: Client) -> None:
    source = make_source(allowed_states=["TX"], daily_cap=3)
    form = rules_form(source, allowed_states="TX", daily_cap="3")
    page = text_of(sam.post(url("source_rules", source), form))
    assert "Nothing by which leads are judged would change." in page
    assert source.history.count() == 1


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"allowed_states": "Texas, Mars"}, "is no state"),
        ({"allowed_products": "x" * 101}, "Give a list of texts"),
        ({"duplicate_window_days": "4000"}, "less than or equal to 3650"),
        ({"daily_cap": "-1"}, "greater than or equal to 0"),
        ({"time_zone": "Mars"}, "is not a time zone"),
        ({"mode_underage": "off"}, "Select a valid choice"),
        ({"duplicate_scope": "all"}, "Select a valid choice"),
    ],
)
def test_rules_with_a_fault_are_told(sam: Client, changes: dict[str, Any], told: str) -> None:
    source = make_source()
    page = text_of(sam.post(url("source_rules", source), rules_form(source, **changes)), 400)
    assert told in page
    assert "rehearsal-title" not in page


def test_each_rule_offers_just_its_modes(sam: Client) -> None:
    page = text_of(sam.get(url("source_rules", make_source())))
    for rule in Rule:
        for mode in Mode:
            offered = f'name="mode-{rule}" value="{mode}"' in page
            assert offered is (mode in ALLOWED_MODES[rule]), (rule, mode)


def test_a_rehearsal_is_of_the_newest_leads(source: Source) -> None:
    door = Door(source)
    now = timezone.now()
    assert rules.days_of(source, now) == rules.REHEARSED_DAYS
    for number in range(4):
        with time_machine.travel(now - timedelta(days=number + 1)):
            door.send(phone=f"512-555-01{number:02}", email=...)
    before = rules.REHEARSED_LEADS
    rules.REHEARSED_LEADS = 2
    try:
        assert rules.days_of(source, now) == pytest.approx(3, abs=0.01)
    finally:
        rules.REHEARSED_LEADS = before


# --- approval -------------------------------------------------------------------------------------


def test_a_source_is_approved_with_a_note_and_by_who_may(db: None) -> None:
    source = make_source(is_approved=False)
    rita, sam = reviewer("rita"), reviewer("sam", "Source manager")
    page = text_of(rita.post(url("source_approve", source), {"note": " "}))
    assert "This field is required" in page
    assert not fresh(source).is_compliance_approved
    done = rita.post(url("source_approve", source), {"note": "Landing page read"}, follow=True)
    assert "Approved: its leads are no longer held for that." in text_of(done)
    now = fresh(source)
    assert now.compliance_approval_note == "Landing page read"
    assert now.compliance_approved_by is not None
    assert LogEntry.objects.get().change_message == "Approved for compliance."
    again = text_of(rita.post(url("source_approve", source), {"note": "Twice"}))
    assert "Landing page read" in again
    assert fresh(source).compliance_approval_note == "Landing page read"
    assert sam.get(url("source_approve", source)).status_code in (200, 403)


# --- keys -----------------------------------------------------------------------------------------


def test_a_key_is_shown_once_and_opens_the_door(sam: Client, source: Source) -> None:
    form = {"label": "Their form", "lasts": "30"}
    response = sam.post(url("source_issue_key", source), form)
    page = text_of(response)
    assert response.headers["Cache-Control"] == "no-store"
    row = SourceKey.objects.get()
    text = response.context["text"]
    assert keys.digest(text) == row.digest
    assert page.count(text) == 2  # by itself, and in the line to paste
    assert (row.label, str(row.created_by)) == ("Their form", "sam")
    assert row.expires_at is not None
    assert timedelta(days=29) < row.expires_at - timezone.now() <= timedelta(days=30)
    assert Door(source, key=text).send().status_code == 201
    for page in (text_of(sam.get(url("source_overview", source))), text_of(sam.get(LIST))):
        assert text not in page
    assert text not in str(list(LogEntry.objects.values()))


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"until": "2020-01-01"}, "This lies in the past"),
        ({"until": "9999-12-31"}, "too far ahead"),
        ({"lasts": "7"}, "Select a valid choice"),
        ({"label": "x" * 101}, "at most 100 characters"),
    ],
)
def test_a_key_with_a_fault_is_not_made(
    sam: Client, source: Source, form: dict[str, str], told: str
) -> None:
    assert told in text_of(sam.post(url("source_issue_key", source), form))
    assert not SourceKey.objects.exists()


def test_a_key_may_end_with_a_day_or_be_for_tests(sam: Client, source: Source) -> None:
    day = timezone.localdate() + timedelta(days=9)
    sam.post(url("source_issue_key", source), {"until": str(day), "is_test": "on"})
    row = SourceKey.objects.get()
    assert row.is_test
    assert row.expires_at is not None
    assert row.expires_at > timezone.now() + timedelta(days=8)


def test_a_key_is_revoked_at_once(sam: Client, door: Door) -> None:
    key = door.source.keys.get()
    address = url("source_revoke_key", door.source, key.pk)
    assert "answered <strong>401</strong>" in text_of(sam.get(address))
    assert fresh(door.source).keys.get().revoked_at is None
    assert sam.post(address).status_code == 302
    authentication.forget()
    assert door.send().status_code == 401
    assert fresh(door.source).keys.get().revoked_by is not None
    assert "It was revoked" in text_of(sam.get(address))
    other = make_source()
    assert sam.get(url("source_revoke_key", other, key.pk)).status_code == 404


# --- overview and history -------------------------------------------------------------------------


def test_the_overview_costs_the_same_however_much_there_is(
    sam: Client, django_assert_num_queries: Any
) -> None:
    source = make_source(daily_cap=100, monthly_cap=1000)
    door = Door(source)
    for number in range(30):
        door.send(phone=f"512-555-01{number:02}", email=...)
        source.issue_key()
        if number in (4, 29):
            with django_assert_num_queries(12):
                page = text_of(sam.get(url("source_overview", source)))
    assert "30 of 100" in page


def test_the_history_tells_what_was_and_what_became(sam: Client) -> None:
    source = make_source(name="Old name")
    form = settings_form(source, name="New name")
    sam.post(url("sources_source_change", source), form)
    source.set_mode(Rule.UNDERAGE, Mode.FLAG)
    source.set_mode(Rule.UNDERAGE, Mode.REJECT)
    key, text = source.issue_key(label="first")
    key.revoke(timezone.now())
    page = text_of(sam.get(url("source_history", source)))
    assert "<del><bdi>Old name</bdi></del> → <ins><bdi>New name</bdi></ins>" in page
    assert "Rule underage set to flag" in page
    assert "<del><bdi>flag</bdi></del> → <ins><bdi>reject</bdi></ins>" in page
    assert f"Key {key.preview} changed" in page
    assert key.digest not in page
    assert text not in page
    stock = sam.get(reverse("admin:sources_source_history", args=[source.pk]))
    assert stock.headers["Location"] == url("source_history", source)


def test_hostile_names_are_text(sam: Client) -> None:
    script = "<script>alert(1)</script>\u202e"
    source = make_source(name=script, notes=script, field_map={script: "phone"})
    source.approve(None, script, timezone.now())
    source.issue_key(label=script)
    Door(source).send(phone="12", email=..., **{script: "x"})
    pages = [LIST, url("sources_source_change", source)]
    names = ("source_overview", "source_rules", "source_history", "source_approve")
    pages += [url(name, source) for name in names]
    for one in pages:
        page = text_of(sam.get(one) if "approve" not in one else reviewer("r2").get(one))
        assert "<script>alert" not in page, one


# --- who may --------------------------------------------------------------------------------------


def test_who_may_only_view_sources_changes_nothing(door: Door) -> None:
    source = make_source(is_approved=False)
    key, _ = source.issue_key()
    client = signed_in("view_source", "view_sourcekey")
    overview = text_of(client.get(url("source_overview", source)))
    for word in ("Approve…", "Issue a key", "Revoke…"):
        assert word not in overview
    rules_page = text_of(client.get(url("source_rules", source)))
    assert 'type="submit">Rehearse' not in rules_page
    form = rules_form(source, allowed_states="TX")
    refused: tuple[tuple[str, dict[str, Any]], ...] = (
        (url("source_rules", source), form),
        (url("source_approve", source), {"note": "x"}),
        (url("source_issue_key", source), {}),
        (url("source_revoke_key", source, key.pk), {}),
        (url("sources_source_change", source), settings_form(source, name="x")),
        (f"{LIST}add/", {"name": "x"}),
    )
    for address, data in refused:
        assert client.post(address, data).status_code == 403, address
    for address in (refused[1][0], refused[2][0], refused[3][0]):
        assert client.get(address).status_code == 403, address
    now = fresh(source)
    assert (now.allowed_states, now.is_compliance_approved, now.keys.count()) == ([], False, 1)
    assert now.keys.get().revoked_at is None
    assert Lead.objects.count() == 0


def test_the_digest_of_a_key_is_not_guessed_by_the_url(door: Door) -> None:
    client = signed_in("view_sourcekey")
    assert client.get("/admin/sources/sourcekey/?digest__startswith=a").status_code == 400
    by_source = f"/admin/sources/sourcekey/?source__id__exact={door.source.pk}"
    assert client.get(by_source).context["cl"].result_count == 1


def test_an_analyst_reaches_nothing_of_sources(source: Source) -> None:
    client = reviewer("ann", "Analyst")
    names = ("overview", "rules", "approve", "issue_key", "history")
    pages = [LIST, *(url(f"source_{name}", source) for name in names)]
    for one in [*pages, url("sources_source_change", source)]:
        assert client.get(one).status_code == 403, one
    assert client.post("/admin/sources/source/example/", {}).status_code == 403


def test_who_may_not_see_posts_or_keys_sees_none_on_the_overview(door: Door) -> None:
    door.send()
    page = text_of(signed_in("view_source").get(url("source_overview", door.source)))
    assert "Last posts" not in page
    assert "lp_src_" not in page
    history = text_of(signed_in("view_source").get(url("source_history", door.source)))
    assert "lp_src_" not in history


# --- deleted by its business ----------------------------------------------------------------------


@pytest.fixture
def deleted(db: None) -> Source:
    """Return a source that its business has deleted."""
    source = make_source(name="Old form", is_approved=False)
    source.deleted_at, source.is_enabled = timezone.now(), False
    source.save()
    return source


def test_a_deleted_source_says_so_wherever_it_stands(sam: Client, deleted: Source) -> None:
    assert "deleted</span>" in text_of(sam.get(LIST))
    pages = [url(name, deleted) for name in ("source_overview", "source_rules", "source_history")]
    for one in [*pages, url("sources_source_change", deleted)]:
        page = text_of(sam.get(one))
        assert "cannot be switched on again" in page, one
    overview = text_of(sam.get(url("source_overview", deleted)))
    for word in ("Issue a key", "Approve…", "What is left to do"):
        assert word not in overview
    other = text_of(sam.get(url("source_overview", make_source())))
    assert "cannot be switched on again" not in other


def test_a_deleted_source_is_not_switched_on_by_mistake(sam: Client, deleted: Source) -> None:
    form = settings_form(deleted, is_enabled="on", notes="Kept")
    assert sam.post(url("sources_source_change", deleted), form).status_code == 302
    now = fresh(deleted)
    assert (now.is_enabled, now.notes) == (False, "Kept")
    refused = sam.post(url("source_issue_key", deleted), {"label": "x"}, follow=True)
    assert "Its business has deleted this source" in text_of(refused)
    rita = reviewer("rita")
    rita.post(url("source_approve", deleted), {"note": "x"})
    now = fresh(deleted)
    assert (now.keys.count(), now.is_compliance_approved) == (0, False)


def test_what_was_deleted_meanwhile_stays_so(
    sam: Client, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = SourceAdmin.save_model

    def late(self: Any, request: Any, obj: Any, *args: Any) -> None:
        other = fresh(obj)  # its business, by the API, just before
        other.deleted_at, other.is_enabled = timezone.now(), False
        other.save()
        saved(self, request, obj, *args)

    monkeypatch.setattr(SourceAdmin, "save_model", late)
    sam.post(url("sources_source_change", source), settings_form(source, notes="New"))
    now = fresh(source)
    assert (now.notes, now.is_enabled) == ("New", False)
    assert now.deleted_at is not None


def test_a_name_is_taken_until_its_source_is_deleted(sam: Client, deleted: Source) -> None:
    taken = make_source(name="New form", business=deleted.business)
    form = settings_form(None, business=str(deleted.business_id))
    told = "The business has a source of this name."
    assert told in text_of(sam.post(f"{LIST}add/", form | {"name": "New form"}))
    other = make_source(business=deleted.business)
    page = sam.post(url("sources_source_change", other), settings_form(other, name="New form"))
    assert told in text_of(page)
    made = sam.post(f"{LIST}add/", form | {"name": "Old form"})
    assert made.status_code == 302
    assert Source.objects.filter(name="Old form", deleted_at=None).exists()
    for one in (deleted, taken):
        kept = sam.post(url("sources_source_change", one), settings_form(one, notes="Kept"))
        assert kept.status_code == 302


def test_the_description_is_set_and_shown(sam: Client, source: Source) -> None:
    before = source.version
    form = settings_form(source, description="Leads of <our> site")
    assert sam.post(url("sources_source_change", source), form).status_code == 302
    assert fresh(source).description == "Leads of <our> site"
    assert fresh(source).version != before
    assert "Leads of &lt;our&gt; site" in text_of(sam.get(url("source_overview", source)))


def test_default_tags_alone_make_a_new_version(sam: Client, source: Source) -> None:
    tag = source.business.tags.create(name="VIP")
    before = fresh(source).version
    sam.post(
        url("sources_source_change", source), settings_form(source, default_tags=[str(tag.pk)])
    )
    assert list(fresh(source).default_tags.all()) == [tag]
    assert fresh(source).version != before


# --- tags -----------------------------------------------------------------------------------------

TAGS = "/admin/sources/tag/"


def test_a_tag_is_made_and_changed_with_colour_and_description(sam: Client) -> None:
    business = make_business()
    form = {"business": str(business.pk), "name": "VIP", "color": "#1F6FEB", "description": "Big"}
    assert sam.post(f"{TAGS}add/", form).status_code == 302
    tag = Tag.objects.get()
    assert (tag.name, tag.color, tag.description, str(tag.created_by)) == (
        *("VIP", "#1F6FEB", "Big", "sam"),
    )
    page = text_of(sam.get(TAGS))
    assert 'fill="#1F6FEB"' in page
    assert "in use" in page
    other = make_business()
    change = form | {"name": "V.I.P.", "color": "", "business": str(other.pk)}
    assert sam.post(reverse("admin:sources_tag_change", args=[tag.pk]), change).status_code == 302
    tag.refresh_from_db()
    assert (tag.name, tag.color, tag.business) == ("V.I.P.", "", business)
    assert tag.modified_at is not None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"name": "vip"}, "The business has this tag already."),
        ({"name": "OLD"}, "The business has an archived tag of this name: take it back into use."),
        ({"name": ""}, "This field is required"),
        ({"color": "red"}, "Give a colour in hexadecimal digits"),
        ({"description": "x" * 501}, "at most 500 characters"),
        ({"business": ""}, "This field is required"),
    ],
)
def test_a_tag_with_a_fault_is_not_saved(sam: Client, changes: dict[str, str], told: str) -> None:
    business = make_business()
    Tag.objects.create(business=business, name="VIP")
    Tag.objects.create(business=business, name="Old").archive(timezone.now())
    Tag.objects.create(business=make_business(), name="New")
    tag = Tag.objects.create(business=business, name="Mine")
    form = {"business": str(business.pk), "name": "New", "color": "", "description": ""} | changes
    assert told in text_of(sam.post(f"{TAGS}add/", form))
    if "business" not in changes:  # which of one that is there stays
        page = sam.post(reverse("admin:sources_tag_change", args=[tag.pk]), form)
        assert told in text_of(page)
    tag.refresh_from_db()
    assert tag.name == "Mine"
    assert Tag.objects.count() == 4


def test_of_two_who_make_a_tag_at_once_the_later_is_told(
    sam: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    business = make_business()
    form = {"business": str(business.pk), "name": "VIP", "color": "", "description": ""}
    mine = Tag.objects.create(business=business, name="Mine")
    Tag.objects.create(business=business, name="vip")
    # Theirs came after the form was looked at.
    monkeypatch.setattr(TagForm, "clean", lambda self: self.cleaned_data)
    monkeypatch.setattr(Tag, "validate_constraints", lambda *args, **kwargs: None)
    for one in (f"{TAGS}add/", reverse("admin:sources_tag_change", args=[mine.pk])):
        page = text_of(sam.post(one, form, follow=True))
        assert "The business has a tag of this name." in page
    assert set(Tag.objects.values_list("name", flat=True)) == {"Mine", "vip"}


def test_tags_are_archived_and_taken_back_on_record(sam: Client) -> None:
    business = make_business()
    tags = [Tag.objects.create(business=business, name=name) for name in "AB"]
    tags[0].archive(timezone.now())
    ids = [str(one.pk) for one in tags]

    def run(action: str) -> str:
        data = {"action": action, "_selected_action": ids}
        return text_of(sam.post(TAGS, data, follow=True))

    assert "1 archived, 1 were archived before." in run("archive")
    assert not Tag.objects.in_use().exists()
    assert set(sam.get(f"{TAGS}?state=archived").context["cl"].queryset) == set(tags)
    assert "2 in use again, 0 were in use." in run("take_back")
    assert Tag.objects.in_use().count() == 2
    assert not sam.get(f"{TAGS}?state=archived").context["cl"].queryset
    told = list(LogEntry.objects.order_by("id").values_list("change_message", flat=True))
    assert told == ["Archived.", "Taken back into use.", "Taken back into use."]
