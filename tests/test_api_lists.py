"""Lists of leads in the read API: pages, order, search, filters, ranges, tags and counts."""

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.utils import timezone

from leadping.api import leads as api_leads
from leadping.api import lists
from leads.models import Lead
from sources.models import Tag
from sources.tokens import Scope
from tests.api import Api
from tests.factories import CERTIFICATE, Door, make_source

pytestmark = pytest.mark.django_db
PATH = "/leads/all/my"


@pytest.fixture
def api(door: Door) -> Api:
    """Return a client with every scope."""
    return Api(door.source.business)


def send(door: Door, number: int, **members: Any) -> str:
    """Post a lead of somebody of their own, as many minutes ago as its number; return its id."""
    post = {"phone": f"512555{number:04}", "email": f"p{number}@example.com", **members}
    made = door.send(**post)
    assert made.status_code == 201, made.json()
    at = timezone.now() - timedelta(minutes=number)
    Lead.objects.filter(id=made.json()["id"]).update(received_at=at)
    return str(made.json()["id"])


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.json()
    return [one["id"] for one in answer.json()["items"]]


def every_page(api: Api, path: str = PATH, **body: Any) -> list[str]:
    """Return the ids of all pages, in order."""
    found = []
    token = None
    while True:
        page = api.post(path, {**body, "continuationToken": token})
        found += ids(page)
        token = page.json()["continuationToken"]
        if token is None:
            return found


def faults(answer: Any) -> dict[str, str]:
    assert answer.status_code == 400, answer.json()
    return {one["pointer"]: one["code"] for one in answer.json()["faults"]}


def test_the_newest_come_first_and_pages_hold_each_lead_once(door: Door, api: Api) -> None:
    made = [send(door, number) for number in range(7)]
    assert ids(api.post(PATH)) == made  # a body is not needed
    assert every_page(api, pageSize=3) == made
    oldest = [{"field": "CreatedAt", "direction": "asc"}]
    assert every_page(api, pageSize=2, orderBy=oldest) == made[::-1]
    first = api.post(PATH, {"pageSize": 3}).json()
    assert (first["pageSize"], first["totalCount"]) == (3, None)


def test_leads_that_come_meanwhile_shift_nothing(door: Door, api: Api) -> None:
    made = [send(door, number) for number in range(10, 18)]
    found, token = [], None
    for number in range(5):
        page = api.post(PATH, {"pageSize": 2, "continuationToken": token}).json()
        found += [one["id"] for one in page["items"]]
        token = page["continuationToken"]
        send(door, number)
        if token is None:
            break
    assert found == made


def test_leads_of_one_moment_and_of_several_sources_are_each_on_one_page(door: Door) -> None:
    business = door.source.business
    doors = [door, *(Door(make_source(business=business)) for _ in range(2))]
    made = {send(doors[number % 3], number) for number in range(9)}
    Lead.objects.update(received_at=timezone.now())
    found = every_page(Api(business), pageSize=2)
    assert len(found) == 9
    assert set(found) == made


