"""Sources in the read API: made, read, listed, changed, deleted, and how many leads they bring."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.db import connection
from django.db.models.signals import pre_save
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from intake import rollup
from intake.models import CountedZone
from leadping.console.changes import history_of
from leads.models import Lead
from sources.models import Source, SourceKey, Tag, Vendor
from sources.tokens import Scope
from tests.api import Api
from tests.factories import Door, make_business, make_key, make_source

pytestmark = pytest.mark.django_db

LIST = "/sources/all/my"
NO_COSTS: list[Any] = [-1, "1e99", 123456789, 0.00001, True, "a lot", [], {}]
ABSENT = {
    *("id", "businessId", "organizationId", "organization", "name", "description", "enabled"),
    *("apiKey", "apiKeyPreview", "costPerLead", "allowedStates", "allowedProducts"),
    *("requiresTrustedForm", "complianceApproved", "defaultTagIds", "defaultTags"),
    *("firstLeadReceivedAt", "lastLeadReceivedAt", "user", "createdByUser", "createdByUserEmail"),
    *("modifiedByUser", "createdAt", "modifiedAt"),
}


@pytest.fixture
def api() -> Api:
    """Return a client that may do everything to sources, of a business that has none."""
    return Api(make_business("Acme"), ["sources"])


def make(api: Api, name: str = "Form", **more: Any) -> dict[str, Any]:
    """Return a source that has just been made, with its key."""
    answer = api.post("/sources", {"name": name, **more})
    assert answer.status_code == 201
    made: dict[str, Any] = answer.json()
    return made


def path_of(made: dict[str, Any]) -> str:
    return f"/sources/{made['id']}"


def door_of(made: dict[str, Any]) -> Door:
    """Return the door of a source that has just been made."""
    return Door(Source.objects.get(id=made["id"]), made["apiKey"])


def fault_of(answer: Any) -> tuple[int, str, str, str]:
    """Return status, problem type, field and code of an answer with one fault."""
    (fault,) = answer.json()["faults"]
    return answer.status_code, answer.headers["Leadping-Problem"], fault["field"], fault["code"]


def names_in(answer: Any) -> list[str]:
    return [one["name"] for one in answer.json()["items"]]


# --- made -----------------------------------------------------------------------------------------


def test_a_source_is_made_with_a_key_and_read_back_with_every_value(api: Api) -> None:
    tag = Tag.objects.make(api.business, "VIP", color="#111111")
    other = Tag.objects.make(api.business, "Été")
    answer = api.post(
        "/sources",
        {
            "name": " Autumn ",
            "description": "Landing page.\nOf the autumn.",
            "enabled": True,
            "costPerLead": 12.5,
            "allowedStates": ["Texas", "ca", "TX"],
            "allowedProducts": ["solar", "solar", " roof "],
            "requiresTrustedForm": True,
            "defaultTagIds": [str(tag.id).upper()],
            "defaultTagNames": ["ÉTÉ"],
        },
    )
    assert answer.status_code == 201
    made = answer.json()
    row, key = Source.objects.get(), SourceKey.objects.get()
    user = {"id": str(row.owner_id), "name": "maker of tokens"}
    business = str(api.business.id)
    assert made == {
        "id": str(row.id),
        "businessId": business,
        "organizationId": business,
        "organization": {"id": business, "name": "Acme"},
        "name": "Autumn",
        "description": "Landing page.\nOf the autumn.",
        "enabled": True,
        "apiKey": made["apiKey"],
        "apiKeyPreview": key.preview,
        "costPerLead": 12.5,
        "allowedStates": ["TX", "CA"],
        "allowedProducts": ["solar", "roof"],
        "requiresTrustedForm": True,
        "complianceApproved": False,
        "defaultTagIds": [str(tag.id), str(other.id)],
        "defaultTags": [
            *(
                {"id": str(one.id), "name": name, "normalizedName": key, "color": color}
                for one, name, key, color in (
                    (tag, "VIP", "vip", "#111111"),
                    (other, "Été", "été", None),
                )
            )
        ],
        "firstLeadReceivedAt": None,
        "lastLeadReceivedAt": None,
        "user": user,
        "createdByUser": user,
        "createdByUserEmail": None,
        "modifiedByUser": None,
        "createdAt": made["createdAt"],
        "modifiedAt": None,
    }
    assert answer.headers["Location"] == path_of(made)
    assert answer.headers["Cache-Control"] == "no-store"
    assert made["apiKey"].startswith("lp_src_")
    assert made["apiKey"].endswith(key.preview[-4:])
    assert api.get(path_of(made)).json() == made | {"apiKey": None}
    assert row.cost_per_lead == Decimal("12.5")


def test_a_source_needs_no_more_than_a_name(api: Api) -> None:
    made = make(api)
    assert set(made) == ABSENT
    assert (made["enabled"], made["requiresTrustedForm"], made["costPerLead"]) == (
        True,
        False,
        None,
    )
    assert (made["allowedStates"], made["allowedProducts"], made["defaultTags"]) == ([], [], [])
    assert made["description"] is None


def test_who_made_a_source_and_by_what_is_on_record(api: Api) -> None:
    source = Source.objects.get(id=make(api)["id"])
    assert api.token
    told = f"API token {api.token}"
    (row,) = Source.history.filter(id=source.id)
    assert (row.history_user, row.history_change_reason) == (api.token.created_by, told)
    key = source.keys.get()
    (row,) = SourceKey.history.filter(id=key.id)
    assert (row.history_user, row.history_change_reason) == (api.token.created_by, told)
    assert (key.created_by, key.label) == (api.token.created_by, "API")
    assert source.owner == api.token.created_by


def test_sources_of_a_business_share_a_vendor_until_staff_set_the_right_one(api: Api) -> None:
    make(api, "one")
    make(api, "two")
    assert [one.name for one in Vendor.objects.all()] == ["Acme (API)"]
    long = Api(make_business("b" * 200), ["sources"])
    make(long)
    assert Vendor.objects.filter(name="b" * 194 + " (API)").exists()


def test_the_leads_of_a_new_source_are_held_until_staff_approve_it(api: Api) -> None:
    made = make(api, complianceApproved=True)
    door = door_of(made)
    first = door.send(phone="5125550137").json()["metadata"]
    assert first["complianceStatus"] == "Blocked"
    api.put(path_of(made), {"complianceApproved": True, "name": "other"})
    assert api.get(path_of(made)).json()["complianceApproved"] is False
    Source.objects.get().approve(None, "Looked at.", timezone.now())
    assert api.get(path_of(made)).json()["complianceApproved"] is True
    second = door.send(phone="5125550138", email="b@example.com").json()["metadata"]
    assert second["complianceStatus"] == "Approved"
    assert second["userId"] == made["user"]["id"]


def test_what_the_server_owns_of_a_source_is_ignored_and_named(api: Api) -> None:
    sent = {"apiKey": "lp_src_" + "a" * 38, "complianceApproved": True, "id": str(uuid4())}
    answer = api.post("/sources", {"name": "Form", "regenerateApiKey": True, **sent})
    assert answer.headers["Leadping-Ignored-Fields"] == "apiKey, complianceApproved, id"
    assert answer.json()["apiKey"] != sent["apiKey"]
    assert SourceKey.objects.count() == 1


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({}, "name", "missing"),
        ({"name": " "}, "name", "missing"),
        ({"name": "a" * 201}, "name", "too-long"),
        ({"name": False}, "name", "invalid-type"),
        ({"name": "a\x00b"}, "name", "malformed"),
        ({"name": "a", "description": "b" * 2001}, "description", "too-long"),
        ({"name": "a", "description": []}, "description", "invalid-type"),
        ({"name": "a", "enabled": "true"}, "enabled", "invalid-type"),
        ({"name": "a", "enabled": 1}, "enabled", "invalid-type"),
        ({"name": "a", "requiresTrustedForm": "no"}, "requiresTrustedForm", "invalid-type"),
        ({"name": "a", "regenerateApiKey": "yes"}, "regenerateApiKey", "invalid-type"),
        *(({"name": "a", "costPerLead": one}, "costPerLead", "invalid-value") for one in NO_COSTS),
        ({"name": "a", "allowedStates": ["TX", "Bavaria"]}, "allowedStates", "unknown-choice"),
        ({"name": "a", "allowedStates": "TX"}, "allowedStates", "invalid-type"),
        ({"name": "a", "allowedStates": [""]}, "allowedStates", "invalid-value"),
        ({"name": "a", "allowedStates": [{}]}, "allowedStates", "invalid-type"),
        ({"name": "a", "allowedProducts": ["b" * 101]}, "allowedProducts", "too-long"),
        ({"name": "a", "allowedProducts": ["b"] * 1001}, "allowedProducts", "too-many"),
        ({"name": "a", "allowedProducts": [True]}, "allowedProducts", "invalid-type"),
        ({"name": "a", "defaultTagIds": ["none"]}, "defaultTagIds", "unknown-tag"),
        ({"name": "a", "defaultTagIds": [str(uuid4())]}, "defaultTagIds", "unknown-tag"),
        ({"name": "a", "defaultTagNames": ["none"]}, "defaultTagNames", "unknown-tag"),
        ({"name": "a", "defaultTagNames": ["none"] * 21}, "defaultTagNames", "too-many"),
    ],
)
def test_what_cannot_be_a_source_is_refused_and_nothing_is_made_or_changed(
    api: Api, body: Any, field: str, code: str
) -> None:
    made = make(api)
    answers = [api.post("/sources", body)]
    if body.get("name") != "":
        answers.append(api.put(path_of(made), {"name": ""} | body))
    for answer in answers:
        if code == "malformed":
            assert answer.headers["Leadping-Problem"] == "malformed-body"
        else:
            assert fault_of(answer) == (400, "invalid-request", field, code)
    assert Source.objects.count() == 1
    assert api.get(path_of(made)).json() == made | {"apiKey": None}


def test_all_faults_of_a_source_are_told_at_once_and_no_value_with_them(api: Api) -> None:
    body = {"enabled": 5, "costPerLead": "secret", "allowedStates": ["secret"]}
    answer = api.post("/sources", body | {"defaultTagNames": ["secret"]})
    fields = {one["field"] for one in answer.json()["faults"]}
    assert fields == {"name", "enabled", "costPerLead", "allowedStates", "defaultTagNames"}
    assert b"secret" not in answer.content


# --- names ----------------------------------------------------------------------------------------


def test_a_name_is_taken_by_a_source_that_is_not_deleted(api: Api) -> None:
    first, second = make(api, "Form"), make(api, "Other")
    taken = (400, "invalid-request", "name", "taken")
    assert fault_of(api.post("/sources", {"name": "Form"})) == taken
    assert fault_of(api.put(path_of(second), {"name": "Form", "enabled": False})) == taken
    assert api.get(path_of(second)).json()["enabled"] is True
    assert api.put(path_of(first), {"name": "Form"}).status_code == 200
    make(Api(make_business(), ["sources"]), "Form")
    assert api.delete(path_of(first)).status_code == 204
    assert api.put(path_of(second), {"name": "Form"}).json()["name"] == "Form"
    assert api.delete(path_of(second)).status_code == 204
    make(api, "Form")


def test_whoever_is_slower_with_a_name_is_told_that_it_is_taken(api: Api) -> None:
    other = make(api, "Other")
    rivals: list[Source] = []

    def be_faster(instance: Source, **more: Any) -> None:
        if not rivals:
            vendor = instance.vendor
            rivals.append(Source(business=api.business, vendor=vendor, name=instance.name))
            Source.objects.bulk_create(rivals)

    pre_save.connect(be_faster, sender=Source)
    try:
        made = api.post("/sources", {"name": "Form"})
        rivals.clear()
        named = api.put(path_of(other), {"name": "Form"})
    finally:
        pre_save.disconnect(be_faster, sender=Source)
    taken = (400, "invalid-request", "name", "taken")
    assert (fault_of(made), fault_of(named)) == (taken, taken)
    assert names_in(api.post(LIST)) == ["Other"]
    assert SourceKey.objects.count() == 1


# --- changed --------------------------------------------------------------------------------------


def full(api: Api) -> dict[str, Any]:
    """Return a source of which everything is set."""
    Tag.objects.make(api.business, "VIP")
    return make(
        api,
        description="Old.",
        enabled=False,
        costPerLead=3,
        allowedStates=["TX"],
        allowedProducts=["solar"],
        requiresTrustedForm=True,
        defaultTagNames=["VIP"],
    )


def test_a_change_keeps_what_is_omitted_or_null(api: Api) -> None:
    made = full(api)
    kept = made | {"apiKey": None}
    nothing = dict.fromkeys(
        [
            *("name", "description", "enabled", "costPerLead", "allowedStates", "allowedProducts"),
            *("requiresTrustedForm", "defaultTagIds", "defaultTagNames", "regenerateApiKey"),
        ]
    )
    for body in ({}, nothing, kept, kept | {"costPerLead": "3.0", "allowedStates": ["texas"]}):
        put = api.put(path_of(made), body)
        assert (put.status_code, put.json()) == (200, kept)
    assert Source.history.count() == 1
    put = api.put(path_of(made), {"name": "New", "enabled": True}).json()
    assert put == kept | {
        "name": "New",
        "enabled": True,
        "modifiedAt": put["modifiedAt"],
        "modifiedByUser": made["user"],
    }
    assert put["modifiedAt"] is not None


def test_a_list_that_is_sent_takes_the_place_of_the_one_there_is(api: Api) -> None:
    made = full(api)
    new = Tag.objects.make(api.business, "new")
    path = path_of(made)
    put = api.put(path, {"allowedStates": ["Ohio"], "defaultTagIds": [str(new.id)]}).json()
    assert (put["allowedStates"], put["allowedProducts"]) == (["OH"], ["solar"])
    assert [one["name"] for one in put["defaultTags"]] == ["new"]
    both = {"defaultTagIds": [], "defaultTagNames": ["vip", "NEW"]}
    put = api.put(path, both).json()
    assert [one["name"] for one in put["defaultTags"]] == ["VIP", "new"]
    emptied = {"allowedStates": [], "allowedProducts": [], "defaultTagIds": [], "description": ""}
    put = api.put(path, emptied).json()
    assert (put["allowedStates"], put["allowedProducts"], put["defaultTagIds"]) == ([], [], [])
    assert put["description"] is None


def test_a_state_that_is_none_of_ours_may_stay(api: Api) -> None:
    source = make_source(business=api.business, allowed_states=["Bayern", "TX"])
    path = f"/sources/{source.id}"
    back = api.put(path, api.get(path).json() | {"allowedStates": ["Bayern", "texas", "Ohio"]})
    assert back.json()["allowedStates"] == ["Bayern", "TX", "OH"]
    assert fault_of(api.put(path, {"allowedStates": ["Hessen"]}))[2:] == (
        *("allowedStates", "unknown-choice"),
    )


def test_a_change_counts_for_the_leads_that_come_from_then_on(api: Api) -> None:
    made = make(api)
    door = door_of(made)
    Source.objects.get().approve(None, "Looked at.", timezone.now())

    def status(number: int, **more: Any) -> str:
        answer = door.send(phone=f"512555{number:04}", email=f"{number}@example.com", **more)
        return str(answer.json()["metadata"]["complianceStatus"])

    assert status(131, state="CA") == "Approved"
    api.put(path_of(made), {"allowedStates": ["TX"]})
    assert (status(132, state="CA"), status(133, state="TX")) == ("Blocked", "Approved")
    api.put(path_of(made), {"allowedStates": [], "requiresTrustedForm": True})
    assert status(134, state="TX") == "Blocked"
    statuses = Lead.objects.order_by("received_at").values_list("compliance_status", flat=True)
    assert list(statuses) == ["Approved", "Blocked", "Approved", "Blocked"]
    assert len({one.rules_version for one in Lead.objects.all()}) == 3
    api.put(path_of(made), {"enabled": False})
    assert door.send().headers["Leadping-Problem"] == "source-disabled"


def test_what_was_changed_and_by_what_is_on_record(api: Api) -> None:
    made = full(api)
    source = Source.objects.get()
    assert api.token
    told = f"API token {api.token}"
    api.put(path_of(made), {"name": "New", "costPerLead": 4})
    api.put(path_of(made), {"defaultTagIds": []})
    api.put(path_of(made), {"defaultTagNames": ["VIP"], "enabled": True})
    rows = [one for one in history_of(source, True) if one.what == "Source changed"]
    assert [(one.who, one.reason) for one in rows] == [
        ("maker of tokens", told),
        ("maker of tokens", f"{told}; default tags: none"),
        ("maker of tokens", f"{told}; default tags: VIP"),
    ]
    assert {one[0] for one in rows[0].differences} == {"Name", "Cost per lead"}
    versions = list(Source.history.values_list("version", flat=True))
    assert len(set(versions)) == 4
    assert Source.objects.get().version in versions


def test_two_changes_of_different_settings_both_last(api: Api) -> None:
    made = make(api)
    old = Source.objects.get()
    api.put(path_of(made), {"costPerLead": 4})
    old.name = "By staff"
    old.save(update_fields=["name"])
    put = api.put(path_of(made), {"enabled": False}).json()
    assert (put["name"], put["costPerLead"], put["enabled"]) == ("By staff", 4, False)


def test_a_source_that_staff_made_shows_no_more_than_names(api: Api) -> None:
    source = make_source(business=api.business, owner=api.token.created_by)  # type: ignore[union-attr]
    api.token.created_by.email = "staff@example.com"  # type: ignore[union-attr]
    api.token.created_by.save()  # type: ignore[union-attr]
    read = api.get(f"/sources/{source.id}")
    assert read.json()["user"]["name"] == "maker of tokens"
    assert (read.json()["createdByUser"], read.json()["apiKeyPreview"]) == (None, None)
    assert b"staff@example.com" not in read.content


# --- keys -----------------------------------------------------------------------------------------


def test_a_new_key_is_shown_once_and_ends_the_others_at_once(api: Api) -> None:
    made = make(api)
    old = door_of(made)
    assert old.send().status_code == 201
    source = Source.objects.get()
    second, _ = make_key(source, label="second")
    expired, _ = make_key(source, expires_at=timezone.now() - timedelta(days=1))
    put = api.put(path_of(made), {"regenerateApiKey": True, "name": "New"})
    new = put.json()
    assert new["apiKey"] not in (None, made["apiKey"])
    assert new["apiKey"].endswith(new["apiKeyPreview"][-4:])
    assert api.get(path_of(made)).json() == new | {"apiKey": None}
    assert old.send().status_code == 401
    assert Door(source, new["apiKey"]).send().status_code == 201
    second.refresh_from_db()
    expired.refresh_from_db()
    assert api.token
    assert (second.revoked_by, expired.revoked_at) == (api.token.created_by, None)
    ended = SourceKey.history.filter(id=second.id).latest("history_date")
    assert ended.history_change_reason == f"API token {api.token}"
    assert source.keys.live(timezone.now()).count() == 1


@pytest.mark.parametrize("body", [{}, {"regenerateApiKey": False}, {"apiKey": "lp_src_mine"}])
def test_without_being_asked_to_no_key_is_renewed(api: Api, body: Any) -> None:
    made = make(api)
    put = api.put(path_of(made), body)
    assert (put.json()["apiKey"], put.json()["apiKeyPreview"]) == (None, made["apiKeyPreview"])
    assert door_of(made).send().status_code == 201
    assert put.headers.get("Leadping-Ignored-Fields") == ("apiKey" if "apiKey" in body else None)


def test_no_key_is_renewed_by_a_change_that_is_refused(api: Api) -> None:
    made = make(api)
    make(api, "Other")
    for body in ({"name": "Other"}, {"costPerLead": -1}):
        assert api.put(path_of(made), {"regenerateApiKey": True} | body).status_code == 400
    assert door_of(made).send().status_code == 201


def test_the_preview_is_of_the_newest_live_key_before_those_for_tests(api: Api) -> None:
    source = make_source(business=api.business)
    now = timezone.now()
    keys = [make_key(source)[0] for _ in range(3)]
    for number, key in enumerate(keys):
        SourceKey.objects.filter(id=key.id).update(
            created_at=now + timedelta(hours=number),
            preview=f"key {number}",
            last_used_at=now + timedelta(minutes=number),
        )
    test_key, _ = make_key(source, is_test=True)
    SourceKey.objects.filter(id=test_key.id).update(created_at=now + timedelta(hours=9))

    def previewed() -> tuple[str, str | None]:
        (row,) = api.post(LIST).json()["items"]
        assert (api.get(f"/sources/{source.id}").json()["apiKeyPreview"] or "") == row[
            "apiKeyPreview"
        ]
        return row["apiKeyPreview"], row["apiKeyLastUsedAt"]

    for number in (2, 1, 0):
        preview, used_at = previewed()
        assert preview == f"key {number}"
        assert used_at is not None
        keys[number].refresh_from_db()
        keys[number].revoke(now)
    assert previewed() == (test_key.preview, None)
    test_key.revoke(now)
    assert previewed() == ("", None)


def test_no_key_is_logged(api: Api, log_lines: Any) -> None:
    made = make(api)
    api.put(path_of(made), {"regenerateApiKey": True, "apiKey": made["apiKey"]})
    assert made["apiKey"][7:] not in str(log_lines())
    assert "api.answered" in {one["event"] for one in log_lines()}


# --- deleted --------------------------------------------------------------------------------------


def test_a_deleted_source_is_off_its_keys_end_and_its_leads_stay(api: Api) -> None:
    made = make(api)
    door = door_of(made)
    lead = door.send().json()["id"]
    answer = api.delete(path_of(made))
    assert (answer.status_code, answer.content) == (204, b"")
    row, key = Source.objects.get(), SourceKey.objects.get()
    assert row.deleted_at is not None
    assert (row.is_enabled, key.is_live(timezone.now())) == (False, False)
    assert door.send(phone="5125550138").status_code == 401
    assert api.token
    kept = Source.history.latest("history_date")
    assert kept.history_change_reason == f"API token {api.token}"
    assert kept.deleted_at == row.deleted_at
    assert key.revoked_by == api.token.created_by
    reader = Api(api.business)
    assert reader.get(f"/leads/{lead}").json()["enabled"] is True
    (row,) = reader.post("/leads/all/my").json()["items"]
    assert (row["id"], row["source"]) == (lead, {"id": made["id"], "name": "Form"})


def test_a_deleted_source_is_gone(api: Api) -> None:
    made = make(api)
    api.delete(path_of(made))
    path = path_of(made)
    for method, at, body in (
        ("GET", path, ...),
        ("PUT", path, {"enabled": True, "regenerateApiKey": True}),
        ("DELETE", path, ...),
        ("GET", f"{path}/metrics", ...),
    ):
        answer = api.ask(method, at, body)
        assert (answer.status_code, answer.headers["Leadping-Problem"]) == (404, "not-found")
    assert api.post(LIST, {"includeCount": True}).json()["totalCount"] == 0
    assert SourceKey.objects.count() == 1


# --- whose they are, and what a token opens -------------------------------------------------------


def test_the_sources_of_another_business_are_as_if_they_were_not(api: Api) -> None:
    mine = make(api)
    stranger = Api(make_business(), ["sources"])
    theirs = make(stranger)
    door_of(theirs).send()
    before = stranger.get(path_of(theirs)).json()
    asking: list[tuple[str, str, Any]] = [
        ("GET", "/sources/{id}", ...),
        ("PUT", "/sources/{id}", {"name": "mine", "regenerateApiKey": True}),
        ("PUT", "/sources/{id}", {"name": 5.5}),
        ("DELETE", "/sources/{id}", ...),
        ("GET", "/sources/{id}/metrics", ...),
        ("GET", "/sources/{id}/metrics?days=-1", ...),
    ]
    for method, path, body in asking:
        answers = []
        for id in (theirs["id"], str(uuid4())):
            with CaptureQueriesContext(connection) as asked:
                answer = api.ask(method, path.format(id=id), body)
            told = {
                name: value
                for name, value in answer.json().items()
                if name not in ("instance", "requestId", "traceId")
            }
            answers.append((answer.status_code, told, len(asked)))
        assert answers[0] == answers[1]
        assert answers[0][0] == 404
    assert stranger.get(path_of(theirs)).json() == before
    for body in (
        {"includeCount": True},
        {"includeCount": True, "search": "form"},
        {"includeCount": True, "filters": [{"field": "enabled", "value": True}]},
    ):
        page = api.post(LIST, body).json()
        assert ([one["id"] for one in page["items"]], page["totalCount"]) == ([mine["id"]], 1)
    page = api.post(LIST, {"filters": [{"field": "id", "value": theirs["id"]}]}).json()
    assert page["items"] == []
    tag = Tag.objects.make(stranger.business, "theirs")
    for sent in ({"defaultTagIds": [str(tag.id)]}, {"defaultTagNames": ["theirs"]}):
        assert fault_of(api.put(path_of(mine), sent))[3] == "unknown-tag"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/sources"),
        ("POST", "/sources/all/my/"),
        ("GET", "/sources/{id}"),
        ("PUT", "/sources/{id}"),
        ("DELETE", "/sources/{id}/"),
        ("GET", "/sources/{id}/metrics"),
    ],
)
def test_each_needs_the_scope_of_sources(api: Api, method: str, path: str) -> None:
    made = make(api)
    at = path.format(id=made["id"])
    body = {"name": "New"} if method in ("POST", "PUT") and "all" not in path else ...
    others = [one for one in Scope if one != Scope.SOURCES]
    refused = Api(api.business, others).ask(method, at, body)
    assert (refused.status_code, refused.headers["Leadping-Problem"]) == (403, "insufficient-scope")
    assert list(Source.objects.values_list("name", "deleted_at")) == [("Form", None)]
    assert api.ask(method, at, body).status_code < 300
    assert api.ask("PATCH", at, body).status_code == 405


# --- the list -------------------------------------------------------------------------------------


@pytest.fixture
def named(api: Api) -> Api:
    """Return a client of a business with some sources, made a day apart."""
    with time_machine.travel("2026-11-20T12:00:00Z", tick=False) as clock:
        for name in ("beta", "Alpha", "éclair", "alpha 2", "Zeta"):
            make_source(business=api.business, name=name, description=f"About {name}.")
            clock.shift(timedelta(days=1))
    return api


def test_a_row_of_the_list_says_what_the_source_does_and_how_it_is_used(api: Api) -> None:
    made = full(api)
    api.put(path_of(made), {"enabled": True})
    door = door_of(made)
    first = door.send(phone="5125550137").json()["createdAt"]
    last = door.send(phone="5125550138").json()["createdAt"]
    door.send(phone="5125550138", externalId="again")
    door.send(phone="12")
    Door(door.source, make_key(door.source, is_test=True)[1]).send(phone="5125550139")
    SourceKey.objects.filter(is_test=True).update(revoked_at=timezone.now())
    with time_machine.travel(timezone.now() + timedelta(minutes=1)):
        rollup.keep_now()
    (row,) = api.post(LIST).json()["items"]
    whole = api.get(path_of(made)).json()
    own = {"apiKeyLastUsedAt": row["apiKeyLastUsedAt"], "apiKeyTotalUses": 4}
    del whole["createdByUserEmail"]
    assert row == whole | own
    assert row["apiKeyLastUsedAt"] is not None
    assert row["firstLeadReceivedAt"] == first
    assert row["lastLeadReceivedAt"] > last
    assert (row["apiKey"], row["modifiedByUser"]) == (None, made["user"])


def test_a_list_is_by_name_whatever_its_case_or_by_age(named: Api) -> None:
    def listed(**order: Any) -> list[str]:
        return names_in(named.post(LIST, {"orderBy": [order]} if order else ...))

    by_name = ["Alpha", "alpha 2", "beta", "Zeta", "éclair"]
    assert listed() == listed(field="name") == listed(field="name", direction="asc") == by_name
    assert listed(field="Name", direction="desc") == by_name[::-1]
    by_age = ["beta", "Alpha", "éclair", "alpha 2", "Zeta"]
    assert listed(field="createdAt") == by_age
    assert listed(field="createdAt", direction="DESC") == by_age[::-1]


@pytest.mark.parametrize(
    "order",
    [
        None,
        [{"field": "name", "direction": "desc"}],
        [{"field": "createdAt"}],
        [{"field": "createdAt", "direction": "desc"}],
    ],
)
def test_a_list_is_turned_over_page_by_page_each_source_once(named: Api, order: Any) -> None:
    same = {"created_at": datetime(2026, 11, 21, 12, tzinfo=UTC)}
    for one in Source.objects.filter(name__in=["Alpha", "éclair"]):
        one.created_at = same["created_at"]
        one.save(update_fields=["created_at"])
    options = {"orderBy": order, "pageSize": 2}
    whole = names_in(named.post(LIST, options | {"pageSize": 50}))
    found: list[str] = []
    token = None
    for _ in range(3):
        page = named.post(LIST, options | {"continuationToken": token}).json()
        assert page["pageSize"] == 2
        found += [one["name"] for one in page["items"]]
        token = page["continuationToken"]
        if order is None:
            make(named, f"a{len(found)} comes before its place was read past")
    assert found == whole
    assert token is None


def test_a_token_is_of_the_list_that_it_was_given_for(named: Api) -> None:
    token = named.post(LIST, {"pageSize": 2}).json()["continuationToken"]
    other = Api(make_business(), ["sources"])
    for client, body in (
        (named, {"orderBy": [{"field": "name", "direction": "desc"}]}),
        (named, {"orderBy": [{"field": "createdAt"}]}),
        (named, {"search": "a"}),
        (other, {}),
    ):
        answer = client.post(LIST, body | {"continuationToken": token})
        assert fault_of(answer)[2:] == ("continuationToken", "invalid-value")
    again = named.post(LIST, {"continuationToken": token, "pageSize": 1})
    assert names_in(again) == ["beta"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"search": "ALPHA"}, ["Alpha", "alpha 2"]),
        ({"search": "about b"}, ["beta"]),
        ({"search": "about b", "searchFields": ["name"]}, []),
        ({"search": "zeta", "searchFields": ["description", "Name"]}, ["Zeta"]),
        ({"search": "éclair"}, ["éclair"]),
        ({"search": "%"}, []),
        ({"search": "_"}, []),
        ({"filters": [{"field": "name", "value": "Alpha"}]}, ["Alpha"]),
        ({"filters": [{"field": "name", "value": "alpha"}]}, []),
        ({"filters": [{"field": "name", "value": None}]}, []),
        ({"filters": [{"field": "id", "value": "none"}]}, []),
        ({"filters": [{"field": "enabled", "value": "false"}]}, ["beta"]),
        ({"filters": [{"field": "complianceApproved", "value": False}]}, ["Zeta"]),
        (
            {
                "filters": [
                    {"field": "complianceApproved", "value": True},
                    {"field": "enabled", "value": True},
                ]
            },
            ["Alpha", "alpha 2", "éclair"],
        ),
        (
            {"rangeFilters": [{"field": "createdAt", "greaterThan": "2026-11-22T12:00:00Z"}]},
            ["alpha 2", "Zeta"],
        ),
        (
            {"rangeFilters": [{"field": "createdAt", "lessThanOrEqual": "2026-11-21T12:00Z"}]},
            ["Alpha", "beta"],
        ),
    ],
)
def test_a_list_is_searched_and_narrowed(named: Api, body: Any, expected: list[str]) -> None:
    one = Source.objects.get(name="beta")
    one.is_enabled = False
    one.save(update_fields=["is_enabled"])
    one = Source.objects.get(name="Zeta")
    one.compliance_approved_at = None
    one.save(update_fields=["compliance_approved_at"])
    answer = named.post(LIST, body | {"includeCount": True})
    assert names_in(answer) == expected
    assert answer.json()["totalCount"] == len(expected)


def test_a_source_is_found_by_its_id(named: Api) -> None:
    source = Source.objects.get(name="beta")
    for value in (str(source.id), str(source.id).upper()):
        assert names_in(named.post(LIST, {"filters": [{"field": "id", "value": value}]})) == [
            "beta"
        ]


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"orderBy": [{"field": "enabled"}]}, "orderBy.0.field", "unknown-field"),
        ({"searchFields": ["id"]}, "searchFields", "unknown-field"),
        ({"filters": [{"field": "apiKey", "value": "x"}]}, "filters.0.field", "unknown-field"),
        ({"filters": [{"field": "createdAt", "value": "x"}]}, "filters.0.field", "unknown-field"),
        ({"filters": [{"field": "enabled", "value": 1}]}, "filters.0.value", "invalid-value"),
        (
            {"rangeFilters": [{"field": "name", "lessThan": "x"}]},
            *("rangeFilters.0.field", "unknown-field"),
        ),
        ({"pageSize": "--5"}, "pageSize", "invalid-type"),
        ({"pageSize": -5}, "pageSize", "out-of-range"),
        ({"continuationToken": "x"}, "continuationToken", "invalid-value"),
    ],
)
def test_what_a_list_cannot_be_asked_for_is_refused(
    api: Api, body: Any, field: str, code: str
) -> None:
    assert fault_of(api.post(LIST, body)) == (400, "invalid-request", field, code)


def test_a_page_costs_the_same_number_of_statements_whatever_is_on_it(api: Api) -> None:
    def statements() -> int:
        api.post(LIST, {"includeCount": True})
        with CaptureQueriesContext(connection) as asked:
            api.post(LIST, {"includeCount": True})
        return len(asked)

    tag = Tag.objects.make(api.business, "VIP")
    door_of(make(api, defaultTagNames=["VIP"])).send()
    few = statements()
    for number in range(12):
        made = make(api, f"Form {number}", defaultTagIds=[str(tag.id)])
        door_of(made).send(phone=f"51255501{number + 10}")
        make_key(Source.objects.get(id=made["id"]))
        api.put(path_of(made), {"enabled": False})
    assert statements() == few
    # Token; rate; ids; count; rows, their tags and keys; people; counts.
    assert few <= 9


# --- how many leads -------------------------------------------------------------------------------


NEW_YORK = ZoneInfo("America/New_York")


def metrics(api: Api, source: Source, query: str = "") -> Any:
    return api.get(f"/sources/{source.id}/metrics{query}")


def test_metrics_have_a_point_for_each_day_of_the_source(api: Api) -> None:
    with time_machine.travel("2026-11-28T07:30:00Z", tick=False) as clock:  # the 27th there
        source = make_source(business=api.business, time_zone="America/Los_Angeles")
        door = Door(source)
        tests = Door(source, make_key(source, is_test=True)[1])
        door.send(phone="5125550137")
        tests.send(phone="5125550130")
        clock.move_to("2026-11-28T08:30:00Z")
        for number in (138, 139):
            door.send(phone=f"5125550{number}", email=f"{number}@example.com")
        door.send(phone="1")
        clock.move_to("2026-11-29T08:00:01Z")
        Lead.objects.filter(phone="+15125550139").update(deleted_at=timezone.now())
        rollup.keep_now()
        answer = metrics(api, source, "?days=3")
    assert answer.status_code == 200
    days = ["2026-11-27", "2026-11-28", "2026-11-29"]
    assert answer.json() == {
        "range": {
            "startAt": "2026-11-27T08:00:00.000Z",
            "endAt": "2026-11-30T08:00:00.000Z",
            "bucketSize": 0,
        },
        "totalLeads": 3,
        "points": [
            {
                "startAt": f"{day}T08:00:00.000Z",
                "endAt": f"{date.fromisoformat(day) + timedelta(days=1)}T08:00:00.000Z",
                "label": day,
                "value": value,
            }
            for day, value in zip(days, [1, 2, 0], strict=True)
        ],
        "generatedAt": "2026-11-29T08:00:01.000Z",
    }


@pytest.mark.parametrize(
    ("query", "first", "last"),
    [
        ("", "2026-10-31", "2026-11-29"),
        ("?days=1", "2026-11-29", "2026-11-29"),
        ("?Days=400", "2025-10-26", "2026-11-29"),
        ("?startAt=2026-11-28T12:00:00Z", "2026-11-28", "2026-11-29"),
        ("?startAt=2026-11-28T04:00:00Z", "2026-11-27", "2026-11-29"),
        ("?endAt=2026-11-20T12:00:00Z&days=2", "2026-11-19", "2026-11-20"),
        ("?endAt=2026-11-20T05:00:00Z&days=2", "2026-11-18", "2026-11-19"),
        (
            "?startAt=2026-11-01T00:00:00-04:00&endAt=2026-12-01T00:00:00-05:00",
            *("2026-11-01", "2026-11-30"),
        ),
        (
            "?startAt=2026-11-20T05:00:00Z&endAt=2026-11-20T05:00:00Z",
            *("2026-11-20", "2026-11-20"),
        ),
        ("?startAt=&endAt=&days=", "2026-10-31", "2026-11-29"),
    ],
)
def test_the_days_of_metrics_are_those_asked_for_whole(
    api: Api, query: str, first: str, last: str
) -> None:
    source = make_source(business=api.business, time_zone="America/New_York")
    with time_machine.travel("2026-11-29T12:00:00Z"):
        told = metrics(api, source, query).json()
    labels = [one["label"] for one in told["points"]]
    assert (labels[0], labels[-1]) == (first, last)
    number = (date.fromisoformat(last) - date.fromisoformat(first)).days + 1
    assert len(set(labels)) == number
    begins = datetime.fromisoformat(told["range"]["startAt"]).astimezone(NEW_YORK)
    assert begins.isoformat()[:16] == f"{first}T00:00"
    assert told["range"]["endAt"] == told["points"][-1]["endAt"]
    for one, after in zip(told["points"], told["points"][1:], strict=False):
        assert one["endAt"] == after["startAt"]


@pytest.mark.parametrize(
    ("query", "field", "code"),
    [
        ("?days=0", "days", "out-of-range"),
        ("?days=401", "days", "out-of-range"),
        ("?days=ten", "days", "invalid-type"),
        ("?days=--5", "days", "invalid-type"),
        ("?days=1.5", "days", "invalid-type"),
        ("?startAt=yesterday", "startAt", "invalid-value"),
        ("?endAt=2026-13-01", "endAt", "invalid-value"),
        ("?endAt=0001-01-01T00:00:00Z", "endAt", "invalid-value"),
        ("?startAt=2026-11-02&endAt=2026-11-01", "startAt", "out-of-range"),
        ("?startAt=2020-01-01", "startAt", "out-of-range"),
        ("?startAt=1900-01-01&endAt=9000-12-31", "startAt", "out-of-range"),
    ],
)
def test_metrics_that_cannot_be_are_refused(api: Api, query: str, field: str, code: str) -> None:
    source = make_source(business=api.business)
    assert fault_of(metrics(api, source, query)) == (400, "invalid-request", field, code)


def test_what_means_nothing_to_metrics_is_named(api: Api) -> None:
    source = make_source(business=api.business)
    now = timezone.now()
    start = f"{now - timedelta(days=2):%Y-%m-%d}"
    answer = metrics(api, source, f"?startAt={start}&days=9&bucketSize=1")
    assert answer.headers["Leadping-Ignored-Fields"] == "bucketSize, days"


def test_metrics_say_up_to_when_they_are_counted(api: Api) -> None:
    source = make_source(business=api.business)
    made = api.get(f"/sources/{source.id}").json()["createdAt"]
    assert metrics(api, source).json()["generatedAt"] == made
    Door(source).send()
    assert metrics(api, source).json()["totalLeads"] == 0
    with time_machine.travel(timezone.now() + timedelta(minutes=1)):
        rollup.keep_now()
        told = metrics(api, source).json()
    assert told["totalLeads"] == 1
    assert told["generatedAt"] > made
    CountedZone.objects.update(is_complete=False)
    assert metrics(api, source).json()["generatedAt"] == made


def test_metrics_cost_the_same_for_a_day_and_for_a_year(api: Api) -> None:
    source = make_source(business=api.business)
    counts = []
    for query in ("?days=1", "?days=400"):
        metrics(api, source, query)
        with CaptureQueriesContext(connection) as asked:
            metrics(api, source, query)
        counts.append(len(asked))
    assert counts[0] == counts[1]
