"""The rules that need no other row, and what their modes do: contract §6."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from intake.models import Post
from leads import compliance
from leads.compliance import Facts, judge
from leads.facts import facts_of
from leads.models import Lead
from sources.models import SourceRule
from sources.rules import ALLOWED_MODES, DEFAULT_MODES, RULES_VERSION, Mode, Rule
from tests.factories import CERTIFICATE, Door, make_source

TODAY = date(2026, 11, 23)
CLEAN = Facts(arrived_on=TODAY)
TX = frozenset({"tx"})
HEX = CERTIFICATE.rsplit("/", 1)[1]


def found(facts: Facts) -> list[Rule]:
    """Return the rules that find something, each in its default mode."""
    return [one.rule for one in judge(facts, DEFAULT_MODES).findings]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"is_source_approved": False}, [Rule.SOURCE_NOT_APPROVED]),
        ({"state": "FL"}, []),
        ({"state": "TX", "allowed_states": TX}, []),
        ({"state": "tx", "allowed_states": TX}, []),
        ({"state": "FL", "allowed_states": TX}, [Rule.STATE_NOT_ALLOWED]),
        ({"state": "", "allowed_states": TX}, [Rule.STATE_NOT_ALLOWED]),
        ({"product": "Solar", "allowed_products": frozenset({"solar"})}, []),
        ({"product": "Roof", "allowed_products": frozenset({"solar"})}, [Rule.PRODUCT_NOT_ALLOWED]),
        ({"allowed_products": frozenset({"solar"})}, [Rule.PRODUCT_NOT_ALLOWED]),
        ({"vertical": "Home", "allowed_verticals": frozenset({"home"})}, []),
        (
            {"vertical": "Car", "allowed_verticals": frozenset({"home"})},
            [Rule.VERTICAL_NOT_ALLOWED],
        ),
        ({"allowed_verticals": frozenset({"home"})}, [Rule.VERTICAL_NOT_ALLOWED]),
        ({"is_trusted_form_required": True}, [Rule.CONSENT_MISSING]),
        (
            {
                "is_trusted_form_required": True,
                "certificate_url": CERTIFICATE,
                "certificate_id": HEX,
            },
            [],
        ),
        ({"is_trusted_form_required": True, "certificate_url": "x"}, [Rule.CONSENT_MALFORMED]),
        ({"certificate_url": "x"}, [Rule.CONSENT_MALFORMED]),
        ({"has_phone": True, "can_phone_exist": False}, [Rule.PHONE_INVALID]),
        ({"has_phone": True, "can_phone_exist": True}, []),
        ({"birth_date": date(2008, 11, 23)}, []),
        ({"birth_date": date(2008, 11, 24)}, [Rule.UNDERAGE]),
        ({"birth_date": date(2026, 11, 24)}, [Rule.UNDERAGE]),
        ({"birth_date": date(1900, 1, 1)}, []),
    ],
)
def test_each_rule_hits_and_misses(changes: dict[str, Any], expected: list[Rule]) -> None:
    assert found(replace(CLEAN, **changes)) == expected


def test_who_was_born_on_29_february_comes_of_age_on_1_march() -> None:
    born = date(2008, 2, 29)
    assert found(Facts(arrived_on=date(2026, 2, 28), birth_date=born)) == [Rule.UNDERAGE]
    assert found(Facts(arrived_on=date(2026, 3, 1), birth_date=born)) == []


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
    facts = facts_of(lead, source)
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
    source = make_source(allowed_states=["texas", " ca "], allowed_products=["SOLAR"])
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

# For each rule that runs, a post and settings of a source that make it find something.
TRIGGERS: dict[Rule, tuple[dict[str, Any], dict[str, Any]]] = {
    Rule.SOURCE_NOT_APPROVED: ({"is_approved": False}, {}),
    Rule.STATE_NOT_ALLOWED: ({"allowed_states": ["TX"]}, {"state": "FL"}),
    Rule.PRODUCT_NOT_ALLOWED: ({"allowed_products": ["Solar"]}, {"product": "Roof"}),
    Rule.VERTICAL_NOT_ALLOWED: ({"allowed_verticals": ["Home"]}, {"vertical": "Car"}),
    Rule.CONSENT_MISSING: ({"is_trusted_form_required": True}, {}),
    Rule.CONSENT_MALFORMED: ({}, {"trustedFormUrl": "x"}),
    Rule.PHONE_INVALID: ({}, {"phone": "512-155-0137"}),
    Rule.UNDERAGE: ({}, {"dateOfBirth": "2020-01-01"}),
}
ALLOWED = [(rule, mode) for rule in TRIGGERS for mode in ALLOWED_MODES[rule]]
FORBIDDEN = [
    (rule, mode) for rule, modes in ALLOWED_MODES.items() for mode in Mode if mode not in modes
]


def test_every_rule_that_runs_is_tried_in_every_mode() -> None:
    assert set(TRIGGERS) == set(compliance.RULES)
    assert list(compliance.RULES) == [rule for rule in Rule if rule in compliance.RULES]


@pytest.mark.parametrize(("rule", "mode"), ALLOWED)
def test_each_mode_does_what_it_says(db: None, rule: Rule, mode: Mode) -> None:
    settings, members = TRIGGERS[rule]
    response = Door(make_source(**settings, modes={rule: mode})).send(**members)
    if mode == Mode.REJECT:
        assert response.status_code == 422
        assert response.json()["type"].endswith(f"/problems/{rule}")
        assert [one["code"] for one in response.json()["faults"]] == [rule]
        assert Lead.objects.count() == 0
        assert Post.objects.get().outcome == rule
        return
    lead = Lead.objects.get()
    assert response.status_code == 201
    assert (lead.compliance_status == "Blocked") == (mode == Mode.HOLD)
    assert [one["code"] for one in lead.findings] == ([] if mode == Mode.OFF else [rule])
    assert (response.json()["metadata"]["complianceBlockedReason"] is None) == (mode != Mode.HOLD)
    assert response.headers.get("Leadping-Findings", "") == ("" if mode == Mode.OFF else rule)


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
    on = lead.received_at.astimezone(ZoneInfo("Pacific/Pago_Pago")).date().isoformat()
    assert lead.findings == [
        {
            "code": "state-not-allowed",
            "mode": "hold",
            "sentence": "The source may not send leads of this state.",
            "evidence": {"state": "FL", "allowed": ["tx"]},
        },
        {
            "code": "underage",
            "mode": "hold",
            "sentence": "The person is under 18.",
            "evidence": {"birth_date": "2020-01-01", "on": on},
        },
    ]
    source.refresh_from_db()
    assert lead.rules_version == f"{RULES_VERSION}/{source.version}"
    assert lead.compliance_status == "Blocked"


def test_a_rule_that_cannot_run_holds_the_lead(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(facts: Facts) -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(compliance.RULES, Rule.PHONE_INVALID, broken)
    response = Door(make_source()).send(dateOfBirth="2020-01-01")
    assert response.status_code == 201
    assert response.headers["Leadping-Findings"] == "underage, check-unavailable"
    finding = Lead.objects.get().findings[-1]
    assert finding["evidence"] == {
        "rules": [{"rule": "phone-invalid", "error": "ZeroDivisionError"}]
    }