def test_of_more_sources_than_are_read_apart_the_list_is_the_same(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    business = door.source.business
    doors = [door, *(Door(make_source(business=business)) for _ in range(2))]
    made = [send(doors[number % 3], number) for number in range(6)]
    send(Door(make_source()), 7)
    monkeypatch.setattr(api_leads, "SOURCES_APART", 2)
    assert every_page(Api(business), pageSize=4) == made


def test_a_page_costs_as_many_statements_whatever_is_on_it(
    door: Door, api: Api, django_assert_num_queries: Any
) -> None:
    tag = Tag.objects.create(business=door.source.business, name="hot")
    for number in range(12):
        lead = Lead.objects.get(id=send(door, number))
        lead.tags.add(tag)
        api.post(f"/leads/{lead.id}/archive")
    for size in (1, 12):
        # token, rate, sources, ids, leads, tags, who archived them; and that they were shown
        with django_assert_num_queries(8):
            api.post(f"{PATH}?archiveFilter=all", {"pageSize": size})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("state", "Texas"), ("state", "TX"), ("product", "auto"), ("vertical", "insurance")),
        *(("subId", "s1"), ("sub_id", "s1"), ("pubId", "p1"), ("sellerLeadId", "l1")),
        *(("externalId", "e1"), ("price", 12.5), ("price", "12.50"), ("price", 1.25e1)),
        *(("directPostPrice", 3), ("utmSource", "ads"), ("status", "approved")),
        *(("complianceStatus", "Approved"), ("isTest", False), ("isTest", "false")),
        *(("phone", "(512) 555-0001"), ("email", "P1@Example.com"), ("firstName", "Eve")),
        *(("lastName", "Moreno"), ("city", "Austin"), ("postalCode", "78701")),
    ],
)
def test_a_filter_compares_by_the_type_of_its_field(
    door: Door, api: Api, field: str, value: Any
) -> None:
    values: dict[str, Any] = {
        **{"state": "TX", "product": "auto", "vertical": "insurance", "subId": "s1", "price": 12.5},
        **{"pubId": "p1", "sellerLeadId": "l1", "externalId": "e1", "directPostPrice": "3"},
        **{"utmSource": "ads", "firstName": "Eve", "lastName": "Moreno", "city": "Austin"},
        "zip": "78701",
    }
    wanted = send(door, 1, **values)
    if field not in ("status", "complianceStatus", "isTest"):
        send(door, 2, firstName="Bob", price=7)
    else:
        send(door, 2, trustedFormUrl="no certificate", firstName="Bob")
        if field == "isTest":
            Lead.objects.exclude(id=wanted).update(is_test=True)
    body = {"filters": [{"field": field, "value": value}], "includeCount": True}
    answer = api.post(PATH, body)
    assert ids(answer) == [wanted]
    assert answer.json()["totalCount"] == 1


def test_filters_by_id_source_and_null(door: Door, api: Api) -> None:
    other = Door(make_source(business=door.source.business))
    first, second = send(door, 1, price=5), send(other, 2, state="TX")
    for field, value, wanted in (
        *(
            ("id", first, [first]),
            ("id", "no id", []),
            ("sourceId", str(other.source.id), [second]),
        ),
        *(("sourceId", str(make_source().id), []), ("price", None, [second])),
        *(("state", None, [first]), ("enabled", True, [first, second]), ("enabled", False, [])),
    ):
        assert ids(api.post(PATH, {"filters": [{"field": field, "value": value}]})) == wanted, field
    both = [{"field": "id", "value": first}, {"field": "price", "value": 6}]
    assert ids(api.post(PATH, {"filters": both})) == []


def test_ranges_have_open_and_closed_ends(door: Door, api: Api) -> None:
    made = [send(door, number, price=number) for number in range(5)]

    def ranged(field: str, **ends: Any) -> list[str]:
        return ids(api.post(PATH, {"rangeFilters": [{"field": field, **ends}]}))

    assert ranged("price", greaterThan=1, lessThan=4) == made[2:4]
    assert ranged("price", greaterThanOrEqual="1", lessThanOrEqual=4.0) == made[1:5]
    at = Lead.objects.get(id=made[2]).received_at
    assert ranged("createdAt", lessThan=at.isoformat()) == made[3:]
    assert ranged("createdAt", greaterThanOrEqual=at.isoformat()) == made[:3]
    assert ranged("createdAt", lessThan="2000-01-01") == []
    assert ranged("updatedAt", greaterThanOrEqual=at.isoformat()) == made[:3]
    api.put(f"/leads/{made[4]}", {"contact": {"firstName": "Eve"}})
    assert ranged("updatedAt", greaterThanOrEqual=at.isoformat()) == [*made[:3], made[4]]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        *(("Moreno", True), ("Ada Moreno", True), ("512-555-0001", True), ("0001", True)),
        *(("P1@example.com", True), ("e1", True), ("Nobody", False), ("a" * 400, False)),
    ],
)
def test_a_search_finds_by_name_phone_email_and_ids(
    door: Door, api: Api, text: str, found: bool
) -> None:
    wanted = send(door, 1, lastName="Moreno", externalId="e1")
    send(door, 2, lastName="Silva")
    send(Door(make_source()), 1, lastName="Moreno", externalId="e1")
    assert ids(api.post(PATH, {"search": text})) == ([wanted] if found else [])
    assert ids(api.post(PATH, {"search": wanted})) == [wanted]
    assert ids(api.post(PATH, {"search": "e1", "searchFields": ["lastName"]})) == []


