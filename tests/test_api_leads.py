"""Leads in the read API: read, changed, tagged, archived and deleted."""

from datetime import date
from typing import Any

import pytest

from intake.models import Post
from leads.changes import LeadChange
from leads.counts import Recount
from leads.models import Disclosure, Lead, LookBack, Review
from sources.models import Tag
from sources.rules import Mode, Rule
from sources.tokens import Scope
from tests.api import Api
from tests.factories import CERTIFICATE, Door, flat_post, make_source, make_tombstone, suppress

pytestmark = pytest.mark.django_db

READS = [Scope.LEADS_READ, Scope.LEADS_WRITE]
WHOLE: dict[str, Any] = {
    "metadata": {
        **{"trustedFormUrl": CERTIFICATE, "utmSource": "ads", "utmMedium": "cpc", "utmTerm": "t"},
        **{"utmCampaign": "summer", "utmContent": "blue", "referrer": "https://ref.example/a"},
        **{"landingPage": "https://land.example/b", "subId": "s1", "pubId": "p1"},
        **{"externalId": "e1", "sellerLeadId": "l1", "price": 12.5, "directPostPrice": 0.0005},
        **{"product": "auto", "vertical": "insurance", "sourceMetadata": {"plan": "gold"}},
    },
    "contact": {
        **{"firstName": "Ada", "lastName": "Moreno", "email": "ada@example.com"},
        "phone": {"number": "+15125550137", "type": "Mobile"},
        "streetAddress": {
            **{"line1": "98 San Jacinto Blvd", "line2": "4", "city": "Austin", "state": "TX"},
            **{"postalCode": "78701", "province": "P", "region": "R", "country": "US"},
            "additionalInfo": "Ring twice",
        },
    },
    "customer": {
        **{"gender": "F", "height": 170, "weight": 65, "birthDate": "1984-07-19"},
        **{"maritalStatus": "Single", "income": 85000, "isHomeowner": True},
        **{"monthsAtResidence": 30, "creditScore": 700, "hasBankruptcy": False},
        **{"employmentType": "Employed", "numberOfDependents": 2, "hasMedicalCondition": False},
    },
}


@pytest.fixture
def api(door: Door) -> Api:
    """Return a client with every scope."""
    return Api(door.source.business)


def whole(door: Door) -> str:
    """Post a lead with every field; return its path."""
    made = Door(door.source, door.key, "/leads").post(WHOLE)
    assert made.status_code == 201, made.json()
    return f"/leads/{made.json()['id']}"


def put(api: Api, path: str, **contact: Any) -> Any:
    """Change the contact of a lead."""
    return api.put(path, {"contact": contact})


# --- read -----------------------------------------------------------------------------------------


def test_every_value_that_was_posted_is_read_back_with_its_type(door: Door, api: Api) -> None:
    found = api.get(whole(door)).json()
    for part, members in WHOLE.items():
        for name, value in members.items():
            got = found[part][name]
            if isinstance(value, dict):
                assert got.items() >= value.items(), name
            else:
                assert (got, type(got)) == (value, type(value)), name
    assert found["businessId"] == found["organizationId"] == str(door.source.business_id)
    assert found["metadata"]["organizationId"] == found["metadata"]["businessId"]
    assert (found["enabled"], found["isArchived"], found["tags"]) == (True, False, [])


def test_what_has_a_fraction_is_read_as_the_whole_number_that_is_nearest(
    door: Door, api: Api
) -> None:
    body = {**WHOLE, "customer": {"height": 170.6, "income": "85000.25"}}
    path = f"/leads/{Door(door.source, door.key, '/leads').post(body).json()['id']}"
    customer = api.get(path).json()["customer"]
    assert (customer["height"], customer["income"]) == (171, 85000)
    api.put(path, api.get(path).json())
    assert str(Lead.objects.get().height) == "170.6000"


def test_reading_a_person_is_on_record_before_it_is_shown(door: Door, api: Api) -> None:
    path = whole(door)
    api.get(path)
    (row,) = Disclosure.objects.all()
    assert (row.how, row.token, row.lead_id) == ("api", api.token, Lead.objects.get().id)
    assert api.token
    assert row.by == api.token.created_by
    api.post("/leads/all/my")
    assert Disclosure.objects.count() == 2


