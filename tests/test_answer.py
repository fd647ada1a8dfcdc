"""The lead that comes back: contract §4, whole and key by key."""

import re
from decimal import Decimal

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext

from intake.models import Post
from leads.models import Lead
from leads.serializers import decimal_text, intake_answer, price_text
from sources.models import Source
from tests.factories import CERTIFICATE, Door, flat_post, make_source

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

FULL_POST = {
    "firstName": " Ada ",
    "lastName": "Moreno",
    "email": "Ada.Moreno+x@Example.COM",
    "phone": "(512) 555-0137 ext 9",
    "phoneType": "cell",
    "dateOfBirth": "1984-07-19",
    "address1": "98 San Jacinto Blvd",
    "address2": "Suite 4",
    "city": "Austin",
    "state": "texas",
    "zip": "78701",
    "gender": "female",
    "subId": "sub-1",
    "pubId": "pub-1",
    "sellerLeadId": "seller-1",
    "externalId": 991,
    "directPostPrice": "10",
    "price": 12.5,
    "utmSource": "google",
    "utmMedium": "cpc",
    "utmCampaign": "spring",
    "utmTerm": "solar",
    "utmContent": "ad-1",
    "product": "Solar",
    "vertical": "Home",
    "referrer": "https://example.com/a",
    "landingPage": "https://example.com/b",
    "trustedFormUrl": CERTIFICATE,
    "sourceMetadata": {"b": 2, "a": True, "c": "x", "n": None},
}


def test_a_full_post_comes_back_whole(db: None) -> None:
    owner = get_user_model().objects.create_user("owner")
    source = make_source(
        owner=owner, is_sms_consent_covered=True, default_sender_number_id="number-7"
    )
    response = Door(source).post(FULL_POST, REMOTE_ADDR="203.0.113.9", HTTP_USER_AGENT="form/1")
    assert response.status_code == 201
    lead = Lead.objects.get()
    body = response.json()
    assert TIME.fullmatch(body["createdAt"])
    assert body == {
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
            "ipAddress": "203.0.113.9",
            "userAgent": "form/1",
            "externalId": "991",
            "sellerLeadId": "seller-1",
            "createdAt": body["createdAt"],
            "price": "12.50",
            "directPostPrice": "10.00",
            "product": "Solar",
            "vertical": "Home",
            "complianceStatus": "Approved",
            "complianceBlockedReason": None,
            "sourceMetadata": {"a": "true", "b": "2", "c": "x"},
            "assignedPhoneNumberId": "number-7",
            "smsConsentStatus": "OptedIn",
            "smsOptedOut": False,
            "smsOptOutAt": None,
            "smsOptInAt": None,
            "smsHelpRequestedAt": None,
            "smsConsentPhoneNumber": "+15125550137",
            "userId": str(owner.pk),
            "businessId": str(source.business_id),
        },
        "contact": {
            "firstName": "Ada",
            "lastName": "Moreno",
            "streetAddress": {
                "line1": "98 San Jacinto Blvd",
                "line2": "Suite 4",
                "city": "Austin",
                "state": "TX",
                "province": None,
                "region": None,
                "postalCode": "78701",
                "country": None,
                "additionalInfo": None,
            },
            "phone": {"number": "+15125550137", "type": "Mobile"},
            "email": "Ada.Moreno+x@example.com",
        },
        "customer": {
            "gender": "F",
            "height": None,
            "weight": None,
            "birthDate": "1984-07-19",
            "maritalStatus": None,
            "income": None,
            "isHomeowner": None,
            "monthsAtResidence": None,
            "creditScore": None,
            "hasBankruptcy": None,
            "employmentType": None,
            "numberOfDependents": None,
            "hasMedicalCondition": None,
        },
        "id": str(lead.id),
        "createdAt": body["createdAt"],
        "modifiedAt": None,
    }
    assert list(body["metadata"]["sourceMetadata"]) == ["a", "b", "c"]


def test_the_answer_from_memory_is_the_one_from_the_row(door: Door, source: Source) -> None:
    body = door.post(FULL_POST | {"price": "-0", "directPostPrice": "99999999.1234"}).json()
    assert intake_answer(Lead.objects.get(), source) == body
    assert body["metadata"]["price"] == "0.00"
    assert body["metadata"]["directPostPrice"] == "99999999.1234"


def test_the_smallest_post_has_every_key_and_says_null(door: Door) -> None:
    body = door.post({"email": "ada@example.com"}).json()
    assert body["contact"]["phone"] is None
    assert body["contact"]["streetAddress"] == dict.fromkeys(
        "line1 line2 city state province region postalCode country additionalInfo".split()
    )
    assert body["metadata"]["sourceMetadata"] == {}
    assert body["metadata"]["userId"] is None
    assert body["metadata"]["smsConsentStatus"] == "Unknown"
    assert set(body["customer"].values()) == {None}


def test_headers_of_a_new_lead(door: Door) -> None:
    response = door.send(favouriteColour="green", utmTerm="x" * 513)
    lead, post = Lead.objects.get(), Post.objects.get()
    assert response.headers["Location"] == f"/leads/{lead.id}"
    assert response.headers["Leadping-Post-Id"] == str(post.id)
    assert response.headers["Leadping-Ignored-Fields"] == "favouriteColour"
    assert response.headers["Leadping-Truncated"] == "utmTerm"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Content-Type"] == "application/json"
    assert "Leadping-Findings" not in response.headers
    assert post.lead == lead


def test_findings_are_named_in_a_header(db: None) -> None:
    source = make_source(is_approved=False, allowed_states=["TX"])
    response = Door(source).send(state="FL")
    assert response.status_code == 201
    assert response.headers["Leadping-Findings"] == "source-not-approved, state-not-allowed"
    assert response.json()["metadata"]["complianceStatus"] == "Blocked"
    assert response.json()["metadata"]["complianceBlockedReason"] == (
        "The source has not passed compliance review. The source may not send leads of this state."
    )


