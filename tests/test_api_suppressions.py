"""Suppressions in the read API: added, released, checked, read and listed."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from leads.models import Lead, LookBack, RegistryList, Suppression
from leads.suppressions import NoEvidence
from sources.keys import CREDENTIAL
from sources.models import Business
from tests.api import Api
from tests.factories import Door, make_business, suppress

pytestmark = pytest.mark.django_db

PHONE, EMAIL = "+15125550137", "ada@example.com"  # those of the usual post
MASKED_PHONE, MASKED_EMAIL = "+1512•••••37", "a•••@e•••.com"
UNKNOWN = "01983c5a-7e21-7b40-9d3f-2c61f0a8e514"  # an id that nothing has
REASON = "This person may not be contacted."
LIST = "/suppressions/all/my"
KEYS = {
    *("id", "organizationId", "businessId", "recipientIdentifier", "normalizedPhoneNumber"),
    *("normalizedEmail", "channel", "kind", "source", "status", "reason", "suppressedAt"),
    *("releasedAt", "audit"),
}


@pytest.fixture
def business(door: Door) -> Business:
    """Return the business of the usual source."""
    return door.source.business


@pytest.fixture
def api(business: Business) -> Api:
    """Return a client with every scope."""
    return Api(business)


@pytest.fixture
def masked(business: Business) -> Api:
    """Return a client that may see no person."""
    return Api(business, ["suppressions"])


def body(api: Api, **more: Any) -> dict[str, Any]:
    """Return what the official clients send; a member that is ... is left out."""
    sent = {
        "organizationId": str(api.business.id),
        "recipientIdentifier": None,
        "phoneNumber": "(512) 555-0137",
        "email": None,
        "channel": "all",
        "reason": "Answered STOP.",
    } | more
    return {name: value for name, value in sent.items() if value is not ...}


def faults_of(response: Any) -> list[tuple[str, str]]:
    """Return which members are at fault, and how."""
    assert response.status_code == 400
    assert response.headers["Leadping-Problem"] == "invalid-request"
    return [(one["field"], one["code"]) for one in response.json()["faults"]]


def statements(ask: Callable[[], Any]) -> int:
    """Return how many statements a second request like this takes."""
    ask()
    with CaptureQueriesContext(
        connection,
    ) as caught:
        ask()
    return len(caught)


# --- add ------------------------------------------------------------------------------------------


def test_a_person_is_suppressed_and_their_leads_are_blocked_in_the_same_call(
    door: Door, api: Api
) -> None:
    lead_id = door.send().json()["id"]
    response = api.post("/suppressions", body(api))
    entry, lead = Suppression.objects.get(), Lead.objects.get(id=lead_id)
    assert api.token
    at = response.json()["suppressedAt"]
    assert response.status_code == 201
    assert response.headers["Location"] == f"/suppressions/{entry.id}"
    assert response.json() == {
        "id": str(entry.id),
        "organizationId": str(api.business.id),
        "businessId": str(api.business.id),
        "recipientIdentifier": None,
        "normalizedPhoneNumber": PHONE,
        "normalizedEmail": None,
        "channel": "all",
        "kind": "opt-out",
        "source": f"api {api.token.preview}",
        "status": "active",
        "reason": "Answered STOP.",
        "suppressedAt": at,
        "releasedAt": None,
        "audit": [
            {
                "id": f"{entry.id}-active",
                "status": "active",
                "source": f"api {api.token.preview}",
                "timestamp": at,
                "actorId": str(api.token.created_by_id),
                "reason": "Answered STOP.",
                "safeMetadata": {"kind": "opt-out"},
            }
        ],
    }
    assert lead.compliance_status == "Blocked"
    assert LookBack.objects.get(lead=lead).suppression == entry


def test_a_new_post_of_the_person_is_held(door: Door, api: Api) -> None:
    api.post("/suppressions", body(api, phoneNumber=None, email="ADA@example.com"))
    metadata = door.send().json()["metadata"]
    assert metadata["complianceStatus"] == "Blocked"
    assert metadata["complianceBlockedReason"] == REASON


def test_who_made_an_entry_and_by_which_token_is_on_record(api: Api) -> None:
    api.post("/suppressions", body(api))
    api.post("/suppressions/release", body(api, reason="Signed again."))
    entry = Suppression.objects.get()
    assert api.token
    maker = api.token.created_by
    assert (entry.created_by, entry.released_by) == (maker, maker)
    rows = entry.history.order_by("history_date")
    assert [(one.history_type, one.history_user, one.history_change_reason) for one in rows] == [
        ("+", maker, f"API token {api.token}"),
        ("~", maker, f"API token {api.token}"),
    ]


def test_what_stands_already_is_answered_again(api: Api) -> None:
    first = api.post("/suppressions", body(api))
    again = api.post("/suppressions", body(api, phoneNumber="512.555.0137", reason="Once more."))
    assert again.status_code == 201
    assert again.json() == first.json()
    assert Suppression.objects.count() == 1


def test_who_was_released_is_suppressed_anew(api: Api) -> None:
    first = api.post("/suppressions", body(api)).json()
    api.post("/suppressions/release", body(api))
    again = api.post("/suppressions", body(api)).json()
    assert again["id"] != first["id"]
    assert again["status"] == "active"


@pytest.mark.parametrize(
    ("more", "kept"),
    [
        ({"phoneNumber": 5125550137}, (PHONE, "", "all")),
        ({"phoneNumber": "011 44 20 7946 0018"}, ("+442079460018", "", "all")),
        ({"phoneNumber": ..., "email": " Ada@EXAMPLE.com "}, ("", EMAIL, "all")),
        ({"email": EMAIL}, (PHONE, EMAIL, "all")),
        ({"channel": ...}, (PHONE, "", "all")),
        ({"channel": None}, (PHONE, "", "all")),
        ({"channel": "All Channels"}, (PHONE, "", "all")),
        ({"channel": "SMS"}, (PHONE, "", "sms")),
        ({"channel": "Phone"}, (PHONE, "", "voice")),
        ({"channel": "call"}, (PHONE, "", "voice")),
        ({"channel": "E-mail", "email": EMAIL}, (PHONE, EMAIL, "email")),
        ({"organizationId": ...}, (PHONE, "", "all")),
    ],
)
def test_a_person_is_taken_in_any_spelling(
    api: Api, more: dict[str, Any], kept: tuple[str, str, str]
) -> None:
    assert api.post("/suppressions", body(api, **more)).status_code == 201
    entry = Suppression.objects.get()
    assert (entry.phone, entry.email_key, entry.channel) == kept


@pytest.mark.parametrize("kind", ["revocation", "complaint", "Litigator", "INTERNAL", "Opt out"])
def test_an_entry_says_why(api: Api, kind: str) -> None:
    answer = api.post("/suppressions", body(api, kind=kind)).json()
    assert answer["kind"] == kind.lower().replace(" ", "-") == Suppression.objects.get().kind


@pytest.mark.parametrize("path", ["/suppressions", "/suppressions/release", "/suppressions/check"])
@pytest.mark.parametrize(
    ("more", "faults"),
    [
        ({"phoneNumber": None}, [("phoneNumber", "missing-contact")]),
        (
            {"phoneNumber": None, "recipientIdentifier": "crm-7"},
            [("phoneNumber", "missing-contact")],
        ),
        ({"phoneNumber": "12"}, [("phoneNumber", "invalid-phone")]),
        ({"phoneNumber": "\u200b"}, [("phoneNumber", "invalid-phone")]),
        ({"phoneNumber": "\x85"}, [("phoneNumber", "missing-contact")]),
        ({"phoneNumber": "512\x07"}, [("phoneNumber", "invalid-characters")]),
        ({"phoneNumber": True}, [("phoneNumber", "invalid-type")]),
        ({"phoneNumber": "5" * 500}, [("phoneNumber", "too-long")]),
        ({"email": "a@b"}, [("email", "invalid-email")]),
        (
            {"phoneNumber": "12", "email": "ada@"},
            [("phoneNumber", "invalid-phone"), ("email", "invalid-email")],
        ),
        ({"channel": "fax"}, [("channel", "invalid-choice")]),
        ({"channel": ["sms"]}, [("channel", "invalid-type")]),
        ({"channel": "email"}, [("email", "missing")]),
        (
            {"channel": "sms", "phoneNumber": None, "email": EMAIL},
            [("phoneNumber", "missing")],
        ),
        ({"organizationId": UNKNOWN}, [("organizationId", "other-business")]),
        ({"organizationId": "ours"}, [("organizationId", "other-business")]),
        ({"businessId": UNKNOWN}, [("businessId", "other-business")]),
    ],
)
def test_whom_nobody_can_tell_is_refused(
    api: Api, path: str, more: dict[str, Any], faults: list[tuple[str, str]]
) -> None:
    assert faults_of(api.post(path, body(api, **more))) == faults
    assert not Suppression.objects.exists()


@pytest.mark.parametrize(
    ("path", "more", "fault"),
    [
        ("/suppressions", {"kind": "dnc-registry"}, ("kind", "invalid-choice")),
        ("/suppressions", {"kind": "nonsense"}, ("kind", "invalid-choice")),
        ("/suppressions", {"reason": "x" * 1001}, ("reason", "too-long")),
        ("/suppressions", {"reason": "a\x01b"}, ("reason", "invalid-characters")),
        ("/suppressions/release", {"reason": None}, ("reason", "missing")),
        ("/suppressions/release", {"reason": " "}, ("reason", "missing")),
        ("/suppressions/release", {"reason": ...}, ("reason", "missing")),
        ("/suppressions/release", {"reason": "a\x01b"}, ("reason", "invalid-characters")),
        ("/suppressions/release", {"evidence": "a\x01b"}, ("evidence", "invalid-characters")),
        ("/suppressions/release", {"evidence": "x" * 1001}, ("evidence", "too-long")),
        ("/suppressions/release", {"kind": "dnc-registry"}, ("kind", "invalid-choice")),
    ],
)
def test_what_is_said_of_an_entry_is_checked(
    api: Api, path: str, more: dict[str, Any], fault: tuple[str, str]
) -> None:
    entry = suppress(EMAIL, api.business)
    sent = body(api, phoneNumber=None, email=EMAIL, **more)
    assert faults_of(api.post(path, sent)) == [fault]
    entry.refresh_from_db()
    assert entry.released_at is None
    assert Suppression.objects.count() == 1


def test_another_business_is_refused_alike_whether_there_is_one_or_not(api: Api) -> None:
    other = make_business()
    answers = [
        api.post("/suppressions", body(api, organizationId=str(one))).json()
        for one in (other.id, UNKNOWN)
    ]
    for one in answers:
        del one["requestId"], one["traceId"]
    assert answers[0] == answers[1]


def test_a_recipient_identifier_is_ignored_and_named(api: Api) -> None:
    sent = body(api, recipientIdentifier="crm-7", provider="x")
    for path in ("/suppressions", "/suppressions/release"):
        response = api.post(path, sent)
        assert response.headers["Leadping-Ignored-Fields"] == "provider, recipientIdentifier"
        assert response.json()["recipientIdentifier"] is None
    response = api.post("/suppressions/check", sent)
    assert "recipientIdentifier" in response.headers["Leadping-Ignored-Fields"]


# --- release --------------------------------------------------------------------------------------


def test_an_official_client_releases_a_person(door: Door, api: Api) -> None:
    door.send()
    made = api.post("/suppressions", body(api)).json()
    response = api.post("/suppressions/release", body(api, reason="Signed up again on the site."))
    assert response.status_code == 200
    answer, entry = response.json(), Suppression.objects.get()
    assert set(answer) == KEYS
    assert (answer["id"], answer["status"]) == (made["id"], "released")
    assert answer["reason"] == "Signed up again on the site."
    assert answer["audit"][0] == made["audit"][0]
    assert api.token
    assert answer["audit"][1] == {
        "id": f"{entry.id}-released",
        "status": "released",
        "source": f"API token {api.token}",
        "timestamp": answer["releasedAt"],
        "actorId": str(api.token.created_by_id),
        "reason": "Signed up again on the site.",
        "safeMetadata": {"kind": "opt-out", "hasEvidence": "true"},
    }
    # they know no evidence: the reason stands for it
    assert (entry.release_reason, entry.release_evidence) == ("Signed up again on the site.",) * 2
    assert Lead.objects.get().compliance_status == "Blocked"
    assert api.post("/suppressions/check", body(api)).json()["allowed"] is True
    assert api.get(f"/suppressions/{entry.id}").json() == answer


def test_evidence_is_kept_beside_the_reason(api: Api) -> None:
    entry = suppress(PHONE, api.business)
    api.post("/suppressions/release", body(api, reason="Came back.", evidence="Certificate 3f"))
    entry.refresh_from_db()
    assert (entry.release_reason, entry.release_evidence) == ("Came back.", "Certificate 3f")


def test_a_complaint_needs_no_evidence_and_gets_none(api: Api) -> None:
    entry = suppress(PHONE, api.business, kind=Suppression.Kind.COMPLAINT)
    api.post("/suppressions/release", body(api, reason="Settled."))
    entry.refresh_from_db()
    assert (entry.release_reason, entry.release_evidence) == ("Settled.", "")


def test_only_what_names_exactly_this_person_and_channel_ends(api: Api) -> None:
    kinds = (Suppression.Kind.OPT_OUT, Suppression.Kind.COMPLAINT)
    ends = [suppress(PHONE, api.business, kind=one) for one in kinds]
    stays = [
        suppress(PHONE, api.business, channel=Suppression.Channel.SMS),
        suppress(PHONE, api.business, email=EMAIL),
        suppress(EMAIL, api.business),
        suppress(PHONE, make_business()),
        suppress(PHONE, kind=Suppression.Kind.DNC_REGISTRY),
    ]
    answer = api.post("/suppressions/release", body(api)).json()
    assert answer["id"] == str(ends[-1].id)
    standing = set(Suppression.objects.active().values_list("id", flat=True))
    assert standing == {one.id for one in stays}
    assert api.post("/suppressions/check", body(api)).json()["allowed"] is False
    both = body(api, email="ADA@example.com")
    assert api.post("/suppressions/release", both).json()["id"] == str(stays[1].id)


def test_only_one_kind_ends_if_it_is_named(api: Api) -> None:
    kinds = (Suppression.Kind.OPT_OUT, Suppression.Kind.COMPLAINT)
    first, second = (suppress(PHONE, api.business, kind=one) for one in kinds)
    sent = body(api, kind="opt-out")
    assert api.post("/suppressions/release", sent).json()["id"] == str(first.id)
    assert list(Suppression.objects.active()) == [second]


def test_where_nothing_stands_none_is_answered(api: Api) -> None:
    response = api.post("/suppressions/release", body(api))
    assert response.status_code == 200
    assert response.json() == dict.fromkeys(KEYS) | {
        "organizationId": str(api.business.id),
        "businessId": str(api.business.id),
        "normalizedPhoneNumber": PHONE,
        "channel": "all",
        "status": "none",
        "audit": [],
    }


def test_all_end_or_none(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    for one in (Suppression.Kind.COMPLAINT, Suppression.Kind.OPT_OUT):
        suppress(PHONE, api.business, kind=one)
    release, done = Suppression.release, []

    def fail_second(self: Suppression, *args: Any) -> None:
        done.append(self)
        if len(done) == 2:
            raise NoEvidence
        release(self, *args)

    monkeypatch.setattr(Suppression, "release", fail_second)
    assert api.post("/suppressions/release", body(api)).status_code == 500
    assert Suppression.objects.active().count() == 2


# --- check ----------------------------------------------------------------------------------------


def check(api: Api, **more: Any) -> dict[str, Any]:
    """Return what a check answers."""
    response = api.post("/suppressions/check", body(api, reason=..., **more))
    assert response.status_code == 200
    answer: dict[str, Any] = response.json()
    return answer


def test_a_check_tells_the_entry_that_stands_against_contact(api: Api) -> None:
    entry = suppress(PHONE, api.business, provenance="manage.py suppress")
    suppress(PHONE, api.business, kind=Suppression.Kind.COMPLAINT)
    at = check(api)["suppressedAt"]
    assert check(api, phoneNumber="512 555 0137", channel="SMS") == {
        "allowed": False,
        "organizationId": str(api.business.id),
        "businessId": str(api.business.id),
        "recipientIdentifier": None,
        "normalizedPhoneNumber": PHONE,
        "normalizedEmail": None,
        "channel": "sms",
        "suppressionEntryId": str(entry.id),
        "source": "manage.py suppress",
        "suppressedAt": at,
        "customerReason": REASON,
    }


def test_a_check_tells_that_a_person_may_be_contacted(api: Api) -> None:
    answer = check(api, email="Ada@example.com")
    assert answer["allowed"] is True
    assert answer["normalizedEmail"] == EMAIL
    for name in ("suppressionEntryId", "source", "suppressedAt", "customerReason"):
        assert answer[name] is None


@pytest.mark.parametrize(
    ("channel", "asked", "allowed"),
    [
        ("sms", "sms", False),
        ("sms", "voice", True),
        ("sms", "email", True),
        ("sms", "all", False),
        ("email", "sms", True),
        ("email", "email", False),
        ("all", "voice", False),
        ("all", "email", False),
        ("all", "all", False),
    ],
)
def test_a_check_is_of_the_channel_asked_for(
    api: Api, channel: str, asked: str, *, allowed: bool
) -> None:
    suppress(PHONE, api.business, email=EMAIL, channel=Suppression.Channel(channel))
    assert check(api, email=EMAIL, channel=asked)["allowed"] is allowed


def test_a_check_says_what_intake_would(door: Door, api: Api) -> None:
    suppress(EMAIL, api.business, phone=PHONE, channel=Suppression.Channel.EMAIL)
    for person in ({"phone": PHONE, "email": ...}, {"phone": ..., "email": EMAIL}):
        post = door.send(**person).json()["metadata"]
        sent = {"phoneNumber": person["phone"], "email": person["email"]}
        assert check(api, **sent)["allowed"] is (post["complianceStatus"] == "Approved")


def test_of_a_registry_only_the_no_is_told(api: Api) -> None:
    suppress(PHONE, kind=Suppression.Kind.DNC_REGISTRY)
    answer = check(api)
    assert (answer["allowed"], answer["customerReason"]) == (False, REASON)
    for name in ("suppressionEntryId", "source", "suppressedAt"):
        assert answer[name] is None
    RegistryList.objects.retire("National")
    assert check(api)["allowed"] is True


def test_without_a_fresh_registry_nobody_may_be_contacted_by_phone(api: Api) -> None:
    suppress("+15125550199", kind=Suppression.Kind.DNC_REGISTRY)
    assert check(api)["allowed"] is True
    RegistryList.objects.update(listed_on=timezone.now().date() - timedelta(days=32))
    answer = check(api)
    assert answer["allowed"] is False
    assert answer["customerReason"] == "A compliance check could not be run."
    assert check(api, phoneNumber=None, email=EMAIL)["allowed"] is True
    suppress(PHONE, api.business)
    assert check(api)["customerReason"] == REASON


# --- whose ----------------------------------------------------------------------------------------


def test_another_businesss_entry_of_the_same_person_changes_nothing(api: Api) -> None:
    entry = suppress(PHONE, make_business())
    assert check(api)["allowed"] is True
    assert api.post(LIST, {"includeCount": True}).json()["totalCount"] == 0
    assert api.post("/suppressions/release", body(api)).json()["status"] == "none"
    assert api.post("/suppressions", body(api)).json()["id"] != str(entry.id)
    entry.refresh_from_db()
    assert entry.released_at is None


def test_another_businesss_entry_and_a_registrys_are_not_found_like_none(api: Api) -> None:
    theirs = suppress(PHONE, make_business())
    listed = suppress(PHONE, kind=Suppression.Kind.DNC_REGISTRY)
    told, counts = set(), set()
    for id in (theirs.id, listed.id, UNKNOWN):
        path = f"/suppressions/{id}"
        response = api.get(path)
        assert response.status_code == 404
        answer = response.json()
        assert answer.pop("instance") == path
        del answer["requestId"], answer["traceId"]
        told.add(json.dumps(answer))
        counts.add(statements(lambda path=path: api.get(path)))  # type: ignore[misc]
    assert len(told) == 1
    assert len(counts) == 1
    assert api.get("/suppressions/garbage").status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/suppressions"),
        ("POST", "/suppressions/release"),
        ("POST", "/suppressions/check"),
        ("POST", LIST),
        ("GET", "/suppressions/{id}"),
    ],
)
def test_a_token_needs_the_scope_for_suppressions(
    business: Business, method: str, path: str
) -> None:
    entry = suppress(EMAIL, business)
    api = Api(business, ["leads:read", "leads:write", "sources", "personal-data"])
    response = api.ask(method, path.format(id=entry.id), body(api))
    assert response.status_code == 403
    assert response.headers["Leadping-Problem"] == "insufficient-scope"
    assert "suppressions" in response.json()["detail"]
    assert Suppression.objects.count() == 1


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/suppressions", "POST"),
        ("GET", "/suppressions/check", "POST"),
        ("HEAD", LIST, "POST"),
        ("DELETE", f"/suppressions/{UNKNOWN}", "GET"),
    ],
)
def test_other_methods_are_refused(api: Api, method: str, path: str, allowed: str) -> None:
    response = api.ask(method, path)
    assert response.status_code == 405
    assert response.headers["Allow"] == allowed


# --- masks ----------------------------------------------------------------------------------------


def test_without_personal_data_what_was_sent_comes_back_and_nothing_else(masked: Api) -> None:
    made = masked.post("/suppressions", body(masked, email=EMAIL, reason="Mail to ada@x.com"))
    assert made.json()["normalizedPhoneNumber"] == PHONE
    assert made.json()["normalizedEmail"] == EMAIL
    assert check(masked)["normalizedPhoneNumber"] == PHONE
    read = masked.get(f"/suppressions/{made.json()['id']}")
    listed = masked.post(LIST)
    for response in (read, listed):
        assert response.headers["Leadping-Masked"] == "true"
        assert PHONE not in response.content.decode()
        assert "ada@" not in response.content.decode()
    assert listed.json()["items"] == [read.json()]
    assert read.json()["normalizedPhoneNumber"] == MASKED_PHONE
    assert read.json()["normalizedEmail"] == MASKED_EMAIL
    assert read.json()["reason"] == "•••"
    released = masked.post("/suppressions/release", body(masked, email=EMAIL))
    assert released.json()["normalizedPhoneNumber"] == PHONE


def test_with_personal_data_a_person_is_shown(api: Api) -> None:
    entry = suppress(PHONE, api.business, email=EMAIL, reason="Called from 512 555 0137.")
    read = api.get(f"/suppressions/{entry.id}")
    assert "Leadping-Masked" not in read.headers
    assert read.json()["normalizedPhoneNumber"] == PHONE
    assert read.json()["normalizedEmail"] == EMAIL
    assert read.json()["reason"] == "Called from 512 555 0137."


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"search": PHONE}, "search"),
        ({"filters": [{"field": "phoneNumber", "value": PHONE}]}, "filters.0.field"),
        ({"filters": [{"field": "normalizedEmail", "value": EMAIL}]}, "filters.0.field"),
        ({"searchFields": ["email"]}, "searchFields"),
    ],
)
def test_without_personal_data_nobody_is_looked_up_in_the_list(
    masked: Api, asked: dict[str, Any], field: str
) -> None:
    suppress(PHONE, masked.business)
    assert faults_of(masked.post(LIST, asked)) == [(field, "insufficient-scope")]


def test_no_person_and_no_token_gets_into_the_log(
    api: Api, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    sent = body(api, email=EMAIL, reason="Ada Lovelace said stop.", evidence="Form 77")
    for path in ("/suppressions", "/suppressions/check", "/suppressions/release"):
        api.post(path, sent)
        api.post(path, sent | {"phoneNumber": "555 0137", "channel": "fax"})
    api.post(LIST, {"search": EMAIL})
    written = json.dumps(log_lines())
    assert written.count("api.answered") == 4
    assert written.count("api.refused") == 3
    for word in ("5550137", "555 0137", "555-0137", "ada@", "Lovelace", "Form 77", api.key):
        assert word not in written
    assert not CREDENTIAL.search(written)


# --- the list -------------------------------------------------------------------------------------


@pytest.fixture
def several(business: Business) -> list[Suppression]:
    """Return five entries, the oldest first, of which two are of one moment; one has ended."""
    now = timezone.now()
    kinds = (Suppression.Kind.OPT_OUT, Suppression.Kind.COMPLAINT)
    entries = [
        suppress(
            f"+1512555010{number}",
            business,
            kind=kinds[number % 2],
            channel=Suppression.Channel.SMS if number == 3 else Suppression.Channel.ALL,
            since=now - timedelta(days=(9, 5, 5, 2, 1)[number]),
        )
        for number in range(5)
    ]
    entries[1].release(None, "Settled.")
    suppress(PHONE, make_business())
    suppress(PHONE, kind=Suppression.Kind.DNC_REGISTRY)
    return entries


def ids(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return [one["id"] for one in response.json()["items"]]


def test_the_newest_come_first(api: Api, several: list[Suppression]) -> None:
    expected = [str(one.id) for one in reversed(several)]
    response = api.post(LIST)
    assert ids(response) == expected
    assert response.json() | {"items": []} == {
        "items": [],
        "pageSize": 50,
        "totalCount": None,
        "continuationToken": None,
    }
    asked = {"orderBy": [{"field": "suppressedAt", "direction": "asc"}], "includeCount": True}
    response = api.post(LIST, asked)
    assert ids(response) == expected[::-1]
    assert response.json()["totalCount"] == 5


@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_pages_follow_one_another_though_others_are_added(
    api: Api, several: list[Suppression], direction: str
) -> None:
    asked: dict[str, Any] = {
        "pageSize": 2,
        "orderBy": [{"field": "suppressedAt", "direction": direction}],
    }
    seen: list[str] = []
    for _ in range(3):
        response = api.post(LIST, asked)
        seen += ids(response)
        asked["continuationToken"] = response.json()["continuationToken"]
        if direction == "desc":
            suppress(f"+1512555020{len(seen)}", api.business)
    assert asked["continuationToken"] is None
    expected = [str(one.id) for one in several]
    assert seen == (expected if direction == "asc" else expected[::-1])


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ([("status", "active")], [4, 3, 2, 0]),
        ([("status", "Released")], [1]),
        ([("kind", "complaint")], [3, 1]),
        ([("channel", "SMS")], [3]),
        ([("kind", "complaint"), ("status", "active")], [3]),
        ([("phoneNumber", "(512) 555-0102")], [2]),
        ([("phoneNumber", 5125550102)], [2]),
        ([("normalizedPhoneNumber", "+15125550102")], [2]),
        ([("email", "ada@example.com")], []),
        ([("email", None)], [4, 3, 2, 1, 0]),
        ([("id", "garbage")], []),
    ],
)
def test_the_list_is_filtered(
    api: Api, several: list[Suppression], filters: list[tuple[str, Any]], found: list[int]
) -> None:
    asked = {"filters": [{"field": name, "value": value} for name, value in filters]}
    response = api.post(LIST, asked | {"includeCount": True})
    assert ids(response) == [str(several[one].id) for one in found]
    assert response.json()["totalCount"] == len(found)


def test_one_is_found_by_its_id_and_several_by_their_time(
    api: Api, several: list[Suppression]
) -> None:
    one = str(several[2].id)
    assert ids(api.post(LIST, {"filters": [{"field": "id", "value": one}]})) == [one]
    at = several[3].suppressed_at.isoformat()
    for ends, found in (
        ({"greaterThanOrEqual": at}, [4, 3]),
        ({"greaterThan": at}, [4]),
        ({"lessThan": at, "greaterThan": None}, [2, 1, 0]),
    ):
        response = api.post(LIST, {"rangeFilters": [{"field": "suppressedAt", **ends}]})
        assert ids(response) == [str(several[number].id) for number in found]


@pytest.mark.parametrize(
    ("text", "fields", "is_found"),
    [
        ("512.555.0137", None, True),
        ("ADA@example.com", None, True),
        (EMAIL, ["email"], True),
        (EMAIL, ["phoneNumber"], False),
        ("5550137", None, False),
        ("ada", None, False),
    ],
)
def test_a_person_is_searched_for_whole(
    api: Api, text: str, fields: list[str] | None, *, is_found: bool
) -> None:
    entry = suppress(PHONE, api.business, email=EMAIL)
    suppress("+15125550199", api.business)
    response = api.post(LIST, {"search": text, "searchFields": fields})
    assert ids(response) == ([str(entry.id)] if is_found else [])


VALUE = ("filters.0.value", "invalid-value")


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        ({"filters": [{"field": "kind", "value": "dnc-registry"}]}, VALUE),
        ({"filters": [{"field": "channel", "value": "fax"}]}, VALUE),
        ({"filters": [{"field": "status", "value": True}]}, VALUE),
        ({"filters": [{"field": "reason", "value": "x"}]}, ("filters.0.field", "unknown-field")),
        ({"orderBy": [{"field": "channel"}]}, ("orderBy.0.field", "unknown-field")),
        ({"search": ["x"]}, ("search", "invalid-type")),
        ({"continuationToken": "x"}, ("continuationToken", "invalid-value")),
    ],
)
def test_what_the_list_cannot_be_asked_for_is_refused(
    api: Api, asked: dict[str, Any], fault: tuple[str, str]
) -> None:
    assert faults_of(api.post(LIST, asked)) == [fault]


def test_a_page_of_another_business_is_no_page_here(api: Api, several: list[Suppression]) -> None:
    token = api.post(LIST, {"pageSize": 2}).json()["continuationToken"]
    other = Api(make_business())
    asked = {"pageSize": 2, "continuationToken": token}
    assert faults_of(other.post(LIST, asked)) == [("continuationToken", "invalid-value")]


def test_an_end_tells_by_what_it_came(api: Api, several: list[Suppression]) -> None:
    def source_of(number: int) -> str:
        response = api.get(f"/suppressions/{several[number].id}")
        told: str = response.json()["audit"][1]["source"]
        return told

    assert api.token
    several[0].release(api.token.created_by, "Came back.", "Certificate 3f")
    assert (source_of(0), source_of(1)) == ("console", "command line")


def test_a_list_takes_the_same_statements_however_long_it_is(
    api: Api, several: list[Suppression]
) -> None:
    # the token, how often it was used, the entries, by what they ended, how many there are
    asked = {"includeCount": True}
    few = statements(lambda: api.post(LIST, asked))
    for number in range(10):
        suppress(f"+1512555030{number}", api.business).release(None, "Came back.", "3f")
    assert statements(lambda: api.post(LIST, asked)) == few == 5
    one = suppress(PHONE, api.business)
    assert statements(lambda: api.get(f"/suppressions/{one.id}")) == 3


def test_a_check_takes_the_same_statements_whatever_stands(api: Api) -> None:
    def ask() -> Any:
        return api.post("/suppressions/check", body(api))

    none = statements(ask)
    suppress(PHONE, api.business)
    suppress(PHONE, kind=Suppression.Kind.DNC_REGISTRY)
    assert statements(ask) == none
