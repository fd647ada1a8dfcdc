"""The public API's own clients work unchanged, and read every value; contract §10.

`tests/reference_client.py` is one, written from the description of that API.
"""

import json
import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from leads.models import Lead
from sources.models import Source
from tests.api import make_token
from tests.factories import make_key, make_source
from tests.reference_client import EXCEPTIONS, ReferenceClient, typed

pytestmark = pytest.mark.django_db

CERTIFICATE = "https://cert.trustedform.com/0123456789abcdef0123456789abcdef01234567"

METADATA: dict[str, Any] = {
    "trustedFormUrl": CERTIFICATE,
    **{"utmSource": "newsletter", "utmMedium": "email", "utmCampaign": "autumn"},
    **{"utmTerm": "solar roof", "utmContent": "banner", "referrer": "https://a.example/b?c=d"},
    **{"landingPage": "https://b.example/quote", "subId": "sub-1", "pubId": "pub-1"},
    **{"externalId": "external-1", "sellerLeadId": "seller-1", "price": 12.5},
    **{"directPostPrice": 0.0125, "product": "Solar", "vertical": "Home"},
    "sourceMetadata": {"page": "3", "step": "quote"},
}
ADDRESS: dict[str, Any] = {
    **{"line1": "98 San Jacinto Blvd", "line2": "Apt 4", "city": "Austin", "state": "TX"},
    **{"province": "none", "region": "Hill Country", "postalCode": "78701", "country": "US"},
    "additionalInfo": "second door",
}
CONTACT: dict[str, Any] = {
    **{"firstName": "Ada", "lastName": "Lovelace", "email": "ada@example.com"},
    "phone": {"number": "+15125550137", "type": "Mobile"},
    "streetAddress": ADDRESS,
}
CUSTOMER: dict[str, Any] = {
    **{"gender": "F", "height": 68, "weight": 150, "birthDate": "1984-07-19"},
    **{"maritalStatus": "Married", "income": 85000, "isHomeowner": True},
    **{"monthsAtResidence": 30, "creditScore": 710, "hasBankruptcy": False},
    **{"employmentType": "SelfEmployed", "numberOfDependents": 2, "hasMedicalCondition": False},
}
SENT: dict[str, dict[str, Any]] = {"metadata": METADATA, "contact": CONTACT, "customer": CUSTOMER}
# What the description lets clients send, and the service alone sets.
OF_THE_SERVER = {
    "LeadMetadata": {
        *("ipAddress", "userAgent", "createdAt", "complianceStatus", "complianceBlockedReason"),
        *("origin", "importBatchId", "isImported", "assignedPhoneNumberId", "smsConsentStatus"),
        *("smsOptedOut", "smsOptOutAt", "smsOptInAt", "smsHelpRequestedAt", "userId"),
        *("smsConsentPhoneNumber", "trustedFormCheckedAt", "organizationId"),
    },
    "LeadContact": {"coordinate", "timeZoneId", "avatarUrl"},
    "LeadProfile": set(),
    "StreetAddress": set(),
    "Phone": {"phoneIdentityId"},
}
# Where each flat name is read again.
FLAT = {
    **{"firstName": ("contact", "firstName"), "lastName": ("contact", "lastName")},
    **{"email": ("contact", "email"), "phone": ("contact", "phone", "number")},
    **{"phoneType": ("contact", "phone", "type"), "dateOfBirth": ("customer", "birthDate")},
    **{"address1": ("contact", "streetAddress", "line1")},
    **{"address2": ("contact", "streetAddress", "line2")},
    **{one: ("contact", "streetAddress", one) for one in ("city", "state")},
    **{"zip": ("contact", "streetAddress", "postalCode"), "gender": ("customer", "gender")},
    **{one: ("metadata", one) for one in METADATA if one != "pubId"},
}
ALIASES = {
    **{"birthDate": "dateOfBirth", "postalCode": "zip", "sellerLeadIdentifier": "sellerLeadId"}
}