def test_without_personal_data_nothing_of_a_person_is_shown_nor_on_record(door: Door) -> None:
    path = whole(door)
    api = Api(door.source.business, READS)
    answer = api.get(path)
    row = api.post("/leads/all/my")
    found = answer.json()
    assert answer.headers["Leadping-Masked"] == row.headers["Leadping-Masked"] == "true"
    assert found["contact"]["phone"]["number"] == "+1512•••••37"
    assert found["contact"]["email"] == "a•••@e•••.com"
    assert row.json()["items"][0]["firstName"] == "A•••"
    assert set(found["customer"].values()) == {None}
    assert found["metadata"]["sourceMetadata"] == {"plan": "•••"}
    said = answer.content.decode() + row.content.decode()
    for secret in (
        "5550137",
        "ada@",
        "Moreno",
        "Jacinto",
        "1984",
        "85000",
        "gold",
        "land.example/b",
    ):
        assert secret not in said
    assert not Disclosure.objects.exists()


def test_a_lead_that_is_another_businesss_gone_or_unknown_is_404_in_the_same_bytes(
    door: Door, api: Api, django_assert_num_queries: Any
) -> None:
    other = Door(make_source()).send().json()["id"]
    gone = make_tombstone(Lead.objects.get(id=door.send(externalId="x").json()["id"])).id
    bodies = set()
    for one in (other, gone, "00000000-0000-7000-8000-000000000000"):
        path = f"/leads/{one}"
        api.get(path)  # notes the use of the token
        with django_assert_num_queries(3):  # token, rate, lead
            answer = api.get(path, headers={"X-Request-Id": "same-for-all"})
        assert answer.status_code == 404
        bodies.add(answer.content.replace(str(one).encode(), b"id"))
    assert len(bodies) == 1
    assert Lead.objects.filter(id=other, modified_at=None).exists()


# --- change ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scopes", [list(Scope), READS])
def test_a_lead_that_is_read_and_put_back_changes_nothing(door: Door, scopes: Any) -> None:
    path = whole(door)
    api = Api(door.source.business, scopes)
    read = api.get(path).json()
    read["createdAt"] = read["createdAt"].replace("Z", "+00:00")
    back = api.put(path, read)
    assert back.status_code == 200, back.json()
    assert back.json()["modifiedAt"] is None
    assert not LeadChange.objects.exists()


def test_a_change_is_on_record_with_what_was_before(door: Door, api: Api) -> None:
    path = whole(door)
    Recount.objects.all().delete()
    body = {
        "contact": {"firstName": "Eve", "phone": "(512) 555-0199", "streetAddress": {"zip": 78702}},
        "customer": {"birthDate": "1985-01-02", "income": 1e5},
        "metadata": {"price": 100.0, "sourceMetadata": {"plan": "silver"}},
    }
    answer = api.put(path, body)
    assert answer.status_code == 200, answer.json()
    found = answer.json()
    assert found["contact"]["firstName"] == "Eve"
    assert found["contact"]["lastName"] == "Moreno"  # omitted, so it stays
    assert found["contact"]["phone"]["number"] == "+15125550199"
    assert found["contact"]["streetAddress"]["postalCode"] == "78702"
    assert found["customer"]["income"] == 100000
    assert found["metadata"]["price"] == 100.0
    assert found["modifiedAt"] is not None
    lead = Lead.objects.get()
    assert (lead.name_key, lead.posted_phone) == ("moreno eve", "+15125550137")
    (row,) = LeadChange.objects.all()
    assert row.before["birth_date"] == "1984-07-19"
    assert row.after["birth_date"] == "1985-01-02"
    assert row.before["source_metadata"] == {"plan": "gold"}
    assert api.token
    assert (row.what, row.by, row.token) == ("change", api.token.created_by, api.token)
    assert Recount.objects.get().received_at == lead.received_at