def test_without_personal_data_persons_are_not_searched_for(door: Door) -> None:
    wanted = send(door, 1, lastName="Moreno", externalId="e1")
    api = Api(door.source.business, [Scope.LEADS_READ])
    for text in ("Moreno", "5125550001", "p1@example.com", "0001"):
        assert ids(api.post(PATH, {"search": text})) == []
    assert ids(api.post(PATH, {"search": "e1"})) == [wanted]
    body = {
        "searchFields": ["phone"],
        "filters": [{"field": "email", "value": "p1@example.com"}],
    }
    assert faults(api.post(PATH, body)) == {
        "#/searchFields": "insufficient-scope",
        "#/filters/0/field": "insufficient-scope",
    }


def test_leads_are_listed_by_tags(door: Door, api: Api) -> None:
    made = [send(door, number) for number in range(4)]
    tags = [Tag.objects.create(business=door.source.business, name=str(one)) for one in range(2)]
    for lead, mine in ((0, tags[:1]), (1, tags), (2, tags[1:])):
        Lead.objects.get(id=made[lead]).tags.set(mine)
    one, two = (str(each.id) for each in tags)
    assert ids(api.post(f"{PATH}?tagIds={one}&tagIds={two}")) == made[:3]
    assert ids(api.post(f"{PATH}?tagIds={one}&tagIds={two}&tagMatchAll=true")) == [made[1]]
    assert ids(api.post(f"{PATH}?untagged=true")) == [made[3]]
    assert ids(api.post(f"{PATH}?tagIds={make_source().id}")) == []
    assert ids(api.post(PATH, {"filters": [{"field": "tagId", "value": two}]})) == made[1:3]
    assert every_page(api, f"{PATH}?tagIds={one}&tagIds={two}", pageSize=1) == made[:3]


def test_archived_leads_are_listed_apart(door: Door, api: Api) -> None:
    made = [send(door, number) for number in range(4)]
    for one in made[:3]:
        api.post(f"/leads/{one}/archive", {"reason": 1})
    assert ids(api.post(PATH)) == made[3:]
    assert ids(api.post(f"{PATH}?archiveFilter=Active")) == made[3:]
    assert every_page(api, f"{PATH}?archiveFilter=archived", pageSize=2) == made[:3]
    assert ids(api.post(f"{PATH}?archiveFilter=all")) == made
    (row,) = api.post(f"{PATH}?archiveFilter=archived", {"pageSize": 1}).json()["items"]
    assert api.token
    assert (row["archiveReason"], row["archivedByUserId"]) == (1, str(api.token.created_by_id))


