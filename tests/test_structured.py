"""Structured posts, shaped like the answer: contract §5."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intake.bodies import Number, read_json
from intake.fields import FLAT, FURTHER_FIELDS, PLACES, SERVER_OWNED, STRUCTURED, with_names
from intake.models import Post
from intake.reading import Reading
from intake.reading import read as read_post
from intake.serializers import StructuredLeadSerializer
from leads.models import Lead
from sources.names import FLAT_FIELDS
from sources.rules import Mode, Rule
from tests.factories import CERTIFICATE, Door, flat_post, make_source
from tests.test_answer import FULL_POST
from tests.test_fields import assert_agree

FULL: dict[str, Any] = {
    "metadata": {
        "trustedFormUrl": CERTIFICATE,
        "utmSource": "google",
        "utmMedium": "cpc",
        "utmCampaign": "spring",
        "utmTerm": "solar",
        "utmContent": "ad-1",
        "referrer": "https://example.com/a",
        "landingPage": "https://example.com/b",
        "subId": "sub-1",
        "pubId": "pub-1",
        "externalId": 991,
        "sellerLeadId": "seller-1",
        "price": 12.5,
        "directPostPrice": "10",
        "product": "Solar",
        "vertical": "Home",
        "sourceMetadata": {"b": 2, "a": True, "c": "x", "n": None},
    },
    "contact": {
        "firstName": " Ada ",
        "lastName": "Moreno",
        "email": "Ada.Moreno+x@Example.COM",
        "phone": {"number": "(512) 555-0137 ext 9", "type": "cell"},
        "streetAddress": {
            "line1": "98 San Jacinto Blvd",
            "line2": "Suite 4",
            "city": "Austin",
            "state": "texas",
            "postalCode": "78701",
        },
    },
    "customer": {"gender": "female", "birthDate": "1984-07-19"},
}


@pytest.fixture
def structured(door: Door) -> Door:
    """Return the door for structured posts."""
    door.path = "/leads"
    return door


def read(body: Any) -> Reading:
    """Read a structured post from its JSON."""
    members = read_json(json.dumps(body).encode())
    return read_post(members, STRUCTURED, is_structured=True)


def comparable(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer without what two leads do not share."""
    metadata = {k: v for k, v in answer["metadata"].items() if k not in ("createdAt", "externalId")}
    return {"metadata": metadata, "contact": answer["contact"], "customer": answer["customer"]}


@pytest.mark.parametrize("path", ["/leads", "/leads/"])
def test_a_structured_post_makes_the_lead_that_the_flat_one_makes(door: Door, path: str) -> None:
    door.source.duplicate_window_days = 0
    door.source.save(update_fields=["duplicate_window_days"])
    flat = door.post(FULL_POST | {"externalId": "other"})
    door.path = path
    response = door.post(FULL)
    assert response.status_code == 201
    assert comparable(response.json()) == comparable(flat.json())
    assert response.headers["Location"] == f"/leads/{response.json()['id']}"
    assert "Leadping-Ignored-Fields" not in response.headers
    assert Post.objects.get(lead=response.json()["id"]).path == path


def test_what_only_a_structured_post_has_comes_back(structured: Door) -> None:
    address = {
        "province": "Ontario",
        "region": "North",
        "country": "CA",
        "additionalInfo": "Gate 3",
        "zip": "K1A 0B1",
        "address1": "1 Main St",
    }
    customer = {
        "height": 180,
        "weight": "75.50",
        "maritalStatus": "married",
        "income": 1e5,
        "isHomeowner": True,
        "monthsAtResidence": 12,
        "creditScore": "700",
        "hasBankruptcy": False,
        "employmentType": "part-time",
        "numberOfDependents": 0,
        "hasMedicalCondition": None,
    }
    response = structured.post(
        {"contact": {"phone": "512-555-0137", "streetAddress": address}, "customer": customer}
    )
    assert response.status_code == 201
    answer = response.json()
    assert answer["contact"]["streetAddress"] == {
        "line1": "1 Main St",
        "line2": None,
        "city": None,
        "state": None,
        "province": "Ontario",
        "region": "North",
        "postalCode": "K1A 0B1",
        "country": "CA",
        "additionalInfo": "Gate 3",
    }
    assert answer["customer"] == {
        "gender": None,
        "height": "180",
        "weight": "75.5",
        "birthDate": None,
        "maritalStatus": "Married",
        "income": "100000",
        "isHomeowner": True,
        "monthsAtResidence": "12",
        "creditScore": "700",
        "hasBankruptcy": False,
        "employmentType": "PartTime",
        "numberOfDependents": "0",
        "hasMedicalCondition": None,
    }