def test_null_and_blank_keep_what_there_is(door: Door, api: Api) -> None:
    path = whole(door)
    body = {"contact": {"firstName": None, "lastName": "", "phone": None}, "customer": None}
    assert api.put(path, body).json()["contact"]["lastName"] == "Moreno"
    assert not LeadChange.objects.exists()


def test_every_fault_of_a_change_is_told_and_nothing_is_changed(door: Door, api: Api) -> None:
    path = whole(door)
    body = {
        "contact": {"firstName": "Eve", "phone": {"number": "12"}, "email": "no"},
        "customer": {"maritalStatus": "Odd", "isHomeowner": "yes"},
        "metadata": {"externalId": "another"},
    }
    answer = api.put(path, body)
    assert answer.status_code == 400
    assert {one["pointer"]: one["code"] for one in answer.json()["faults"]} == {
        "#/contact/phone/number": "invalid-phone",
        "#/contact/email": "invalid-email",
        "#/customer/maritalStatus": "invalid-choice",
        "#/customer/isHomeowner": "invalid-type",
        "#/metadata/externalId": "not-changeable",
    }
    assert Lead.objects.get().first_name == "Ada"


def test_without_personal_data_a_person_may_not_be_changed_but_the_rest_may(door: Door) -> None:
    path = whole(door)
    api = Api(door.source.business, READS)
    refused = api.put(path, {"contact": {"firstName": "Eve"}, "customer": {"income": 85000}})
    assert refused.status_code == 403
    # Right or wrong guesses are answered alike.
    assert sorted(refused.json()["errors"]) == ["contact.firstName", "customer.income"]
    assert Lead.objects.get().first_name == "Ada"
    assert api.put(path, {"metadata": {"product": "home"}}).json()["metadata"]["product"] == "home"


def test_what_the_server_owns_is_ignored_and_named(door: Door, api: Api) -> None:
    door.source.set_mode(Rule.CONSENT_MISSING, Mode.HOLD)
    door.source.is_trusted_form_required = True
    door.source.save()
    made = door.send().json()
    assert made["metadata"]["complianceStatus"] == "Blocked"
    body = {
        **{"id": "x", "enabled": False, "isArchived": True, "odd": 1},
        "metadata": {"complianceStatus": "Approved", "smsOptedOut": True, "userId": "9"},
    }
    answer = api.put(f"/leads/{made['id']}", body)
    assert answer.status_code == 200
    assert answer.json()["metadata"]["complianceStatus"] == "Blocked"
    assert answer.headers["Leadping-Ignored-Fields"] == (
        "enabled, id, isArchived, metadata.complianceStatus, metadata.smsOptedOut, "
        "metadata.userId, odd"
    )
    assert not LeadChange.objects.exists()


# --- a change is no way around a block ------------------------------------------------------------


def test_a_change_to_a_suppressed_person_blocks_the_lead_and_is_looked_back(
    door: Door, api: Api
) -> None:
    suppress("+15125550199", door.source.business)
    path = f"/leads/{door.send().json()['id']}"
    answer = put(api, path, phone="5125550199")
    assert answer.json()["metadata"]["complianceStatus"] == "Blocked"
    assert answer.json()["metadata"]["smsConsentStatus"] == "OptedOut"
    assert Review.objects.get().decision == "suppress"
    assert LookBack.objects.get().lead == Lead.objects.get()