@pytest.fixture
def source() -> Source:
    """Return an approved source of a business that has two tags."""
    source = make_source()
    for name in ("solar", "vip"):
        source.business.tags.create(name=name, color="#1F6FEB")
    return source


@pytest.fixture
def client(source: Source, settings: Any) -> ReferenceClient:
    """Return a client with every scope and the key of the source, which reads numbers only."""
    settings.INTAKE_HAS_NUMBERS = True
    _, token = make_token(source.business)
    return ReferenceClient(token, make_key(source)[1])


def at(lead: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        lead = lead[name]
    return lead


def flat() -> dict[str, Any]:
    """Return the same lead in flat names."""
    return {name: at(SENT, path) for name, path in FLAT.items()}


# --- every value comes back -----------------------------------------------------------------------


def test_what_is_sent_is_every_field_that_clients_can_send(client: ReferenceClient) -> None:
    shapes = client.description["components"]["schemas"]
    sent: dict[str, Any] = {
        **{"LeadMetadata": METADATA, "LeadContact": CONTACT, "LeadProfile": CUSTOMER},
        **{"StreetAddress": ADDRESS, "Phone": CONTACT["phone"]},
    }
    for name, members in sent.items():
        assert members.keys() | OF_THE_SERVER[name] == shapes[name]["properties"].keys()
        assert not members.keys() & OF_THE_SERVER[name]
    known = {*shapes["LeadIntakeRequest"]["properties"]}
    assert {*FLAT, *ALIASES, "tagIds", "tagNames"} == known


def test_every_value_of_a_structured_lead_comes_back_in_its_type(client: ReferenceClient) -> None:
    posted = client.call("Leads_CreateExternal", SENT | {"tagNames": ["solar"], "tagIds": []})
    check_read(client, posted["id"])


def test_every_value_of_a_flat_lead_comes_back_in_its_type(client: ReferenceClient) -> None:
    posted = client.call("Leads_CreateIntake", flat() | {"tagNames": ["solar"]})
    lead = client.call("Leads_GetForCurrentUser", id=posted["id"])
    for name, path in FLAT.items():
        assert typed(at(lead, path)) == typed(flat()[name]), name
    assert [one["name"] for one in lead["tags"]] == ["solar"]


def test_every_value_of_a_query_comes_back_in_its_type(client: ReferenceClient) -> None:
    query = {name[0].upper() + name[1:]: value for name, value in flat().items()}
    metadata = query.pop("SourceMetadata")
    query["SourceMetadata"] = json.dumps(metadata)
    posted = client.call("Leads_CreateIntakeFromQuery", TagNames=["solar", "vip"], **query)
    lead = client.call("Leads_GetForCurrentUser", id=posted["id"])
    for name, path in FLAT.items():
        assert typed(at(lead, path)) == typed(flat()[name]), name
    assert [one["name"] for one in lead["tags"]] == ["solar", "vip"]


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_another_name_of_a_field_is_read_as_it(
    client: ReferenceClient, alias: str, name: str
) -> None:
    value = flat()[name]
    posted = client.call("Leads_CreateIntake", {"phone": "+15125550137", alias: value})
    lead = client.call("Leads_GetForCurrentUser", id=posted["id"])
    assert typed(at(lead, FLAT[name])) == typed(value)


def check_read(client: ReferenceClient, id: str) -> None:
    """Check that a lead is read as it was sent, by itself and in the list."""
    lead = client.call("Leads_GetForCurrentUser", id=id)
    for name, members in SENT.items():
        for member, value in members.items():
            read = lead[name][member]
            if isinstance(value, dict) and member != "sourceMetadata":
                read = {one: read[one] for one in value}
            assert typed(read) == typed(value), member
    assert [one["name"] for one in lead["tags"]] == ["solar"]
    assert lead["metadata"]["complianceStatus"] == "Approved"
    assert lead["metadata"]["organizationId"] == lead["metadata"]["businessId"]
    page = client.call("Leads_GetAllForCurrentUser", {"includeCount": True})
    (row,) = page["items"]
    assert (page["totalCount"], page["pageSize"], page["continuationToken"]) == (1, 50, None)
    assert typed(row["price"]) == typed(12.5)
    for name, value in (
        *(("id", id), ("firstName", "Ada"), ("lastName", "Lovelace"), ("email", "ada@example.com")),
        *(("phone", "+15125550137"), ("createdAt", lead["createdAt"]), ("enabled", True)),
        *(("isArchived", False), ("status", "Approved"), ("tags", lead["tags"])),
    ):
        assert row[name] == value
    assert row["source"]["id"] == lead["metadata"]["sourceId"]


def test_what_only_a_lead_without_them_shows_is_a_named_exception(client: ReferenceClient) -> None:
    posted = client.call("Leads_CreateIntake", {"phone": "+15125550137"})
    lead = client.call("Leads_GetForCurrentUser", id=posted["id"])
    client.call("Leads_CreateIntake", {"email": "eve@example.com"})
    rows = client.call("Leads_GetAllForCurrentUser", {})["items"]
    assert lead["metadata"]["trustedFormUrl"] is None
    assert [(one["phone"], one["email"]) for one in rows] == [
        ("", "eve@example.com"),
        ("+15125550137", ""),
    ]


@pytest.mark.parametrize(("shape", "member"), EXCEPTIONS)
def test_without_its_exception_an_answer_is_not_as_described(
    client: ReferenceClient, monkeypatch: pytest.MonkeyPatch, shape: str, member: str
) -> None:
    sent = {"email": "a@example.com"} if member == "phone" else {"phone": "+15125550137"}
    client.call("Leads_CreateIntake", sent)
    lead = str(Lead.objects.get().id)
    ask = {
        "LeadMetadata": lambda: client.call("Leads_GetForCurrentUser", id=lead),
        "LeadTableRow": lambda: client.call("Leads_GetAllForCurrentUser", {}),
        "SourceTableRow": lambda: client.call("Sources_GetAllForCurrentUser", {}),
    }[shape]
    ask()
    monkeypatch.delitem(EXCEPTIONS, (shape, member))
    with pytest.raises(AssertionError, match=member):
        ask()


def test_amounts_of_intake_are_texts_unless_it_is_set_otherwise(
    client: ReferenceClient, settings: Any
) -> None:
    settings.INTAKE_HAS_NUMBERS = False
    with pytest.raises(AssertionError, match=r"metadata.price"):
        client.call("Leads_CreateExternal", SENT)


def test_numbers_of_a_person_are_rounded_to_whole_ones(client: ReferenceClient) -> None:
    posted = client.call("Leads_CreateExternal", raw=body({"customer": {"weight": 150.6}}))
    assert Lead.objects.get().weight == Decimal("150.6")
    lead = client.call("Leads_GetForCurrentUser", id=posted["id"])
    assert typed(lead["customer"]["weight"]) == typed(151)


def body(members: dict[str, Any]) -> bytes:
    """Return a structured post of somebody with these members besides."""
    return json.dumps({"contact": {"phone": {"number": "+15125550137"}}, **members}).encode()


# --- every operation ------------------------------------------------------------------------------


def test_every_operation_answers_as_it_is_described(client: ReferenceClient) -> None:
    call = client.call
    # leads
    id = call("Leads_CreateExternal", SENT)["id"]
    call("Leads_CreateIntake", {"phone": "+15125550199"})
    call("Leads_CreateIntakeFromQuery", Email="eve@example.com")
    call("Leads_GetForCurrentUser", id=id)
    call("Leads_Update", {"contact": {"firstName": "Eve"}}, id=id)
    assert call("Leads_Archive", {"reason": 3, "note": "Sold"}, id=id)["archiveReason"] == 3
    assert call("Leads_GetAllForCurrentUser", {}, archiveFilter="archived")["items"][0]["id"] == id
    assert call("Leads_Unarchive", id=id)["isArchived"] is False
    # tags
    tag = call("Tags_Create", {"name": "new", "description": "b"})
    assert tag["organizationId"] == tag["businessId"]
    call("Tags_Update", {"name": "newer", "color": "#000000"}, id=tag["id"])
    tags = call("Tags_GetAllForCurrentOrganization", includeArchived=False)
    assert [one["name"] for one in tags] == ["newer", "solar", "vip"]
    call("Leads_AddTags", {"tagIds": [tag["id"]], "tagNames": []}, id=id)
    call("Leads_ReplaceTags", {"tagIds": [], "tagNames": ["vip", "newer"]}, id=id)
    lead = call("Leads_RemoveTag", id=id, tagId=tag["id"])
    assert [one["name"] for one in lead["tags"]] == ["vip"]
    assert call("Tags_Archive", id=tag["id"]) is True
    # sources
    made = call(
        "Sources_Create",
        {
            **{"name": "mine", "description": "a", "enabled": True, "costPerLead": 12.5},
            **{"allowedStates": ["TX"], "allowedProducts": ["Solar"], "defaultTagIds": []},
            **{"requiresTrustedForm": True, "defaultTagNames": ["vip"]},
        },
    )
    assert made["apiKey"].startswith("lp_src_")
    source = call("Sources_Get", id=made["id"])
    assert (source["apiKey"], typed(source["costPerLead"])) == (None, typed(12.5))
    assert [one["name"] for one in source["defaultTags"]] == ["vip"]
    assert call("Sources_Update", {"name": "yours"}, id=made["id"])["allowedStates"] == ["TX"]
    page = call("Sources_GetAllForCurrentUser", {"orderBy": [{"field": "name"}]})
    assert "yours" in [one["name"] for one in page["items"]]
    now = timezone.now()
    metrics = call("Sources_GetMetrics", id=made["id"], startAt=now - timedelta(days=2), endAt=now)
    assert [one["value"] for one in metrics["points"]] == [0, 0, 0]
    call("Sources_Delete", id=made["id"])
    # suppressions
    who = {
        **{"organizationId": lead["metadata"]["organizationId"], "phoneNumber": "+15125550137"},
        **{"channel": "SMS", "reason": "asked"},
    }
    entry = call("Suppressions_Suppress", who)
    assert call("Suppressions_Get", id=entry["id"])["audit"][0]["status"] == "active"
    assert call("Suppressions_Check", who)["allowed"] is False
    page = call("Suppressions_GetAllForCurrentOrganization", {"includeCount": True})
    assert page["totalCount"] == 1
    assert call("Suppressions_Release", who)["releasedAt"]
    assert call("Suppressions_Check", who)["allowed"] is True
    call("Leads_Delete", id=id)
    assert client.ask("Leads_GetForCurrentUser", id=id)[0] == 404
    told = [one for methods in client.description["paths"].values() for one in methods.values()]
    assert client.called == {one["operationId"] for one in told}


# --- what clients do ------------------------------------------------------------------------------


def test_a_lead_that_is_read_and_put_back_stays_as_it_is(client: ReferenceClient) -> None:
    id = client.call("Leads_CreateExternal", SENT)["id"]
    lead = client.call("Leads_GetForCurrentUser", id=id)
    # Clients write times with an offset and their own digits, and leave out what is null.
    text = re.sub(r"\.(\d{3})Z\"", r'.\g<1>0000+00:00"', json.dumps(lead))
    put = client.call("Leads_Update", json.loads(text), id=id)
    assert typed(put) == typed(lead)
    assert put["modifiedAt"] is None


def test_a_put_keeps_what_is_left_out(client: ReferenceClient) -> None:
    id = client.call("Leads_CreateExternal", SENT)["id"]
    before = client.call("Leads_GetForCurrentUser", id=id)
    client.call("Leads_Update", {"contact": {"firstName": "Eve"}}, id=id)
    after = client.call("Leads_GetForCurrentUser", id=id)
    assert after["contact"] == before["contact"] | {"firstName": "Eve"}
    assert (after["metadata"], after["customer"]) == (before["metadata"], before["customer"])


def test_a_blocked_lead_that_is_put_back_as_approved_stays_blocked(
    client: ReferenceClient, source: Source
) -> None:
    Source.objects.filter(id=source.id).update(allowed_states=["NM"])
    source.refresh_from_db()
    source.save()
    id = client.call("Leads_CreateExternal", SENT)["id"]
    lead = client.call("Leads_GetForCurrentUser", id=id)
    assert lead["metadata"]["complianceStatus"] == "Blocked"
    lead["metadata"] |= {"complianceStatus": "Approved", "complianceBlockedReason": None}
    put = client.call("Leads_Update", lead, id=id)
    assert put["metadata"]["complianceStatus"] == "Blocked"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("price", 12.5),
        ("price", "12.5"),
        ("directPostPrice", 0.0125),
        ("isTest", False),
        ("isTest", "false"),
        ("enabled", True),
        ("complianceStatus", "Approved"),
        ("externalId", "external-1"),
        ("sourceId", None),
        ("createdAt", None),
        ("phone", "+15125550137"),
        ("postalCode", "78701"),
        ("postalCode", 78701),
    ],
)
def test_a_filter_is_compared_by_the_type_of_its_field(
    client: ReferenceClient, field: str, value: Any
) -> None:
    id = client.call("Leads_CreateExternal", SENT)["id"]
    client.call("Leads_CreateIntake", {"phone": "+15125550199", "price": 1})
    lead = client.call("Leads_GetForCurrentUser", id=id)
    if value is None:
        value = {"sourceId": lead["metadata"]["sourceId"], "createdAt": lead["createdAt"]}[field]
    wanted = {"filters": [{"field": field, "value": value}]}
    items = client.call("Leads_GetAllForCurrentUser", wanted)["items"]
    assert id in [one["id"] for one in items]
    if field not in ("isTest", "enabled", "complianceStatus", "sourceId"):
        assert len(items) == 1