def test_defaults_of_the_source_fill_what_is_absent(db: None) -> None:
    door = Door(make_source(default_product="Solar", default_vertical="Home"))
    filled = door.send(product=" ", vertical=None).json()["metadata"]
    assert (filled["product"], filled["vertical"]) == ("Solar", "Home")
    sent = door.send(product="Roof", vertical="Repair").json()["metadata"]
    assert (sent["product"], sent["vertical"]) == ("Roof", "Repair")


@pytest.mark.parametrize(
    ("covered", "post", "status"),
    [
        (True, {"trustedFormUrl": CERTIFICATE}, "OptedIn"),
        (False, {"trustedFormUrl": CERTIFICATE}, "Unknown"),
        (True, {}, "Unknown"),
        (True, {"trustedFormUrl": CERTIFICATE + "?x"}, "Unknown"),
        (True, {"trustedFormUrl": CERTIFICATE, "phone": ...}, "Unknown"),
    ],
)
def test_sms_consent_needs_the_wording_a_certificate_and_a_phone(
    db: None, covered: bool, post: dict[str, object], status: str
) -> None:
    metadata = Door(make_source(is_sms_consent_covered=covered)).send(**post).json()["metadata"]
    assert metadata["smsConsentStatus"] == status
    assert (metadata["smsConsentPhoneNumber"] is not None) == (status == "OptedIn")
    assert metadata["smsOptInAt"] is None


@pytest.mark.parametrize(
    ("number", "price", "plain"),
    [
        ("10", "10.00", "10"),
        ("10.1", "10.10", "10.1"),
        ("0.0125", "0.0125", "0.0125"),
        ("-3.100", "-3.10", "-3.1"),
        ("120", "120.00", "120"),
    ],
)
def test_decimals_are_written_without_exponent(number: str, price: str, plain: str) -> None:
    assert price_text(Decimal(number)) == price
    assert decimal_text(Decimal(number)) == plain


@pytest.mark.parametrize("key_is_new", [False, True])
def test_statements_of_an_accepted_and_of_a_blocked_post(db: None, key_is_new: bool) -> None:
    """DECISIONS, Intake 4: at most 4 on PostgreSQL and 6 on SQLite, besides BEGIN and COMMIT."""
    pinned = 4  # PostgreSQL: limiter, lock, gather, write; SQLite: no lock, two rows
    for approved in (True, False):
        door = Door(make_source(is_approved=approved))
        if not key_is_new:
            door.send()
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert door.send(phone="512-555-0199").status_code == 201
        statements = [
            one["sql"] for one in queries if not one["sql"].startswith(("SAVEPOINT", "RELEASE"))
        ]
        # Once per key and process: the key, its source, two lists of the source, its time of use.
        assert len(statements) == pinned + (5 if key_is_new else 0), statements


def test_a_repeated_external_id_stores_no_second_lead(door: Door) -> None:
    first = door.send(externalId="x-1")
    again = door.send(externalId="x-1", email=..., firstName="Eve")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert "Leadping-Findings" not in again.headers
    assert [post.outcome for post in Post.objects.order_by("received_at", "id")] == [
        "approved",
        "repeated",
    ]
    assert Lead.objects.get().posts.count() == 2


def test_a_repeat_of_a_blocked_lead_tells_its_findings_again(db: None) -> None:
    door = Door(make_source(is_approved=False))
    first, again = door.send(externalId="x-1"), door.send(externalId="x-1")
    assert first.headers["Leadping-Findings"] == again.headers["Leadping-Findings"]
    assert again.json() == first.json()


def test_a_repeat_that_shares_neither_phone_nor_email_is_a_conflict(door: Door) -> None:
    door.send(externalId="x-1", phone=...)
    assert door.send(externalId="x-1", email=...).status_code == 409
    assert door.send(externalId="x-1", email="ADA@example.com").status_code == 201
    assert door.send(externalId="x-1", email="eve@example.com").status_code == 409


def test_an_external_id_of_another_person_is_a_conflict(door: Door) -> None:
    first = door.send(externalId="x-1")
    other = door.send(externalId="x-1", phone="512-555-0199")
    assert other.status_code == 409
    assert other.json()["type"] == "https://leads.example.com/problems/external-id-conflict"
    assert other.headers["Location"] == first.headers["Location"]
    assert first.json()["id"] in other.json()["detail"]
    assert Lead.objects.count() == 1
    assert Post.objects.filter(outcome="external-id-conflict").count() == 1


def test_the_same_external_id_of_another_source_is_another_lead(door: Door) -> None:
    door.send(externalId="x-1")
    Door(make_source()).send(externalId="x-1")
    assert Lead.objects.count() == 2


def test_a_post_keeps_the_exact_bytes(door: Door) -> None:
    raw = b'{ "phone" : "512-555-0137",\t"firstName": "J\\u00fcrgen"}\n'
    assert door.post(raw, HTTP_USER_AGENT="form/1").status_code == 201
    post = Post.objects.get()
    assert bytes(post.body) == raw
    assert post.body_size == len(raw)
    assert not post.is_cut
    assert post.headers["Content-Type"] == "application/json"
    assert post.headers["User-Agent"] == "form/1"
    assert (post.status, post.outcome, post.method, post.path) == (
        201,
        "approved",
        "POST",
        "/leads/intake",
    )
    assert post.answer is None
    assert post.took_us > 0
    assert post.received_at == Lead.objects.get().received_at
    assert str(post) == str(post.id)
    assert flat_post()["firstName"] not in str(post.lead)