@pytest.mark.parametrize(
    ("contact", "phone"),
    [
        ({"phone": "512 555 0137"}, {"number": "+15125550137", "type": None}),
        ({"phone": 5125550137}, {"number": "+15125550137", "type": None}),
        ({"phone": 5125550137, "phoneType": "cell"}, {"number": "+15125550137", "type": "Mobile"}),
        (
            {"Phone": {"Number": "512 555 0137", "TYPE": "voip"}},
            {"number": "+15125550137", "type": "VoIP"},
        ),
        ({"phone": "", "email": "ada@example.com"}, None),
        ({"phone": {}, "email": "ada@example.com"}, None),
        ({"phone": None, "email": "ada@example.com"}, None),
    ],
)
def test_a_phone_may_be_an_object_or_bare(structured: Door, contact: Any, phone: Any) -> None:
    response = structured.post({"contact": contact})
    assert response.status_code == 201
    assert response.json()["contact"]["phone"] == phone


def test_aliases_and_spellings_hold_at_every_level(structured: Door) -> None:
    response = structured.post(
        {
            "Meta_Data": {
                "seller-lead-identifier": "s",
                "xxTrustedFormCertUrl": CERTIFICATE,
                "sourceMetadata": {"birthDate": "as it is", "x_y": "z"},
            },
            "Contact": {
                "mail": "ignored",
                "Email": "ada@example.com",
                "street_address": {"Postal-Code": "78701", "zip": "78701-1234"},
            },
            "customer": {"dateOfBirth": "1984-07-19"},
        }
    )
    assert response.status_code == 201
    answer = response.json()
    assert answer["metadata"]["sellerLeadId"] == "s"
    assert answer["metadata"]["trustedFormUrl"] == CERTIFICATE
    assert answer["metadata"]["sourceMetadata"] == {"birthDate": "as it is", "x_y": "z"}
    assert answer["contact"]["streetAddress"]["postalCode"] == "78701-1234"
    assert answer["customer"]["birthDate"] == "1984-07-19"
    assert response.headers["Leadping-Ignored-Fields"] == "Contact.mail"


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({}, {"contact.phone.number": "missing-contact", "contact.email": ...}),
        ({"contact": None}, {"contact.phone.number": "missing-contact", "contact.email": ...}),
        (
            {"phone": "5125550137"},
            {"contact.phone.number": "missing-contact", "contact.email": ...},
        ),
        ({"contact": {"phone": {"number": "1"}}}, {"contact.phone.number": "invalid-phone"}),
        ({"contact": {"phone": "1"}}, {"contact.phone": "invalid-phone"}),
        ({"contact": {"phone": True}}, {"contact.phone": "invalid-type"}),
        ({"contact": {"phone": ["x"]}}, {"contact.phone": "invalid-type"}),
        (
            {"contact": "x"},
            {"contact": "invalid-type", "contact.phone.number": ..., "contact.email": ...},
        ),
        ({"metadata": []}, {"metadata": "invalid-type"}),
        ({"customer": {"maritalStatus": "Complicated"}}, {"customer.maritalStatus": ...}),
        ({"customer": {"employmentType": "x"}}, {"customer.employmentType": "invalid-choice"}),
        ({"customer": {"isHomeowner": "true"}}, {"customer.isHomeowner": "invalid-type"}),
        ({"customer": {"isHomeowner": 1}}, {"customer.isHomeowner": "invalid-type"}),
        ({"customer": {"income": "1e5"}}, {"customer.income": "invalid-decimal"}),
        ({"customer": {"income": "lots"}}, {"customer.income": "invalid-decimal"}),
        ({"customer": {"birthDate": "1984-02-30"}}, {"customer.birthDate": "invalid-date"}),
        (
            {"metadata": {"price": "x", "sourceMetadata": {"a": {"b": 1}}}},
            {"metadata.price": "invalid-decimal", "metadata.sourceMetadata": "invalid-type"},
        ),
        (
            {"contact": {"streetAddress": {"zip": "78701", "postalCode": "78702"}}},
            {
                "contact.streetAddress.zip": "conflicting-values",
                "contact.streetAddress.postalCode": "conflicting-values",
            },
        ),
        (
            {"contact": {"firstName": "Ada"}, "Contact": {"first_name": "Eve"}},
            {"contact.firstName": "conflicting-values", "Contact.first_name": ...},
        ),
        ({"tagIds": "x"}, {"tagIds": "invalid-type"}),
    ],
)
def test_faults_are_told_with_nested_names(structured: Door, body: Any, faults: Any) -> None:
    sent = dict(body)
    if "contact.email" not in faults:  # let nothing else be wrong
        sent["contact"] = {"email": "ada@example.com"} | body.get("contact", {})
    response = structured.post(sent)
    assert response.status_code == 400
    told = response.json()
    found = {one["field"]: one["code"] for one in told["faults"]}
    assert found.keys() == faults.keys() == told["errors"].keys()
    assert {name: code for name, code in faults.items() if code is not ...}.items() <= found.items()
    for one in told["faults"]:
        assert one["pointer"] == "#/" + one["field"].replace(".", "/")
    assert Lead.objects.count() == 0