@pytest.mark.parametrize(
    ("written", "price"), [("100.0", 100.0), ("5e-05", None), ("5E-2", 0.05), ("1e2", 100.0)]
)
def test_a_price_is_read_however_a_client_writes_a_double(
    client: ReferenceClient, written: str, price: float | None
) -> None:
    raw = body({"metadata": {"price": 0}}).replace(b'"price": 0', f'"price": {written}'.encode())
    status, posted = client.ask("Leads_CreateExternal", raw=raw)
    if price is None:  # it has five decimals: refused by name, not rounded away
        assert status == 400
        assert list(posted["errors"]) == ["metadata.price"]
        return
    assert status == 201
    lead = client.call("Leads_GetForCurrentUser", id=posted["id"])
    assert lead["metadata"]["price"] == price


@pytest.mark.parametrize(
    ("ends", "count"),
    [
        ((5e-05, 100.0), 1),
        ((12.6, 100.0), 0),
        (("12.5", 12.5), 1),
        ((12.50001, 100.0), 0),
        ((12.49999, 12.50001), 1),
        ((0, 12.49999), 0),
        ((-1e300, 1e300), 1),
    ],
)
def test_a_range_of_prices_may_be_written_as_doubles(
    client: ReferenceClient, ends: Any, count: int
) -> None:
    client.call("Leads_CreateExternal", SENT)
    is_end = 12.5 in map(float, ends)
    for least, most, found in (
        ("greaterThanOrEqual", "lessThanOrEqual", count),
        ("greaterThan", "lessThan", 0 if is_end else count),
    ):
        wanted = {"field": "price", least: ends[0], most: ends[1]}
        page = client.call("Leads_GetAllForCurrentUser", {"rangeFilters": [wanted]})
        assert len(page["items"]) == found


def test_no_price_equals_one_that_is_finer(client: ReferenceClient) -> None:
    client.call("Leads_CreateExternal", SENT)
    for value, count in ((12.50001, 0), (5e-05, 0), (1e300, 0), (1.25e1, 1)):
        wanted = {"filters": [{"field": "price", "value": value}]}
        page = client.call("Leads_GetAllForCurrentUser", wanted)
        assert len(page["items"]) == count
