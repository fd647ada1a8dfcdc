"""The compliance rules, each a pure function from facts to a finding: no ORM, clock or settings.

All rules run, in the published order of `sources.rules.Rule`; the modes of the source then say
what their findings do. Source: contract §6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from leads import geography
from leads.findings import CannotRun, Entry, Facts, Finding, Found, Overrule, Verdict
from sources.rules import Mode, Rule

T = TypeVar("T")

ADULT_AGE = 18
REGISTRY_MAX_AGE_DAYS = 31
MAY_NOT_BE_CONTACTED = "This person may not be contacted."


def looked_up(fact: T | None) -> T:
    """Return a fact of other rows; raises CannotRun if it could not be had."""
    if fact is None:
        raise CannotRun("look-up failed")
    return fact


def source_not_approved(facts: Facts) -> Found | None:
    if facts.is_source_approved:
        return None
    return Found("The source has not passed compliance review.")


def _not_listed(kind: str, value: str, allowed: frozenset[str]) -> Found | None:
    """Judge a value against a source's case-folded list: an empty list allows all."""
    if not allowed or value.casefold() in allowed:
        return None
    if value:
        sentence = f"The source may not send leads of this {kind}."
    else:
        sentence = f"The source may only send leads of listed {kind}s, and the lead has none."
    return Found(sentence, kind, {kind: value, "allowed": sorted(allowed)})


def state_not_allowed(facts: Facts) -> Found | None:
    return _not_listed("state", facts.state, facts.allowed_states)


def product_not_allowed(facts: Facts) -> Found | None:
    return _not_listed("product", facts.product, facts.allowed_products)


def vertical_not_allowed(facts: Facts) -> Found | None:
    return _not_listed("vertical", facts.vertical, facts.allowed_verticals)


def consent_missing(facts: Facts) -> Found | None:
    if facts.certificate_url or not facts.is_trusted_form_required:
        return None
    return Found(
        "The source requires a TrustedForm certificate, and the lead has none.", "trustedFormUrl"
    )


def consent_malformed(facts: Facts) -> Found | None:
    if not facts.certificate_url or facts.certificate_id:
        return None
    return Found("The TrustedForm URL is not that of a certificate.", "trustedFormUrl")


def consent_reused(facts: Facts) -> Found | None:
    if not facts.certificate_id:
        return None
    reuses = looked_up(facts.reuses)
    if not reuses:
        return None
    return Found(
        "The consent certificate already came with another phone or e-mail.",
        "trustedFormUrl",
        {"leads": [{"lead": one.lead, "differs": list(one.differs)} for one in reuses]},
    )


def _listed(facts: Facts, entries: list[Entry]) -> Found:
    told = [
        {
            "suppression": one.id,
            "kind": one.kind,
            "channel": one.channel,
            "match": one.match,
            "since": one.since.isoformat(),
            **({"list": one.list_name} if one.list_name else {}),
        }
        for one in entries
    ]
    return Found(MAY_NOT_BE_CONTACTED, facts.contact_field, {"suppressions": told})


def suppressed(facts: Facts) -> Found | None:
    entries = [one for one in looked_up(facts.entries) if not one.is_registry]
    return _listed(facts, entries) if entries else None


def on_dnc_registry(facts: Facts) -> Found | None:
    entries = [one for one in looked_up(facts.entries) if one.is_registry]
    found = _listed(facts, entries) if entries else None
    today = facts.judged_at.date()
    for one in looked_up(facts.editions):
        if facts.has_phone and (today - one.listed_on).days > REGISTRY_MAX_AGE_DAYS:
            listed_on = one.listed_on.isoformat()
            raise CannotRun("list too old", found, list=one.name, listed_on=listed_on)
    return found


def duplicate(facts: Facts) -> Found | None:
    window = timedelta(days=facts.duplicate_window_days)
    if not window:
        return None
    known = [
        one
        for one in looked_up(facts.known)
        if facts.judged_at - one.received_at < window
        and (facts.is_duplicate_in_business or one.source == facts.source)
    ]
    if not known:
        return None
    told = [
        {
            "lead": one.lead,
            "source": one.source,
            "match": one.match,
            "received_at": one.received_at.isoformat(),
        }
        for one in known
    ]
    return Found("This person is already known.", facts.contact_field, {"leads": told})


def phone_invalid(facts: Facts) -> Found | None:
    if not facts.has_phone or facts.can_phone_exist:
        return None
    return Found("No such phone number can exist.", "phone")


def underage(facts: Facts) -> Found | None:
    born, today = facts.birth_date, facts.arrived_on
    if born is None:
        return None
    # As tuples, so that who was born on 29 February comes of age on 1 March.
    had_birthday = (born.month, born.day) <= (today.month, today.day)
    age = today.year - born.year - (not had_birthday)
    if age >= ADULT_AGE:
        return None
    return Found(
        "The person is under 18.", "dateOfBirth", {"age": max(age, 0), "on": today.isoformat()}
    )


