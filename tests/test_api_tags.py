"""Tags in the read API: listed, made, changed, archived, and what archived ones no longer do."""

from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models.signals import pre_save
from django.test.utils import CaptureQueriesContext

from leads.models import Lead
from sources.models import Source, Tag
from sources.tokens import Scope
from tests.api import Api
from tests.factories import Door, make_business, make_source

pytestmark = pytest.mark.django_db

OTHER_CASES = [("VIP", "vip"), ("Été", "ÉTÉ"), ("Straße", "STRASSE")]


@pytest.fixture
def api(door: Door) -> Api:
    """Return a client that may do everything to leads."""
    return Api(door.source.business, ["leads:read", "leads:write"])


def make(api: Api, name: str = "VIP", **more: Any) -> dict[str, Any]:
    """Return a tag that has just been made."""
    answer = api.post("/tags", {"name": name, **more})
    assert answer.status_code == 201
    made: dict[str, Any] = answer.json()
    return made


def fault_of(answer: Any) -> tuple[int, str, str, str]:
    """Return status, problem type, field and code of an answer with one fault."""
    (fault,) = answer.json()["faults"]
    return answer.status_code, answer.headers["Leadping-Problem"], fault["field"], fault["code"]


# --- made and read --------------------------------------------------------------------------------


def test_a_tag_is_made_and_read_back_with_every_value(api: Api) -> None:
    made = make(api, " Very  important ", color="#1f6FEB", description="Call\r\nfirst. ")
    row = Tag.objects.get()
    assert made == {
        "id": str(row.id),
        "businessId": str(api.business.id),
        "organizationId": str(api.business.id),
        "name": "Very  important",
        "normalizedName": "very  important",
        "color": "#1f6FEB",
        "description": "Call\nfirst.",
        "createdByUserId": str(api.token.created_by_id),  # type: ignore[union-attr]
        "isArchived": False,
        "archivedAt": None,
        "createdAt": made["createdAt"],
        "modifiedAt": None,
    }
    assert made["createdAt"].endswith("Z")
    assert api.get("/tags").json() == [made]


def test_tags_are_a_bare_array_by_name_archived_ones_only_when_asked_for(api: Api) -> None:
    names = ["b", "A", "é", "a c"]
    ids = {name: make(api, name)["id"] for name in names}
    assert [one["name"] for one in api.get("/tags").json()] == sorted(names)
    api.delete(f"/tags/{ids['b']}")
    for query, expected in (
        ("", ["A", "a c", "é"]),
        ("?includeArchived=false", ["A", "a c", "é"]),
        ("?includeArchived=", ["A", "a c", "é"]),
        ("?includeArchived=True", ["A", "a c", "b", "é"]),
        ("/?include_archived=true", ["A", "a c", "b", "é"]),
    ):
        assert [one["name"] for one in api.get(f"/tags{query}").json()] == expected


def test_what_the_query_of_tags_cannot_mean_is_refused_or_named(api: Api) -> None:
    assert fault_of(api.get("/tags?includeArchived=1")) == (
        *(400, "invalid-request", "includeArchived", "invalid-value"),
    )
    assert api.get("/tags?page=2").headers["Leadping-Ignored-Fields"] == "page"
    assert api.get("/tags?includeArchived=%ff").headers["Leadping-Problem"] == "malformed-body"


def test_a_list_of_tags_costs_the_same_however_many_there_are(api: Api) -> None:
    def statements() -> int:
        api.get("/tags")
        with CaptureQueriesContext(
            connection,
        ) as asked:
            api.get("/tags")
        return len(asked)

    make(api, "first")
    few = statements()
    for number in range(10):
        make(api, f"tag {number}")
    assert statements() == few


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({}, "name", "missing"),
        ({"name": None}, "name", "missing"),
        ({"name": "  "}, "name", "missing"),
        ({"name": "a" * 65}, "name", "too-long"),
        ({"name": True}, "name", "invalid-type"),
        ({"name": ["VIP"]}, "name", "invalid-type"),
        ({"name": "V\x07IP"}, "name", "invalid-characters"),
        ({"Name": "VIP", "color": "red"}, "color", "invalid-value"),
        ({"name": "VIP", "color": "#12345\u0663"}, "color", "invalid-value"),
        ({"name": "VIP", "color": "#1234567"}, "color", "too-long"),
        ({"name": "VIP", "description": "a" * 501}, "description", "too-long"),
        ({"name": "VIP", "description": "a\x0bb"}, "description", "invalid-characters"),
    ],
)
def test_what_cannot_be_a_tag_is_refused_and_nothing_is_made(
    api: Api, body: Any, field: str, code: str
) -> None:
    assert fault_of(api.post("/tags", body)) == (400, "invalid-request", field, code)
    assert not Tag.objects.exists()