@pytest.mark.parametrize(
    ("settings", "body", "code"),
    [
        ({"allowed_states": ["TX"]}, {"contact": {"streetAddress": {"state": "NY"}}}, "state-"),
        ({"allowed_products": ["auto"]}, {"metadata": {"product": "home"}}, "product-"),
        ({"allowed_verticals": ["insurance"]}, {"metadata": {"vertical": "x"}}, "vertical-"),
        ({}, {"contact": {"phone": "+12025550"}}, "phone-invalid"),
        ({}, {"customer": {"birthDate": f"{date.today().year - 5}-01-01"}}, "underage"),
        ({}, {"metadata": {"trustedFormUrl": "https://example.com/x"}}, "consent-malformed"),
    ],
)
def test_a_change_that_no_new_lead_could_have_blocks_an_approved_one(
    settings: Any, body: Any, code: str
) -> None:
    door = Door(make_source(**settings))
    path = whole(door)
    api = Api(door.source.business)
    assert api.get(path).json()["metadata"]["complianceStatus"] == "Approved"
    answer = api.put(path, body)
    if code == "phone-invalid":
        answer = api.put(path, {"contact": {"phone": "+1 555 555 0137"}})
    assert answer.status_code == 200, answer.json()
    assert answer.json()["metadata"]["complianceStatus"] == "Blocked"
    assert answer.json()["metadata"]["complianceBlockedReason"]
    review = Review.objects.get()
    assert review.decision == "change"
    assert review.findings_after[-1]["code"].startswith(code)
    lead = Lead.objects.get()
    assert lead.found.startswith(code)
    assert lead.desk_tab is not None


def test_a_change_to_somebody_who_is_known_blocks_and_to_nobody_does_not(
    door: Door, api: Api
) -> None:
    door.send(phone="5125550111", email=...)
    path = f"/leads/{door.send(email=...).json()['id']}"
    assert put(api, path, phone="5125550112").json()["metadata"]["complianceStatus"] == "Approved"
    assert put(api, path, phone="5125550111").json()["metadata"]["complianceStatus"] == "Blocked"
    assert Lead.objects.get(id=path[7:]).found == "duplicate:hold"


def test_a_blocked_lead_stays_so_whatever_is_changed(door: Door, api: Api) -> None:
    suppress("+15125550137", door.source.business)
    path = f"/leads/{door.send().json()['id']}"
    answer = put(api, path, phone="5125550199", email="eve@example.com")
    assert answer.json()["metadata"]["complianceStatus"] == "Blocked"
    assert not Review.objects.exists()


def test_a_change_of_rules_alone_does_not_block_a_lead_that_is_changed_elsewhere(
    door: Door, api: Api
) -> None:
    path = whole(door)
    door.source.allowed_states = ["NY"]
    door.source.save()
    assert put(api, path, firstName="Eve").json()["metadata"]["complianceStatus"] == "Approved"


def test_consent_to_texts_is_of_the_phone_that_it_was_given_for(door: Door, api: Api) -> None:
    door.source.is_sms_consent_covered = True
    door.source.save()
    path = whole(door)
    metadata = api.get(path).json()["metadata"]
    assert (metadata["smsConsentStatus"], metadata["smsConsentPhoneNumber"]) == (
        "OptedIn",
        "+15125550137",
    )
    metadata = put(api, path, phone="5125550199").json()["metadata"]
    assert (metadata["smsConsentStatus"], metadata["smsConsentPhoneNumber"]) == ("Unknown", None)


def test_a_repeat_is_told_by_what_was_posted_first(door: Door, api: Api) -> None:
    made = door.send(externalId="e9").json()
    put(api, f"/leads/{made['id']}", phone="5125550199", email="eve@example.com")
    again = door.send(externalId="e9")
    assert (again.status_code, again.json()["id"]) == (201, made["id"])
    assert again.json()["contact"]["phone"]["number"] == "+15125550199"


# --- tags -----------------------------------------------------------------------------------------


def names(answer: Any) -> list[str]:
    return [one["name"] for one in answer.json()["tags"]]


def test_tags_are_added_replaced_and_taken_off_on_record(door: Door, api: Api) -> None:
    path = f"/leads/{door.send().json()['id']}"
    hot = Tag.objects.create(business=door.source.business, name="Hot")
    assert names(api.post(f"{path}/tags", {"tagIds": [str(hot.id)], "tagNames": ["HOT"]})) == [
        "Hot"
    ]
    made = api.post(f"{path}/tags", {"tagNames": ["cold"], "createMissing": True})
    assert names(made) == ["Hot", "cold"]
    assert names(api.put(f"{path}/tags", {"tagNames": ["cold"]})) == ["cold"]
    cold = Tag.objects.get(name="cold")
    assert api.token
    assert cold.created_by == api.token.created_by
    assert names(api.delete(f"{path}/tags/{cold.id}")) == []
    assert api.delete(f"{path}/tags/{cold.id}").status_code == 404
    assert [one.after["tags"] for one in LeadChange.objects.all()] == [
        ["Hot"],
        ["Hot", "cold"],
        ["cold"],
        [],
    ]