def state_mismatch(facts: Facts) -> Found | None:
    states = geography.states_of_zip(facts.postal_code)
    if states is None or facts.state not in geography.STATES or facts.state in states:
        return None
    if not geography.is_american(facts.country):
        return None
    return Found(
        "The ZIP does not lie in the state.",
        "state",
        {"state": facts.state, "zip": facts.postal_code[:3], "states_of_zip": sorted(states)},
    )


def over_cap(facts: Facts) -> Found | None:
    full = [one for one in looked_up(facts.caps) if one.used >= one.limit]
    if not full:
        return None
    told = [
        {"cap": one.word, "period": one.period, "limit": one.limit, "used": one.used}
        for one in full
    ]
    return Found("The cap of the source is used up.", "", {"caps": told})


def check_unavailable(facts: Facts) -> Found | None:
    """Find nothing by itself: `judge` makes this finding of the rules that cannot run."""
    return None


@dataclass(frozen=True, slots=True)
class RuleType:
    """One rule: how it is run, and the flat field and the sentence of a usual finding.

    `run` raises CannotRun where a fact could not be looked up, or is too old to judge by.
    """

    run: Callable[[Facts], Found | None]
    field: str
    sentence: str
    overrule: Overrule = Overrule.YES


RULES: dict[Rule, RuleType] = {
    Rule.SOURCE_NOT_APPROVED: RuleType(
        source_not_approved,
        "source",
        "The source has not passed compliance review.",
    ),
    Rule.STATE_NOT_ALLOWED: RuleType(
        state_not_allowed,
        "state",
        "The source may not send leads of this state.",
    ),
    Rule.PRODUCT_NOT_ALLOWED: RuleType(
        product_not_allowed,
        "product",
        "The source may not send leads of this product.",
    ),
    Rule.VERTICAL_NOT_ALLOWED: RuleType(
        vertical_not_allowed,
        "vertical",
        "The source may not send leads of this vertical.",
    ),
    Rule.CONSENT_MISSING: RuleType(
        consent_missing,
        "trustedFormUrl",
        "The source requires a TrustedForm certificate, and the lead has none.",
    ),
    Rule.CONSENT_MALFORMED: RuleType(
        consent_malformed,
        "trustedFormUrl",
        "The TrustedForm URL is not that of a certificate.",
    ),
    Rule.CONSENT_REUSED: RuleType(
        consent_reused,
        "trustedFormUrl",
        "The consent certificate already came with another phone or e-mail.",
    ),
    Rule.SUPPRESSED: RuleType(
        suppressed,
        "phone",
        MAY_NOT_BE_CONTACTED,
        Overrule.NO,
    ),
    Rule.ON_DNC_REGISTRY: RuleType(
        on_dnc_registry,
        "phone",
        MAY_NOT_BE_CONTACTED,
        Overrule.WITH_CONSENT,
    ),
    Rule.DUPLICATE: RuleType(
        duplicate,
        "phone",
        "This person is already known.",
        Overrule.NO,
    ),
    Rule.PHONE_INVALID: RuleType(
        phone_invalid,
        "phone",
        "No such phone number can exist.",
    ),
    Rule.UNDERAGE: RuleType(
        underage,
        "dateOfBirth",
        "The person is under 18.",
        Overrule.NO,
    ),
    Rule.STATE_MISMATCH: RuleType(
        state_mismatch,
        "state",
        "The ZIP does not lie in the state.",
    ),
    Rule.OVER_CAP: RuleType(
        over_cap,
        "source",
        "The cap of the source is used up.",
        Overrule.NO,
    ),
    Rule.CHECK_UNAVAILABLE: RuleType(
        check_unavailable,
        "",
        "A compliance check could not be run.",
        Overrule.NO,
    ),
}


def judge(facts: Facts, modes: Mapping[Rule, Mode]) -> Verdict:
    """Run every rule that is not off and return all findings, in the published order.

    A rule that raises does not let the lead through: it yields `check-unavailable`, which holds.
    """
    findings = []
    broken = []
    for rule, kind in RULES.items():
        mode = modes[rule]
        if mode == Mode.OFF:
            continue
        try:
            found = kind.run(facts)
        except CannotRun as error:
            broken.append({"rule": rule.value, **error.evidence})
            found = error.found
        except Exception as error:
            broken.append({"rule": rule.value, "why": type(error).__name__})
            continue
        if found:
            findings.append(
                Finding(rule, mode, found.sentence, found.field, found.evidence, kind.overrule)
            )
    if broken:
        kind = RULES[Rule.CHECK_UNAVAILABLE]
        findings.append(
            Finding(
                Rule.CHECK_UNAVAILABLE,
                Mode.HOLD,
                kind.sentence,
                evidence={"rules": broken},
                overrule=kind.overrule,
            )
        )
    return Verdict(tuple(findings))