@pytest.mark.parametrize(
    ("literal", "stored"),
    [
        ("100.0", "100.00"),
        ("1E2", "100.00"),
        ("1.0E7", "10000000.00"),
        ("1.25e1", "12.50"),
        ("5e-4", "0.0005"),
        ("-0.0", "0.00"),
        ("5e-05", None),
        ("1e9", None),
        ("1e999999999", None),
        ("1e-999999999", None),
        ('"1e2"', None),
    ],
)
def test_a_json_number_may_have_an_exponent(
    structured: Door, literal: str, stored: str | None
) -> None:
    body = '{"contact": {"phone": "5125550137"}, "metadata": {"price": %s}}' % literal  # noqa: UP031
    response = structured.post(body.encode())
    if stored is None:
        assert response.json()["faults"][0]["code"] == "invalid-decimal"
    else:
        assert response.json()["metadata"]["price"] == stored


def test_members_that_the_server_owns_are_ignored_and_named(db: None) -> None:
    door = Door(make_source(is_unknown_kept=True), path="/leads")
    answer = door.post(FULL).json()
    again = {
        **answer,
        "metadata": answer["metadata"] | {"externalId": "x-2", "own": "1", "trustedFormUrl": None},
        "enabled": True,
        "id": "mine",
    }
    response = door.post(again)
    assert response.status_code == 201
    lead = response.json()
    assert lead["id"] not in ("mine", answer["id"])
    assert lead["metadata"]["sourceMetadata"] == answer["metadata"]["sourceMetadata"] | {
        "metadata.own": "1"
    }
    ignored = response.headers["Leadping-Ignored-Fields"].split(", ")
    assert {"createdAt", "enabled", "id", "metadata.businessId"} <= set(ignored)
    names = {".".join(path) for path in paths_in(again)}
    assert all(name in names for name in ignored if "more" not in name)