def test_all_faults_of_a_tag_are_told_at_once(api: Api) -> None:
    faults = api.post("/tags", {"color": "red", "description": 1.5 * 10**9}).json()["faults"]
    assert {one["field"] for one in faults} == {"name", "color"}


def test_a_body_of_tags_that_is_no_object_is_refused(api: Api) -> None:
    for body in (b"", b"[]", b'"VIP"', b"null", b'{"name": "a", "name": "b"}'):
        answer = api.post("/tags", body)
        assert (answer.status_code, answer.headers["Leadping-Problem"]) == (400, "malformed-body")


def test_what_the_server_owns_of_a_tag_is_ignored_and_named(api: Api) -> None:
    body = {"id": str(uuid4()), "isArchived": True, "businessId": "b", "createdAt": "2020-01-01"}
    answer = api.post("/tags", {"name": "VIP", **body})
    assert answer.status_code == 201
    assert answer.json()["id"] != body["id"]
    assert not answer.json()["isArchived"]
    told = answer.headers["Leadping-Ignored-Fields"]
    assert told == "businessId, createdAt, id, isArchived"


# --- one name, one tag ----------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "again"), [("VIP", "VIP"), *OTHER_CASES])
def test_a_name_is_taken_in_whatever_case(api: Api, name: str, again: str) -> None:
    make(api, name)
    other = make(api, "other")
    taken = (400, "invalid-request", "name", "taken")
    assert fault_of(api.post("/tags", {"name": again})) == taken
    assert fault_of(api.put(f"/tags/{other['id']}", {"name": again})) == taken
    assert sorted(Tag.objects.values_list("name", flat=True)) == sorted([name, "other"])


def test_a_name_is_taken_in_its_own_business_only(api: Api) -> None:
    make(api)
    make(Api(make_business()))
    assert Tag.objects.count() == 2


@pytest.mark.parametrize(("name", "again"), [("VIP", "VIP"), *OTHER_CASES])
def test_the_name_of_an_archived_tag_brings_it_back(api: Api, name: str, again: str) -> None:
    first = make(api, name, color="#111111", description="Kept.")
    api.delete(f"/tags/{first['id']}")
    back = make(api, again, color="#222222")
    assert (back["id"], back["name"], back["isArchived"]) == (first["id"], again, False)
    assert (back["color"], back["description"]) == ("#222222", "Kept.")
    assert back["modifiedAt"] is not None
    assert Tag.objects.count() == 1


def test_a_tag_may_not_take_the_name_of_an_archived_one(api: Api) -> None:
    api.delete(f"/tags/{make(api)['id']}")
    path = f"/tags/{make(api, 'other')['id']}"
    assert fault_of(api.put(path, {"name": "vip"}))[2:] == ("name", "taken")


def test_whoever_is_slower_with_a_name_is_told_that_it_is_taken(api: Api) -> None:
    """What the lock cannot order, like staff who add one in the console, the constraint does."""
    business = api.business
    rivals: list[Tag] = []

    def be_faster(instance: Tag, **more: Any) -> None:
        if not rivals:
            rivals.append(Tag(business=business, name=instance.name.upper()))
            Tag.objects.bulk_create(rivals)

    other = make(api, "other")
    pre_save.connect(be_faster, sender=Tag)
    try:
        made = api.post("/tags", {"name": "vip"})
        rivals.clear()
        renamed = api.put(f"/tags/{other['id']}", {"name": "vip"})
    finally:
        pre_save.disconnect(be_faster, sender=Tag)
    taken = (400, "invalid-request", "name", "taken")
    assert (fault_of(made), fault_of(renamed)) == (taken, taken)
    assert api.get("/tags").json() == [other]