def test_whatever_is_wrong_with_a_request_is_told_at_once(door: Door, api: Api) -> None:
    body = {
        "pageSize": "many",
        "includeCount": "yes",
        "search": {"a": 1},
        "searchFields": ["odd"],
        "orderBy": [{"field": "lastName"}, {"field": "createdAt", "direction": "up"}],
        "filters": [
            *(
                {"field": "odd", "value": 1},
                {"field": "price", "value": "much"},
                {"field": "state"},
            ),
            *({"field": "status", "value": "Odd"}, {"field": "isTest", "value": 3}),
            {"field": "phone", "value": [1]},
        ],
        "rangeFilters": [{"field": "createdAt", "lessThan": "soon"}, {"field": "state"}],
        "continuationToken": "made up",
    }
    assert faults(api.post(PATH, body)) == {
        "#/pageSize": "invalid-type",
        "#/includeCount": "invalid-type",
        "#/search": "invalid-type",
        "#/searchFields": "unknown-field",
        "#/orderBy/0/field": "unknown-field",
        "#/orderBy/1/direction": "invalid-choice",
        "#/filters/0/field": "unknown-field",
        "#/filters/1/value": "invalid-value",
        "#/filters/2/value": "missing",
        "#/filters/3/value": "invalid-value",
        "#/filters/4/value": "invalid-value",
        "#/filters/5/value": "invalid-value",
        "#/rangeFilters/0/lessThan": "invalid-value",
        "#/rangeFilters/1/field": "unknown-field",
        "#/continuationToken": "invalid-value",
    }
    query = "tagMatchAll=perhaps&untagged=x&archiveFilter=odd"
    assert faults(api.post(f"{PATH}?{query}")).keys() == {
        *("#/tagMatchAll", "#/untagged", "#/archiveFilter"),
    }
    assert api.post(f"{PATH}?tagIds=%zz").status_code == 400
    assert api.post(f"{PATH}?tagIds={quote(chr(0))}").status_code == 400


def test_a_page_goes_on_only_with_the_list_that_it_is_of(door: Door, api: Api) -> None:
    for number in range(3):
        send(door, number)
    token = api.post(PATH, {"pageSize": 1}).json()["continuationToken"]
    assert ids(api.post(PATH, {"pageSize": 2, "continuationToken": token}))
    for path, body in (
        (PATH, {"filters": [{"field": "state", "value": "TX"}]}),
        (PATH, {"orderBy": [{"field": "createdAt", "direction": "asc"}]}),
        (f"{PATH}?archiveFilter=all", {}),
    ):
        refused = api.post(path, {**body, "continuationToken": token})
        assert faults(refused) == {"#/continuationToken": "invalid-value"}
    other = Api(make_source().business)
    assert faults(other.post(PATH, {"continuationToken": token})) == {
        "#/continuationToken": "invalid-value"
    }


def test_nobody_counts_beyond_the_limit(
    door: Door, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        send(door, number)
    assert api.post(PATH, {"includeCount": True}).json()["totalCount"] == 3
    monkeypatch.setattr(api_leads, "COUNTED_AT_MOST", 2)
    assert api.post(PATH, {"includeCount": True}).json()["totalCount"] is None


def test_a_page_has_at_most_500_leads_and_50_unless_asked(door: Door, api: Api) -> None:
    assert (
        api.post(PATH, {"pageSize": 100_000}).json()["pageSize"] == lists.PAGE_SIZE_AT_MOST == 500
    )
    assert api.post(PATH, {"pageSize": 0}).json()["pageSize"] == lists.PAGE_SIZE == 50


def test_a_row_says_what_the_reference_names(door: Door, api: Api) -> None:
    wanted = send(door, 1, email=..., price=12.5, trustedFormUrl=CERTIFICATE)
    (row,) = api.post(PATH).json()["items"]
    business = door.source.business
    assert row == {
        **{"id": wanted, "firstName": "Ada", "lastName": None, "phone": "+15125550001"},
        **{"email": "", "createdAt": row["createdAt"], "updatedAt": row["createdAt"]},
        **{"status": "Approved", "statusTone": "success", "enabled": True, "price": 12.5},
        **{"archivedAt": None, "archivedByUserId": None, "archiveReason": None},
        **{"isArchived": False, "currentLeadStatus": None, "processingStatus": "Ready"},
        **{"processingStatusReason": None, "processingStatusChangedAt": None, "tags": []},
        **{"deletedAt": None, "isTest": False},
        **{"businessId": str(business.id), "organizationId": str(business.id)},
        "organization": {"id": str(business.id), "name": business.name},
        "source": {"id": str(door.source.id), "name": door.source.name},
    }
