"""What the compliance rules do to a post, by their modes, and what they look up: contract §6."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from intake.models import Post
from leads.compliance import RULES
from leads.facts import gather
from leads.models import Lead, RegistryList
from sources.models import Source, SourceRule
from sources.rules import ALLOWED_MODES, RULES_VERSION, Mode, Rule
from tests.factories import CERTIFICATE, Door, make_key, make_source, make_tombstone, suppress
from tests.test_rules import found

HEX = CERTIFICATE.rsplit("/", 1)[1]


def status_of(response: Any) -> str:
    """Return what an answer says of its lead."""
    assert response.status_code == 201, response.content
    return str(response.json()["metadata"]["complianceStatus"])


def codes_of(response: Any) -> list[str]:
    """Return the findings that an answer names."""
    return [one for one in response.headers.get("Leadping-Findings", "").split(", ") if one]


# --- consent --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrived_at", "is_adult"),
    [
        # Midnight in Pago Pago is 11:00 UTC.
        (datetime(2026, 11, 23, 10, 59, 59, 999000, tzinfo=UTC), False),
        (datetime(2026, 11, 23, 11, 0, tzinfo=UTC), True),
    ],
)
def test_age_counts_in_the_last_us_zone(db: None, arrived_at: datetime, is_adult: bool) -> None:
    source = make_source()
    lead = Lead(source=source, received_at=arrived_at, birth_date=date(2008, 11, 23))
    facts = gather(lead, source, arrived_at)
    assert facts.arrived_on == arrived_at.astimezone(ZoneInfo("Pacific/Pago_Pago")).date()
    assert (found(facts) == []) == is_adult


@pytest.mark.parametrize(
    "url",
    [
        "http://cert.trustedform.com/" + HEX,
        "https://cert.trustedform.com:443/" + HEX,
        "https://user@cert.trustedform.com/" + HEX,
        "https://cert.trustedform.com/" + HEX + "?x=1",
        "https://cert.trustedform.com/" + HEX + "#x",
        "https://cert.trustedform.com/" + HEX + "/",
        "https://cert.trustedform.com/" + HEX[:-1],
        "https://cert.trustedform.com/" + HEX + "0",
        "https://cert.trustedform.com/" + HEX[:-1] + "g",
        "https://cert.trustedform.com.evil.example/" + HEX,
        "https://certxtrustedform.com/" + HEX,
        "https://cert.trustedform.com\\@127.0.0.1/" + HEX,
        "https://ping.trustedform.com/" + HEX,
        "https://cert.trustedform.com/" + HEX[:-1] + "\uff10",
        "HTTPS://cert.trustedform.com/" + HEX,
        "x",
    ],
)
def test_what_is_not_exactly_a_certificate_url_holds_the_lead(db: None, url: str) -> None:
    response = Door(make_source()).send(trustedFormUrl=url)
    assert response.status_code == 201
    assert response.headers["Leadping-Findings"] == "consent-malformed"
    assert Lead.objects.get().certificate_id == ""


def test_a_certificate_url_may_be_written_in_capital_hex(db: None) -> None:
    url = CERTIFICATE[: -len(HEX)] + HEX.upper()
    response = Door(make_source(is_trusted_form_required=True)).send(trustedFormUrl=url)
    assert "Leadping-Findings" not in response.headers
    assert Lead.objects.get().certificate_id == HEX
    assert response.json()["metadata"]["trustedFormUrl"] == url


def test_lists_of_a_source_are_compared_without_regard_to_case_and_states_by_name(db: None) -> None:
    source = make_source(
        allowed_states=["texas", " ca "], allowed_products=[" SOLAR "], duplicate_window_days=0
    )
    door = Door(source)
    for state in ("TX", "Texas", "california"):
        response = door.send(state=state, product="Solar")
        assert response.json()["metadata"]["complianceStatus"] == "Approved"
    assert (
        door.send(state="FL", product="solar").json()["metadata"]["complianceStatus"] == "Blocked"
    )


def test_a_phone_that_cannot_exist_holds_the_lead(db: None) -> None:
    response = Door(make_source()).send(phone="512-155-0137")
    assert response.status_code == 201
    assert response.headers["Leadping-Findings"] == "phone-invalid"


# --- modes --------------------------------------------------------------------------------------

Preparation = Callable[[Source], object]


def nothing(source: Source) -> None:
    """Prepare nothing."""


def registered(source: Source) -> None:
    suppress("512-555-0137", kind="dnc-registry", listed_on=date.today())


def stale_list(source: Source) -> None:
    RegistryList.objects.create(name="National", listed_on=date.today() - timedelta(days=40))


# For each rule, the settings of a source, a post, and what was there before, by which it finds
# something.
TRIGGERS: dict[Rule, tuple[dict[str, Any], dict[str, Any], Preparation]] = {
    Rule.SOURCE_NOT_APPROVED: ({"is_approved": False}, {}, nothing),
    Rule.STATE_NOT_ALLOWED: ({"allowed_states": ["TX"]}, {"state": "FL"}, nothing),
    Rule.PRODUCT_NOT_ALLOWED: ({"allowed_products": ["Solar"]}, {"product": "Roof"}, nothing),
    Rule.VERTICAL_NOT_ALLOWED: ({"allowed_verticals": ["Home"]}, {"vertical": "Car"}, nothing),
    Rule.CONSENT_MISSING: ({"is_trusted_form_required": True}, {}, nothing),
    Rule.CONSENT_MALFORMED: ({}, {"trustedFormUrl": "x"}, nothing),
    Rule.CONSENT_REUSED: (
        {},
        {"trustedFormUrl": CERTIFICATE},
        lambda source: Door(source).send(
            trustedFormUrl=CERTIFICATE, phone="512-555-0199", email="eve@example.com"
        ),
    ),
    Rule.SUPPRESSED: ({}, {}, lambda source: suppress("512-555-0137", source.business)),
    Rule.ON_DNC_REGISTRY: ({}, {}, registered),
    Rule.DUPLICATE: ({}, {}, lambda source: Door(source).send()),
    Rule.PHONE_INVALID: ({}, {"phone": "512-155-0137"}, nothing),
    Rule.UNDERAGE: ({}, {"dateOfBirth": "2020-01-01"}, nothing),
    Rule.STATE_MISMATCH: ({}, {"state": "CA", "zip": "78701"}, nothing),
    Rule.OVER_CAP: ({"daily_cap": 0}, {}, nothing),
    Rule.CHECK_UNAVAILABLE: ({}, {}, stale_list),
}
ALLOWED = [(rule, mode) for rule in TRIGGERS for mode in ALLOWED_MODES[rule]]
FORBIDDEN = [
    (rule, mode) for rule, modes in ALLOWED_MODES.items() for mode in Mode if mode not in modes
]
HIDDEN = (Rule.SUPPRESSED, Rule.ON_DNC_REGISTRY)


def test_every_rule_is_tried_in_every_mode() -> None:
    assert list(TRIGGERS) == list(RULES) == list(Rule)


@pytest.mark.parametrize(("rule", "mode"), ALLOWED)
def test_each_mode_does_what_it_says(db: None, rule: Rule, mode: Mode) -> None:
    settings, members, prepare = TRIGGERS[rule]
    source = make_source(**settings, modes={rule: mode})
    prepare(source)
    before = set(Lead.objects.values_list("id", flat=True))
    response = Door(source).send(**members)
    told = "not-accepted" if rule in HIDDEN else rule.value
    if mode == Mode.REJECT:
        assert response.status_code == 422
        assert response.json()["type"].endswith(f"/problems/{told}")
        assert [one["code"] for one in response.json()["faults"]] == [told]
        assert set(Lead.objects.values_list("id", flat=True)) == before
        post = Post.objects.latest("id")
        assert post.outcome == told
        # what the vendor is not told, staff are
        assert [one["code"] for one in post.findings or ()] == [rule]
        source.refresh_from_db()
        assert post.rules_version == f"{RULES_VERSION}/{source.version}"
        return
    lead = Lead.objects.exclude(id__in=before).get()
    assert (status_of(response) == "Blocked") == (mode == Mode.HOLD)
    assert (lead.compliance_status == "Blocked") == (mode == Mode.HOLD)
    assert (lead.approved_at is None) == (mode == Mode.HOLD)
    assert [one["code"] for one in lead.findings] == ([] if mode == Mode.OFF else [rule])
    assert (response.json()["metadata"]["complianceBlockedReason"] is None) == (mode != Mode.HOLD)
    assert codes_of(response) == ([] if mode == Mode.OFF else [told])


def test_a_suppression_and_a_registry_are_told_by_one_code_and_one_sentence(db: None) -> None:
    answers = []
    for rule in HIDDEN:
        for mode in (Mode.HOLD, Mode.REJECT):
            source = make_source(modes={rule: mode})
            TRIGGERS[rule][2](source)
            response = Door(source).send()
            body = response.json()
            reason = body["metadata"]["complianceBlockedReason"] if mode == Mode.HOLD else body
            for varying in ("requestId", "traceId"):
                if mode == Mode.REJECT:
                    del reason[varying]
            answers.append((mode, response.status_code, codes_of(response), reason))
        suppressed = source.business.suppressions.first()
        if suppressed:
            suppressed.release(None, "test over", "signed again")
    assert answers[:2] == answers[2:]


@pytest.mark.parametrize(("rule", "mode"), FORBIDDEN)
def test_other_modes_are_refused_by_the_form_and_by_the_database(
    db: None, rule: Rule, mode: Mode
) -> None:
    source = make_source()
    with pytest.raises(ValidationError, match="may be set to"):
        source.set_mode(rule, mode)
    SourceRule.objects.all().delete()
    with pytest.raises(IntegrityError), transaction.atomic():
        SourceRule.objects.create(source=source, rule=rule, mode=mode)


def test_an_unknown_rule_is_refused_by_the_database(db: None) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        SourceRule.objects.create(source=make_source(), rule="made-up", mode=Mode.HOLD)


def test_one_rejecting_rule_refuses_and_all_findings_are_told_in_order(db: None) -> None:
    source = make_source(
        is_approved=False,
        allowed_states=["TX"],
        modes={
            Rule.UNDERAGE: Mode.REJECT,
            Rule.STATE_NOT_ALLOWED: Mode.REJECT,
            Rule.PHONE_INVALID: Mode.FLAG,
        },
    )
    members = {"State": "FL", "birthDate": "2020-01-01", "phone": "512-155-0137"}
    response = Door(source).send(**members)
    assert response.status_code == 422
    body = response.json()
    assert body["type"].endswith("/problems/state-not-allowed")
    assert [(one["field"], one["code"]) for one in body["faults"]] == [
        ("source", "source-not-approved"),
        ("State", "state-not-allowed"),
        ("phone", "phone-invalid"),
        ("birthDate", "underage"),
    ]
    assert "FL" not in str(body)
    assert Lead.objects.count() == 0
    assert bytes(Post.objects.get().body)


def test_findings_are_kept_with_their_evidence_and_the_version_of_the_rules(db: None) -> None:
    source = make_source(allowed_states=["TX"])
    Door(source).send(state="FL", dateOfBirth="2020-01-01")
    lead = Lead.objects.get()
    today = lead.received_at.astimezone(ZoneInfo("Pacific/Pago_Pago")).date()
    age, on = today.year - 2020, today.isoformat()
    assert lead.findings == [
        {
            "code": "state-not-allowed",
            "mode": "hold",
            "sentence": "The source may not send leads of this state.",
            "overrule": "yes",
            "evidence": {"state": "FL", "allowed": ["tx"]},
        },
        {
            "code": "underage",
            "mode": "hold",
            "sentence": "The person is under 18.",
            "overrule": "no",
            "evidence": {"age": age, "on": on},
        },
    ]
    source.refresh_from_db()
    assert lead.rules_version == f"{RULES_VERSION}/{source.version}"
    assert lead.compliance_status == "Blocked"


def test_a_person_both_suppressed_and_listed_is_refused_in_one_sentence(db: None) -> None:
    modes = {rule: Mode.REJECT for rule in HIDDEN}
    source = make_source(modes=modes, allowed_states=["TX"])
    for rule in HIDDEN:
        TRIGGERS[rule][2](source)
    body = Door(source).send(state="FL").json()
    assert [one["code"] for one in body["faults"]] == ["state-not-allowed", "not-accepted"]
    assert body["detail"] == (
        "The source may not send leads of this state. This person may not be contacted."
    )
    codes = [one["code"] for one in Post.objects.get().findings or ()]
    assert codes == ["state-not-allowed", "suppressed", "on-dnc-registry"]


# --- duplicates -----------------------------------------------------------------------------------


def age(lead: Lead, **by: float) -> None:
    """Let a lead have come earlier."""
    Lead.objects.filter(id=lead.id).update(
        received_at=lead.received_at - timedelta(**by), approved_at=lead.received_at
    )


@pytest.mark.parametrize("members", [{"email": "eve@example.com"}, {"phone": "512-555-0199"}, {}])
def test_the_same_phone_or_the_same_email_is_a_duplicate(door: Door, members: Any) -> None:
    first = door.send()
    assert status_of(first) == "Approved"
    again = door.send(**members)
    assert (status_of(again), codes_of(again)) == ("Blocked", ["duplicate"])
    assert again.json()["metadata"]["complianceBlockedReason"] == "This person is already known."
    assert first.json()["id"] not in str(again.json())
    (finding,) = Lead.objects.get(id=again.json()["id"]).findings
    assert {one["lead"] for one in finding["evidence"]["leads"]} == {first.json()["id"]}
    other = door.send(phone="512-555-0100", email="new@example.com")
    assert status_of(other) == "Approved"


def test_a_duplicate_is_one_within_the_window_only(door: Door) -> None:
    door.send()
    age(Lead.objects.get(), days=29, hours=23, minutes=59)
    assert codes_of(door.send()) == ["duplicate"]
    age(Lead.objects.filter(compliance_status="Approved").get(), minutes=2)
    assert status_of(door.send()) == "Approved"


def test_only_approved_real_leads_make_duplicates(db: None) -> None:
    source = make_source()
    door = Door(source)
    assert status_of(door.send(dateOfBirth="2020-01-01")) == "Blocked"
    test_door = Door(source, make_key(source, is_test=True)[1])
    assert status_of(test_door.send()) == "Approved"
    assert status_of(door.send()) == "Approved"
    assert codes_of(door.send()) == ["duplicate"]
    Lead.objects.filter(is_test=False, compliance_status="Approved").update(
        deleted_at=timezone.now()
    )
    assert codes_of(door.send()) == ["duplicate"]  # put away, but sold
    assert codes_of(test_door.send()) == ["duplicate"]  # a test is judged like any other
    for lead in Lead.objects.filter(is_test=False):
        make_tombstone(lead)
    assert status_of(door.send()) == "Approved"


def test_a_newer_lead_of_another_source_does_not_hide_ones_own(db: None) -> None:
    source = make_source()
    Door(source).send()
    age(Lead.objects.get(), days=10)
    assert status_of(Door(make_source(business=source.business)).send()) == "Approved"
    assert codes_of(Door(source).send()) == ["duplicate"]


def test_an_older_lead_outside_the_window_does_not_hide_a_newer_one(db: None) -> None:
    source = make_source(duplicate_window_days=0)
    door = Door(source)
    door.send()
    age(Lead.objects.get(), days=90)
    door.send()
    source.duplicate_window_days = 30
    source.save()
    assert codes_of(door.send()) == ["duplicate"]


@pytest.mark.parametrize("scope", Source.DuplicateScope)
def test_the_scope_says_whose_leads_make_duplicates(db: None, scope: str) -> None:
    business = (first := make_source()).business
    Door(first).send()
    second = make_source(business=business, duplicate_scope=scope)
    elsewhere = make_source(duplicate_scope=scope)
    assert codes_of(Door(second).send()) == (["duplicate"] if scope == "business" else [])
    assert codes_of(Door(elsewhere).send()) == []


# --- certificates ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "is_reused"),
    [
        ({"phone": "512-555-0199"}, True),
        ({"email": "eve@example.com"}, True),
        ({}, False),
        ({"phone": ...}, False),  # a missing one is not different
        ({"email": ...}, False),
        ({"trustedFormUrl": CERTIFICATE[:-1] + "f", "phone": "512-555-0199"}, False),
    ],
)
def test_a_certificate_that_comes_with_another_person_is_reused(
    db: None, members: dict[str, Any], is_reused: bool
) -> None:
    source = make_source(modes={Rule.DUPLICATE: Mode.OFF}, is_sms_consent_covered=True)
    door = Door(source)
    url = CERTIFICATE[: -len(HEX)] + HEX.upper()
    first = door.send(trustedFormUrl=url, dateOfBirth="2020-01-01")  # whatever became of it
    again = door.send(**{"trustedFormUrl": CERTIFICATE} | members)
    assert codes_of(again) == (["consent-reused"] if is_reused else [])
    if is_reused:
        (finding,) = Lead.objects.get(id=again.json()["id"]).findings
        assert finding["evidence"] == {
            "leads": [
                {"lead": first.json()["id"], "differs": [next(iter(members))]},
            ]
        }
        # a certificate that does not stand proves no consent to text messages
        assert again.json()["metadata"]["smsConsentStatus"] == "Unknown"


def test_a_certificate_is_compared_with_what_was_first_posted(door: Door) -> None:
    door.source.set_mode(Rule.DUPLICATE, Mode.OFF)
    door.send(trustedFormUrl=CERTIFICATE)
    Lead.objects.update(phone="+15125550100")  # corrected by staff
    assert codes_of(door.send(trustedFormUrl=CERTIFICATE)) == []
    again = door.send(trustedFormUrl=CERTIFICATE, phone="512-555-0100")
    assert codes_of(again) == ["consent-reused"]


def test_a_certificate_is_reused_within_one_business_and_not_by_tests(db: None) -> None:
    source = make_source()
    Door(source, make_key(source, is_test=True)[1]).send(trustedFormUrl=CERTIFICATE)
    other = {"trustedFormUrl": CERTIFICATE, "phone": "512-555-0199", "email": "eve@example.com"}
    assert codes_of(Door(make_source()).send(trustedFormUrl=CERTIFICATE)) == []
    assert codes_of(Door(source).send(**other)) == []
    in_business = Door(make_source(business=source.business))
    assert codes_of(in_business.send(trustedFormUrl=CERTIFICATE)) == ["consent-reused"]


def test_an_unverified_certificate_can_be_had_for_72_hours(door: Door) -> None:
    door.send(trustedFormUrl=CERTIFICATE)
    lead = Lead.objects.get()
    assert lead.consent_expires_at == lead.received_at + timedelta(hours=72)
    door.send(phone="512-555-0199", email=..., trustedFormUrl="x")
    assert Lead.objects.latest("id").consent_expires_at is None


# --- checks that cannot run -----------------------------------------------------------------------


@pytest.fixture
def without_suppressions(transactional_db: None) -> Any:
    """Take the table of suppressions away."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE leads_suppression RENAME TO elsewhere")
    yield
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE elsewhere RENAME TO leads_suppression")


