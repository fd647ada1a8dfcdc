"""Each compliance rule by itself, as a table and without a database: contract §6."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from leads import compliance
from leads.compliance import RULES, judge
from leads.findings import (
    Cap,
    Edition,
    Entry,
    Facts,
    Finding,
    Found,
    Known,
    Overrule,
    Reuse,
    Verdict,
)
from sources.rules import ALLOWED_MODES, DEFAULT_MODES, Mode, Rule

NOW = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)
TODAY = NOW.date()
CLEAN = Facts(
    arrived_on=TODAY, judged_at=NOW, source="mine", has_phone=True, state="TX", postal_code="78701"
)
TX = frozenset({"tx"})
HEX = "0123456789abcdef" * 2 + "01234567"
CERTIFICATE = f"https://cert.trustedform.com/{HEX}"
SECOND = timedelta(seconds=1)
MILLISECOND = timedelta(milliseconds=1)


def known(age: timedelta = timedelta(days=1), source: str = "mine", match: str = "phone") -> Known:
    return Known("lead-1", source, NOW - age, match)


def entry(kind: str = "opt-out", channel: str = "all", **more: Any) -> Entry:
    return Entry("entry-1", kind, channel, NOW - timedelta(days=9), "phone", **more)


REGISTERED = entry("dnc-registry", "voice", is_registry=True, list_name="National")


def edition(age_days: int, name: str = "National") -> Edition:
    return Edition(name, TODAY - timedelta(days=age_days))


def caps(*used: tuple[str, int, int]) -> tuple[Cap, ...]:
    return tuple(Cap(word, "2026-11", limit, count) for word, limit, count in used)


# What is different from a lead that nothing is wrong with, and what is found then. `name` names
# the rule that must miss; None of a look-up: it could not be made.
HITS: list[tuple[Rule, dict[str, Any]]] = [
    (Rule.SOURCE_NOT_APPROVED, {"is_source_approved": False}),
    (Rule.STATE_NOT_ALLOWED, {"state": "FL", "postal_code": "", "allowed_states": TX}),
    (Rule.STATE_NOT_ALLOWED, {"state": "", "allowed_states": TX}),
    (Rule.PRODUCT_NOT_ALLOWED, {"product": "Roof", "allowed_products": frozenset({"solar"})}),
    (Rule.PRODUCT_NOT_ALLOWED, {"product": "", "allowed_products": frozenset({"solar"})}),
    (Rule.VERTICAL_NOT_ALLOWED, {"vertical": "Car", "allowed_verticals": frozenset({"home"})}),
    (Rule.VERTICAL_NOT_ALLOWED, {"vertical": "", "allowed_verticals": frozenset({"home"})}),
    (Rule.CONSENT_MISSING, {"is_trusted_form_required": True}),
    (Rule.CONSENT_MALFORMED, {"is_trusted_form_required": True, "certificate_url": "x"}),
    (Rule.CONSENT_MALFORMED, {"certificate_url": "https://ping.trustedform.com/0.abc"}),
    (Rule.CONSENT_REUSED, {"certificate_id": HEX, "reuses": (Reuse("lead-1", ("phone",)),)}),
    (Rule.CONSENT_REUSED, {"certificate_id": HEX, "reuses": (Reuse("lead-1", ("email",)),)}),
    *((Rule.SUPPRESSED, {"entries": (entry(kind),)}) for kind in ("opt-out", "revocation")),
    *((Rule.SUPPRESSED, {"entries": (entry(kind),)}) for kind in ("complaint", "litigator")),
    (Rule.SUPPRESSED, {"entries": (entry("internal"),)}),
    *((Rule.SUPPRESSED, {"entries": (entry(channel=one),)}) for one in ("sms", "voice", "email")),
    (Rule.ON_DNC_REGISTRY, {"entries": (REGISTERED,)}),
    (Rule.ON_DNC_REGISTRY, {"entries": (REGISTERED,), "editions": (edition(31),)}),
    (Rule.DUPLICATE, {"known": (known(),)}),
    (Rule.DUPLICATE, {"known": (known(match="email"),)}),
    (Rule.DUPLICATE, {"known": (known(timedelta(0)),)}),
    # the last moment of the window: 30 times 24 hours, whatever the clocks do
    (Rule.DUPLICATE, {"known": (known(timedelta(days=30) - MILLISECOND),)}),
    (Rule.DUPLICATE, {"known": (known(timedelta(days=1) - SECOND),), "duplicate_window_days": 1}),
    # one that came a little later, but was stored first
    (Rule.DUPLICATE, {"known": (known(-MILLISECOND),), "duplicate_window_days": 1}),
    (Rule.DUPLICATE, {"known": (known(source="other"),), "is_duplicate_in_business": True}),
    (Rule.DUPLICATE, {"known": (known(source="other"), known())}),
    (Rule.PHONE_INVALID, {"can_phone_exist": False}),
    (Rule.UNDERAGE, {"birth_date": date(2008, 11, 24)}),  # 18 tomorrow
    (Rule.UNDERAGE, {"birth_date": date(2026, 11, 24)}),
    (Rule.UNDERAGE, {"birth_date": date(2008, 2, 29), "arrived_on": date(2026, 2, 28)}),
    (Rule.STATE_MISMATCH, {"state": "CA"}),
    (Rule.STATE_MISMATCH, {"state": "CA", "postal_code": "78701-1234"}),
    (Rule.STATE_MISMATCH, {"state": "CA", "country": "usa"}),
    (Rule.STATE_MISMATCH, {"postal_code": "00000"}),  # no post office has it
    (Rule.STATE_MISMATCH, {"state": "AE", "postal_code": "34001"}),
    (Rule.STATE_MISMATCH, {"state": "PR", "postal_code": "00801"}),
    (Rule.OVER_CAP, {"caps": caps(("daily", 5, 5))}),
    (Rule.OVER_CAP, {"caps": caps(("daily", 5, 6))}),
    (Rule.OVER_CAP, {"caps": caps(("daily", 0, 0))}),
    (Rule.OVER_CAP, {"caps": caps(("daily", 5, 0), ("monthly", 9, 9))}),
    # what could not be looked up
    (Rule.CHECK_UNAVAILABLE, {"entries": None}),
    (Rule.CHECK_UNAVAILABLE, {"editions": None}),
    (Rule.CHECK_UNAVAILABLE, {"known": None}),
    (Rule.CHECK_UNAVAILABLE, {"certificate_id": HEX, "reuses": None}),
    (Rule.CHECK_UNAVAILABLE, {"caps": None}),
    (Rule.CHECK_UNAVAILABLE, {"editions": (edition(32),)}),
    (Rule.CHECK_UNAVAILABLE, {"editions": (edition(0, "Texas"), edition(32))}),
]
MISSES: list[dict[str, Any]] = [
    {},
    {"allowed_states": TX},
    {"state": "tx", "allowed_states": TX},
    {"state": "FL", "postal_code": ""},
    {"product": "Solar", "allowed_products": frozenset({"solar"})},
    {"product": "Solar"},
    {"vertical": "Home", "allowed_verticals": frozenset({"home"})},
    {"is_trusted_form_required": True, "certificate_url": CERTIFICATE, "certificate_id": HEX},
    {"certificate_url": CERTIFICATE, "certificate_id": HEX},
    {"reuses": None},  # no certificate: nothing to look up
    {"editions": (edition(31),)},
    {"editions": (edition(99),), "has_phone": False},  # registries are of phones
    {"known": (known(timedelta(days=30)),)},
    {"known": (known(timedelta(days=1)),), "duplicate_window_days": 1},
    {"known": (known(),), "duplicate_window_days": 0},
    {"known": None, "duplicate_window_days": 0},
    {"known": (known(source="other"),)},
    {"known": (known(timedelta(days=3651)),), "duplicate_window_days": 3650},
    {"has_phone": False, "can_phone_exist": False},
    {"birth_date": date(2008, 11, 23)},  # the 18th birthday
    {"birth_date": date(1900, 1, 1)},
    {"birth_date": date(2008, 2, 29), "arrived_on": date(2026, 3, 1)},
    {"postal_code": "78701-1234"},
    {"postal_code": ""},
    {"state": ""},
    {"postal_code": "SW1A 1AA"},
    {"postal_code": "787"},
    {"state": "Ontario"},
    {"state": "CA", "country": "Mexico"},
    {"state": "NY", "postal_code": "06390"},  # Fishers Island, by way of Connecticut
    {"state": "CT", "postal_code": "06390"},
    {"state": "WY", "postal_code": "83414"},
    {"state": "AE", "postal_code": "09012"},
    {"state": "AA", "postal_code": "34001"},
    {"state": "AP", "postal_code": "96201"},
    {"state": "PR", "postal_code": "00901"},
    {"state": "VI", "postal_code": "00801"},
    {"state": "GU", "postal_code": "96910"},
    {"state": "MP", "postal_code": "96950"},
    {"state": "AS", "postal_code": "96799"},
    {"state": "HI", "postal_code": "96799"},
    {"state": "DC", "postal_code": "20500"},
    {"caps": ()},
    {"caps": caps(("daily", 5, 4))},  # the cap's last lead
    {"caps": caps(("daily", 5, 4), ("monthly", 5, 4))},
]


def found(facts: Facts) -> list[Rule]:
    """Return the rules that find something, each in its default mode."""
    return [one.rule for one in judge(facts, DEFAULT_MODES).findings]


@pytest.mark.parametrize(("rule", "changes"), HITS)
def test_each_rule_hits(rule: Rule, changes: dict[str, Any]) -> None:
    assert found(replace(CLEAN, **changes)) == [rule]


@pytest.mark.parametrize("changes", MISSES, ids=str)
def test_each_rule_misses(changes: dict[str, Any]) -> None:
    assert found(replace(CLEAN, **changes)) == []


def test_every_rule_is_in_the_table() -> None:
    assert {rule for rule, _ in HITS} == set(Rule)
    assert list(RULES) == list(Rule)


@pytest.mark.parametrize("rule", [one for one in Rule if one != Rule.CHECK_UNAVAILABLE])
@pytest.mark.parametrize("mode", Mode)
def test_each_mode_does_what_it_says(rule: Rule, mode: Mode) -> None:
    if mode not in ALLOWED_MODES[rule]:
        return
    changes = next(changes for one, changes in HITS if one == rule)
    verdict = judge(replace(CLEAN, **changes), DEFAULT_MODES | {rule: mode})
    assert [one.rule for one in verdict.findings] == ([] if mode == Mode.OFF else [rule])
    assert bool(verdict.holding) == (mode == Mode.HOLD)
    assert bool(verdict.rejecting) == (mode == Mode.REJECT)
    assert bool(verdict.standing) == (mode in (Mode.HOLD, Mode.REJECT))
    assert bool(verdict.reason) == (mode == Mode.HOLD)


def test_the_modes_of_each_rule_are_those_of_the_contract() -> None:
    hold, flag, reject, off = Mode.HOLD, Mode.FLAG, Mode.REJECT, Mode.OFF
    every = {hold, flag, reject, off}
    assert {rule.value: set(modes) for rule, modes in ALLOWED_MODES.items()} == {
        "source-not-approved": {hold, reject},
        "state-not-allowed": every,
        "product-not-allowed": every,
        "vertical-not-allowed": every,
        "consent-missing": every,
        "consent-malformed": {hold, reject, flag},
        "consent-reused": {hold, reject, flag},
        "suppressed": {hold, reject},
        "on-dnc-registry": {hold, reject, flag},
        "duplicate": every,
        "phone-invalid": every,
        "underage": {hold, reject, flag},
        "state-mismatch": every,
        "over-cap": every,
        "check-unavailable": {hold},
    }
    assert DEFAULT_MODES == dict.fromkeys(Rule, hold) | {Rule.STATE_MISMATCH: flag}


# --- findings -------------------------------------------------------------------------------------

EVERYTHING = replace(
    CLEAN,
    is_source_approved=False,
    allowed_states=frozenset({"ny"}),
    allowed_products=frozenset({"solar"}),
    allowed_verticals=frozenset({"home"}),
    is_trusted_form_required=True,
    state="CA",
    certificate_url="x",
    entries=(entry(), REGISTERED),
    known=(known(),),
    can_phone_exist=False,
    birth_date=date(2020, 1, 1),
    caps=caps(("daily", 1, 1)),
)


def finding(facts: Facts, rule: Rule) -> Finding:
    (one,) = [one for one in judge(facts, DEFAULT_MODES).findings if one.rule == rule]
    return one


def test_all_rules_run_and_their_findings_come_in_the_published_order() -> None:
    codes = found(EVERYTHING)
    assert codes == [
        one
        for one in Rule
        if one not in (Rule.CONSENT_MISSING, Rule.CONSENT_REUSED, Rule.CHECK_UNAVAILABLE)
    ]


def test_sentences_are_joined_in_order_and_a_shared_one_is_said_once() -> None:
    """Twice would tell that the person is suppressed and on a registry."""
    reason = judge(EVERYTHING, DEFAULT_MODES).reason
    assert reason.startswith("The source has not passed compliance review. The source may not")
    assert reason.count("This person may not be contacted.") == 1
    assert "This person is already known. No such phone number can exist." in reason
    assert reason.endswith("The person is under 18. The cap of the source is used up.")


def test_what_rests_on_other_peoples_data_has_fixed_sentences_and_names_the_same_field() -> None:
    for facts in (
        EVERYTHING,
        replace(EVERYTHING, entries=(entry("litigator", "email"), REGISTERED)),
    ):
        suppressed, listed = finding(facts, Rule.SUPPRESSED), finding(facts, Rule.ON_DNC_REGISTRY)
        assert suppressed.sentence == listed.sentence == "This person may not be contacted."
        assert suppressed.field == listed.field == finding(facts, Rule.DUPLICATE).field == "phone"
        assert finding(facts, Rule.DUPLICATE).sentence == "This person is already known."
    by_email = replace(EVERYTHING, has_phone=False)
    assert finding(by_email, Rule.SUPPRESSED).field == "email"


@pytest.mark.parametrize(
    ("rule", "evidence"),
    [
        (Rule.STATE_NOT_ALLOWED, {"state": "CA", "allowed": ["ny"]}),
        (Rule.CONSENT_MALFORMED, {}),
        (
            Rule.SUPPRESSED,
            {
                "suppressions": [
                    {
                        "suppression": "entry-1",
                        "kind": "opt-out",
                        "channel": "all",
                        "match": "phone",
                        "since": "2026-11-14T18:00:00+00:00",
                    }
                ]
            },
        ),
        (
            Rule.ON_DNC_REGISTRY,
            {
                "suppressions": [
                    {
                        "suppression": "entry-1",
                        "kind": "dnc-registry",
                        "channel": "voice",
                        "match": "phone",
                        "since": "2026-11-14T18:00:00+00:00",
                        "list": "National",
                    }
                ]
            },
        ),
        (
            Rule.DUPLICATE,
            {
                "leads": [
                    {
                        "lead": "lead-1",
                        "source": "mine",
                        "match": "phone",
                        "received_at": "2026-11-22T18:00:00+00:00",
                    }
                ]
            },
        ),
        (Rule.UNDERAGE, {"age": 6, "on": "2026-11-23"}),
        (Rule.STATE_MISMATCH, {"state": "CA", "zip": "787", "states_of_zip": ["TX"]}),
        (Rule.OVER_CAP, {"caps": [{"cap": "daily", "period": "2026-11", "limit": 1, "used": 1}]}),
    ],
)
def test_a_finding_has_the_evidence_it_rests_on(rule: Rule, evidence: dict[str, Any]) -> None:
    assert finding(EVERYTHING, rule).evidence == evidence


@pytest.mark.parametrize(
    ("overrule", "rules"),
    [
        (
            Overrule.NO,
            {
                Rule.SUPPRESSED,
                Rule.DUPLICATE,
                Rule.UNDERAGE,
                Rule.OVER_CAP,
                Rule.CHECK_UNAVAILABLE,
            },
        ),
        (Overrule.WITH_CONSENT, {Rule.ON_DNC_REGISTRY}),
    ],
)
def test_a_finding_says_whether_a_reviewer_may_overrule_it(
    overrule: Overrule, rules: Iterable[Rule]
) -> None:
    assert {rule for rule, kind in RULES.items() if kind.overrule == overrule} == rules
    for rule, changes in HITS:
        one = finding(replace(CLEAN, **changes), rule)
        assert (one.overrule == overrule) == (rule in rules)
        assert one.as_row()["overrule"] == one.overrule.value


def test_a_rule_says_of_itself_what_it_finds() -> None:
    for rule, kind in RULES.items():
        usual = next(changes for one, changes in HITS if one == rule)
        one = finding(replace(CLEAN, **usual), rule)
        assert one.sentence == kind.sentence
        assert (one.field or "source") == kind.field or rule == Rule.CHECK_UNAVAILABLE


# --- checks that cannot run ---------------------------------------------------------------------


def test_a_check_that_cannot_run_holds_the_lead_whatever_its_own_mode() -> None:
    modes = DEFAULT_MODES | {Rule.DUPLICATE: Mode.FLAG, Rule.ON_DNC_REGISTRY: Mode.FLAG}
    verdict = judge(replace(CLEAN, known=None, editions=(edition(32),)), modes)
    (one,) = verdict.holding
    assert one.rule == Rule.CHECK_UNAVAILABLE
    assert one.evidence == {
        "rules": [
            {
                "rule": "on-dnc-registry",
                "why": "list too old",
                "list": "National",
                "listed_on": "2026-10-22",
            },
            {"rule": "duplicate", "why": "look-up failed"},
        ]
    }


def test_a_person_on_one_list_is_not_known_to_be_off_another_that_is_too_old() -> None:
    facts = replace(CLEAN, entries=(REGISTERED,), editions=(edition(0), edition(32, "Texas")))
    for mode in (Mode.HOLD, Mode.FLAG):
        verdict = judge(facts, DEFAULT_MODES | {Rule.ON_DNC_REGISTRY: mode})
        assert [one.rule for one in verdict.findings] == [
            Rule.ON_DNC_REGISTRY,
            Rule.CHECK_UNAVAILABLE,
        ]
        assert verdict.holding[-1].rule == Rule.CHECK_UNAVAILABLE


def test_a_check_that_is_off_need_not_run() -> None:
    off = {rule: Mode.OFF for rule in (Rule.DUPLICATE, Rule.OVER_CAP)}
    assert judge(replace(CLEAN, known=None, caps=None), DEFAULT_MODES | off) == Verdict(())


def test_a_rule_that_breaks_holds_the_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(facts: Facts) -> Found | None:
        raise ZeroDivisionError

    kind = replace(RULES[Rule.PHONE_INVALID], run=broken)
    monkeypatch.setitem(compliance.RULES, Rule.PHONE_INVALID, kind)
    verdict = judge(replace(CLEAN, birth_date=date(2020, 1, 1)), DEFAULT_MODES)
    assert [one.rule for one in verdict.holding] == [Rule.UNDERAGE, Rule.CHECK_UNAVAILABLE]
    assert verdict.findings[-1].evidence == {
        "rules": [{"rule": "phone-invalid", "why": "ZeroDivisionError"}]
    }


# --- opt-outs from text messages ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "is_out"),
    [
        ((), False),
        ((entry(channel="sms"),), True),
        ((entry(channel="all"),), True),
        ((entry(channel="voice"),), False),
        ((entry(channel="email"),), False),
        ((REGISTERED, entry("dnc-registry", "all", is_registry=True)), False),
    ],
)
def test_who_has_opted_out_of_text_messages(entries: tuple[Entry, ...], is_out: bool) -> None:
    since = replace(CLEAN, entries=entries).opted_out_at
    assert since == (NOW - timedelta(days=9) if is_out else None)


def test_the_first_of_several_opt_outs_counts() -> None:
    later = replace(entry(channel="sms"), since=NOW)
    assert replace(CLEAN, entries=(later, entry())).opted_out_at == NOW - timedelta(days=9)


def test_facts_of_a_moment_later_have_the_cap_used_up_or_used_once_more() -> None:
    facts = replace(CLEAN, caps=caps(("daily", 5, 3), ("monthly", 9, 4)))
    full = facts.with_cap_used_up("daily")
    assert [one.used for one in full.caps or ()] == [5, 4]
    assert found(full) == [Rule.OVER_CAP]
    assert [one.used for one in facts.with_one_more_approved().caps or ()] == [4, 5]