# --- changed and archived -------------------------------------------------------------------------


def test_a_change_keeps_what_is_omitted_or_null(api: Api) -> None:
    made = make(api, color="#111111", description="Call first.")
    path = f"/tags/{made['id']}"
    put = api.put(path, {"name": "Best", "color": None})
    assert put.status_code == 200
    assert put.json() == made | {
        "name": "Best",
        "normalizedName": "best",
        "modifiedAt": put.json()["modifiedAt"],
    }
    assert put.json()["modifiedAt"] is not None
    emptied = api.put(path, {"color": "", "description": " "}).json()
    assert (emptied["name"], emptied["color"], emptied["description"]) == ("Best", None, None)


def test_a_tag_that_is_read_and_put_back_is_not_changed(api: Api) -> None:
    make(api, color="#111111")
    (read,) = api.get("/tags").json()
    back = api.put(f"/tags/{read['id']}", read)
    assert (back.status_code, back.json()) == (200, read)
    assert api.put(f"/tags/{read['id']}", {}).json() == read
    assert api.put(f"/tags/{read['id']}", {"name": "vip"}).json()["name"] == "vip"


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"name": ""}, "name", "missing"),
        ({"name": "a" * 65}, "name", "too-long"),
        ({"color": "blue"}, "color", "invalid-value"),
        ({"description": {}}, "description", "invalid-type"),
    ],
)
def test_what_cannot_be_of_a_tag_changes_nothing(
    api: Api, body: Any, field: str, code: str
) -> None:
    made = make(api, color="#111111")
    answer = api.put(f"/tags/{made['id']}", {"description": "New."} | body)
    assert fault_of(answer) == (400, "invalid-request", field, code)
    assert api.get("/tags").json() == [made]


def test_archiving_is_answered_with_true_and_again_with_true(api: Api) -> None:
    path = f"/tags/{make(api)['id']}"
    for _ in range(2):
        answer = api.delete(path)
        assert (answer.status_code, answer.content) == (200, b"true")
        assert answer.headers["Content-Type"] == "application/json"
        (tag,) = api.get("/tags?includeArchived=true").json()
        at = Tag.objects.get().archived_at
        assert (tag["isArchived"], tag["archivedAt"] is None) == (True, False)
    assert Tag.objects.get().archived_at == at
    assert api.get("/tags").json() == []


def test_an_archived_tag_can_be_changed_and_stays_archived(api: Api) -> None:
    path = f"/tags/{make(api)['id']}"
    api.delete(path)
    put = api.put(path, {"description": "Of last year.", "isArchived": False})
    assert (put.json()["isArchived"], put.json()["description"]) == (True, "Of last year.")
    assert put.headers["Leadping-Ignored-Fields"] == "isArchived"


# --- whose they are, and what a token opens -------------------------------------------------------


def test_the_tags_of_another_business_are_as_if_they_were_not(api: Api) -> None:
    stranger = Api(make_business())
    theirs = make(stranger)
    assert api.get("/tags?includeArchived=true").json() == []
    for method, body in (("PUT", {"name": "mine"}), ("PUT", {"name": 5.5}), ("DELETE", ...)):
        answers = []
        for id in (theirs["id"], str(uuid4())):
            with CaptureQueriesContext(connection) as asked:
                answer = api.ask(method, f"/tags/{id}", body)
            told = {
                name: value
                for name, value in answer.json().items()
                if name not in ("instance", "requestId", "traceId")
            }
            answers.append((answer.status_code, told, len(asked)))
        assert answers[0] == answers[1]
        assert answers[0][0] == 404
    assert stranger.get("/tags").json() == [theirs]


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/tags", Scope.LEADS_READ),
        ("POST", "/tags", Scope.LEADS_WRITE),
        ("PUT", "/tags/{id}", Scope.LEADS_WRITE),
        ("DELETE", "/tags/{id}", Scope.LEADS_WRITE),
    ],
)
def test_each_needs_its_scope(api: Api, method: str, path: str, scope: Scope) -> None:
    id = make(api, "first")["id"]
    body = ... if method in ("GET", "DELETE") else {"name": "VIP"}
    others = [one for one in Scope if one != scope]
    refused = Api(api.business, others).ask(method, path.format(id=id), body)
    assert (refused.status_code, refused.headers["Leadping-Problem"]) == (403, "insufficient-scope")
    assert list(Tag.objects.in_use().values_list("name", flat=True)) == ["first"]
    assert Api(api.business, [scope]).ask(method, path.format(id=id), body).status_code < 300