def test_tags_that_are_not_there_archived_or_anothers_are_refused(door: Door, api: Api) -> None:
    path = f"/leads/{door.send().json()['id']}/tags"
    old = Tag.objects.create(business=door.source.business, name="old")
    old.archive(old.created_at)
    theirs = Tag.objects.create(business=make_source().business, name="theirs")
    for body in (
        *({"tagIds": [str(one.id)]} for one in (old, theirs)),
        *({"tagNames": [one]} for one in ("old", "theirs", "none")),
        {"tagIds": ["no id"]},
    ):
        refused = api.post(path, body)
        assert refused.status_code == 400
        assert refused.json()["faults"][0]["code"] == "unknown-tag"
    assert api.post(path, {"tagIds": "x", "createMissing": "y"}).status_code == 400
    assert not LeadChange.objects.exists()


# --- archived and deleted -------------------------------------------------------------------------


def test_a_lead_is_archived_and_taken_back(door: Door, api: Api) -> None:
    path = f"/leads/{door.send().json()['id']}"
    answer = api.post(f"{path}/archive", {"reason": 3, "note": "Wrong number"}).json()
    assert (answer["isArchived"], answer["archiveReason"], answer["archiveNote"]) == (
        True,
        3,
        "Wrong number",
    )
    assert api.token
    assert answer["archivedByUserId"] == str(api.token.created_by_id)
    again = api.post(f"{path}/archive", {"reason": 4}).json()
    assert (again["archiveReason"], again["archivedAt"]) == (3, answer["archivedAt"])
    assert api.post("/leads/all/my").json()["items"] == []
    back = api.post(f"{path}/unarchive").json()
    assert (back["isArchived"], back["archiveReason"], back["archivedAt"]) == (False, None, None)
    assert api.post(f"{path}/archive").json()["archiveReason"] is None  # without any body
    assert [one.what for one in LeadChange.objects.all()] == ["archive", "unarchive", "archive"]


@pytest.mark.parametrize(
    "body", [{"reason": 10}, {"reason": -1}, {"reason": "x"}, {"note": "n" * 501}]
)
def test_an_archiving_that_cannot_be_kept_is_refused(door: Door, api: Api, body: Any) -> None:
    path = f"/leads/{door.send().json()['id']}"
    assert api.post(f"{path}/archive", body).status_code == 400
    assert not api.get(path).json()["isArchived"]


def test_a_deleted_lead_is_gone_but_still_the_answer_to_a_repeat(door: Door, api: Api) -> None:
    suppress("+15125550137", door.source.business)
    made = door.send(externalId="e1").json()
    path = f"/leads/{made['id']}"
    assert Lead.objects.get().desk_tab == "suppressed"
    answer = api.delete(path)
    assert (answer.status_code, answer.content) == (204, b"")
    for again in (
        api.get(path),
        api.delete(path),
        api.put(path, {}),
        api.post(f"{path}/archive"),
        api.post(f"{path}/tags", {"tagNames": []}),
    ):
        assert again.status_code == 404
    assert api.post("/leads/all/my?archiveFilter=all").json()["items"] == []
    assert Lead.objects.get().desk_tab is None
    assert door.send(externalId="e1").json()["id"] == made["id"]
    assert Post.objects.count() == 2
    assert LeadChange.objects.get().what == "delete"


def test_numbers_out_of_intake_are_texts_unless_set_otherwise(door: Door, settings: Any) -> None:
    assert door.post(flat_post(price=10, externalId="a")).json()["metadata"]["price"] == "10.00"
    settings.INTAKE_HAS_NUMBERS = True
    answer = door.post(flat_post(price=10, externalId="a")).json()
    assert answer["metadata"]["price"] == 10.0