def paths_in(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the paths of all members of nested objects."""
    found = []
    for name, one in value.items():
        found.append((*path, name))
        if isinstance(one, dict):
            found += paths_in(one, (*path, name))
    return found


def test_every_member_of_an_answer_is_either_read_or_the_servers(door: Door) -> None:
    answer = door.send(sourceMetadata={}).json()
    reading = read_post(answer, STRUCTURED, is_structured=True)
    assert {tuple(map(str.lower, path)) for path in reading.unknown} <= SERVER_OWNED


def test_every_flat_field_stands_somewhere_in_a_structured_post() -> None:
    assert PLACES.keys() == set(FLAT_FIELDS) | {one.name for one in FURTHER_FIELDS}


def test_a_sources_own_names_hold_where_the_field_stands(db: None) -> None:
    door = Door(make_source(field_map={"cell": "phone", "postcode": "zip"}), path="/leads")
    body = {"contact": {"cell": {"number": "5125550137"}, "streetAddress": {"Postcode": "78701"}}}
    response = door.post(body)
    assert response.status_code == 201
    assert response.json()["contact"]["streetAddress"]["postalCode"] == "78701"
    assert door.post({"cell": "5125550137"}).status_code == 400
    assert with_names(FLAT, {"cell": "phone"})["cell"] is FLAT["phone"]


def test_a_form_is_no_structured_post(structured: Door) -> None:
    response = structured.post(
        b"contact.phone=5125550137", content_type="application/x-www-form-urlencoded"
    )
    assert response.headers["Leadping-Problem"] == "unsupported-media-type"
    assert "application/x-www-form-urlencoded" in response.json()["detail"]
    response = structured.post(content_type="multipart/form-data; boundary=x")
    assert "multipart/form-data" in response.json()["detail"]


def test_a_rule_that_rejects_names_the_nested_field(db: None) -> None:
    modes = {Rule.UNDERAGE: Mode.REJECT, Rule.CONSENT_MISSING: Mode.REJECT}
    door = Door(make_source(modes=modes, is_trusted_form_required=True), path="/leads")
    response = door.post(
        {"contact": {"phone": "5125550137"}, "customer": {"BirthDate": "2020-01-01"}}
    )
    assert response.status_code == 422
    assert [one["pointer"] for one in response.json()["faults"]] == [
        "#/metadata/trustedFormUrl",
        "#/customer/BirthDate",
    ]


# --- the serializer says the same as the table --------------------------------------------------

VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=10),
    st.sampled_from([Number("1"), Number("78701"), Number("1e3"), "married", "5125550137"]),
    st.lists(st.text(max_size=5), max_size=3),
)
NAMES_BY_LEVEL: dict[tuple[str, ...], list[str]] = {}
for _name, _path in PLACES.items():
    NAMES_BY_LEVEL.setdefault(_path[:-1], []).append(_path[-1])


def level(path: tuple[str, ...], *deeper: str) -> st.SearchStrategy[Any]:
    """Return a strategy for an object at a place of a structured post."""
    names = st.sampled_from(
        [*NAMES_BY_LEVEL[path], *(n.upper() for n in NAMES_BY_LEVEL[path]), "o"]
    )
    members = st.dictionaries(names, VALUES, max_size=4)
    parts = {name: VALUES | level((*path, name)) for name in deeper}
    return st.builds(lambda a, b: a | b, members, st.fixed_dictionaries({}, optional=parts))


BODIES = st.fixed_dictionaries(
    {},
    optional={
        "contact": level(("contact",), "phone", "streetAddress"),
        "metadata": level(("metadata",)) | VALUES,
        "customer": level(("customer",)) | VALUES,
        "tagIds": VALUES,
        "other": VALUES,
    },
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(BODIES)
def test_the_serializer_agrees_with_the_table(body: dict[str, Any]) -> None:
    reading = read_post(body, STRUCTURED, is_structured=True)
    assert_agree(StructuredLeadSerializer(data=body), reading)


def test_the_serializer_lists_the_shape() -> None:
    fields = StructuredLeadSerializer().fields
    assert list(fields) == ["metadata", "contact", "customer", "tagIds", "tagNames"]
    contact: Any = fields["contact"]
    assert {"number", "type"} == set(contact.fields["phone"].fields)
    assert "sellerLeadIdentifier" in fields["metadata"].fields  # type: ignore[attr-defined]
    assert flat_post()