@pytest.mark.parametrize("path", ["/tags", "/tags/{id}"])
def test_other_methods_and_no_token_are_refused(api: Api, path: str) -> None:
    path = path.format(id=make(api)["id"])
    answer = api.ask("PATCH", path, {})
    allowed = "GET, POST" if path == "/tags" else "DELETE, PUT"
    assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)
    assert api.client.get(path if path == "/tags" else "/tags").status_code == 401
    assert api.ask("PUT", f"/tags/{'x' * 36}", {}).status_code == 404


# --- what an archived tag no longer does ----------------------------------------------------------


def tags_of(answer: Any) -> list[str]:
    """Return the names of the tags of the lead that was answered with."""
    lead = Lead.objects.get(id=answer.json()["id"])
    return sorted(lead.tags.values_list("name", flat=True))


def test_intake_ignores_an_archived_tag_and_names_it(door: Door, api: Api) -> None:
    old, new = make(api, "old"), make(api, "new")
    door.source.default_tags.set(Tag.objects.filter(name="new"))
    first = door.send(tagNames=["OLD", "new"])
    assert tags_of(first) == ["new", "old"]
    api.delete(f"/tags/{old['id']}")
    later = door.send(tagNames=["old"], tagIds=[old["id"], new["id"]])
    assert tags_of(later) == ["new"]
    told = later.headers["Leadping-Ignored-Fields"]
    assert told == f"tagIds.{old['id']}, tagNames.old"
    assert tags_of(first) == ["new", "old"]
    make(api, "Old")
    assert tags_of(door.send(tagNames=["old"])) == ["Old"]


def test_an_archived_tag_comes_on_no_lead_by_default(door: Door, api: Api) -> None:
    door.source.default_tags.set([Tag.objects.get(id=make(api, one)["id"]) for one in ("a", "b")])
    assert tags_of(door.send()) == ["a", "b"]
    api.delete(f"/tags/{Tag.objects.get(name='a').id}")
    # At once, although the process still remembers what the key opens.
    assert tags_of(door.send()) == ["b"]
    source = Source.objects.with_settings().get()
    assert [one.name for one in source.tags_by_default] == ["b"]
    api.delete(f"/tags/{Tag.objects.get(name='b').id}")
    assert tags_of(door.send()) == []
    make(api, "a")
    assert tags_of(door.send()) == ["a"]


def test_an_archived_tag_is_put_on_no_further_lead_and_stays_where_it_is(
    door: Door, api: Api
) -> None:
    tag = make(api)
    first, second = (
        f"/leads/{door.send(phone=n).json()['id']}" for n in ("5125550137", "5125550138")
    )
    api.post(f"{first}/tags", {"tagIds": [tag["id"]]})
    api.delete(f"/tags/{tag['id']}")
    for body in ({"tagIds": [tag["id"]]}, {"tagNames": ["vip"]}):
        answer = api.post(f"{second}/tags", body)
        assert fault_of(answer)[2:] == (next(iter(body)), "unknown-tag")
    assert [one["id"] for one in api.get(first).json()["tags"]] == [tag["id"]]
    assert api.get(second).json()["tags"] == []
    made = api.post(f"{second}/tags", {"tagNames": ["Vip"], "createMissing": True})
    assert [one["id"] for one in made.json()["tags"]] == [tag["id"]]
    assert [one["name"] for one in api.get("/tags").json()] == ["Vip"]
    assert api.delete(f"{first}/tags/{tag['id']}").json()["tags"] == []


def test_a_source_may_be_given_only_the_tags_of_its_business(door: Door, api: Api) -> None:
    theirs = make(Api(make_source().business))
    assert tags_of(door.send(tagIds=[theirs["id"]], tagNames=["VIP"])) == []