def test_a_person_who_cannot_be_looked_up_is_held_and_not_lost(
    without_suppressions: None, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    source = make_source(daily_cap=5, is_sms_consent_covered=True)
    response = Door(source).send(trustedFormUrl=CERTIFICATE, externalId="x-1")
    # a certificate of which nobody knows whether it was reused proves nothing
    assert response.json()["metadata"]["smsConsentStatus"] == "Unknown"
    assert Lead.objects.get().sms_consent_status == "Unknown"
    assert (status_of(response), codes_of(response)) == ("Blocked", ["check-unavailable"])
    (finding,) = Lead.objects.get().findings
    assert [one["rule"] for one in finding["evidence"]["rules"]] == [
        *("consent-reused", "suppressed", "on-dnc-registry", "duplicate", "over-cap")
    ]
    again = Door(source).send(trustedFormUrl=CERTIFICATE, externalId="x-1")
    assert again.json()["id"] == response.json()["id"]
    Lead.objects.update(sms_consent_status="OptedIn")  # as if it had come before the trouble
    again = Door(source).send(trustedFormUrl=CERTIFICATE, externalId="x-1")
    assert again.json()["metadata"]["smsConsentStatus"] == "Unknown"
    (line,) = [one for one in log_lines() if one["event"] == "compliance.lookup_failed"][:1]
    assert "5550137" not in str(line)


def test_rules_that_could_not_be_run_are_told_in_the_log(
    door: Door, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    stale_list(door.source)
    door.send()
    (line,) = [one for one in log_lines() if one["event"] == "compliance.check_unavailable"]
    assert line["rules"][0]["why"] == "list too old"


def test_evidence_is_without_the_person_who_may_be_erased(door: Door) -> None:
    url = "https://ping.trustedform.com/?email=ada@example.com&phone=5125550137"
    door.send(trustedFormUrl=url, dateOfBirth="2015-05-06", phone="512-155-0137")
    kept = str(Lead.objects.get().findings)
    assert [one for one in ("2015-05-06", "ada@", "5550137", "1550137") if one in kept] == []


def test_what_is_not_seen_does_not_hide_a_product(db: None) -> None:
    door = Door(make_source(allowed_products=["Solar"], allowed_verticals=["Home"]))
    assert codes_of(door.send(product="So\u200blar", vertical="\u202eHome")) == []


def test_leads_pass_again_once_the_person_can_be_looked_up(door: Door) -> None:
    stale_list(door.source)
    assert codes_of(door.send()) == ["check-unavailable"]
    assert codes_of(door.send(phone=...)) == []  # registries are of phones
    RegistryList.objects.create(name="National", listed_on=date.today())
    assert codes_of(door.send(email=...)) == []


def test_a_list_that_is_no_longer_used_need_not_be_fresh(door: Door) -> None:
    stale_list(door.source)
    RegistryList.objects.update(retired_at=timezone.now())
    assert codes_of(door.send()) == []


# --- what it costs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "members", "more"),
    [
        ({}, {}, 0),
        ({}, {"trustedFormUrl": CERTIFICATE, "externalId": "x-1"}, 0),
        ({"daily_cap": 9}, {}, 1),
        ({"daily_cap": 9, "monthly_cap": 9}, {}, 2),
        ({"daily_cap": 1}, {}, 0),  # full: the lead is held, and nothing counted
    ],
)
def test_statements_of_a_post(
    db: None, settings: dict[str, Any], members: dict[str, Any], more: int
) -> None:
    """PostgreSQL: limiter, lock, gather, write, and one for each cap; SQLite: no lock, two rows."""
    door = Door(make_source(**settings))
    door.send()
    with CaptureQueriesContext(connection) as queries:
        door.send(phone="512-555-0199", email="eve@example.com", **members)
    statements = [
        one["sql"] for one in queries if not one["sql"].startswith(("SAVEPOINT", "RELEASE"))
    ]
    assert len(statements) == 4 + more, statements
    if connection.vendor == "postgresql":
        assert "pg_advisory_xact_lock" in statements[1]
        assert "UNION ALL" in statements[2]  # apart: what is read is of the time after the wait
