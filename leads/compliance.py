"""The compliance rules, each a pure function from facts to a finding: no ORM, clock or settings.

All rules run, in the published order of `sources.rules.Rule`; the modes of the source then say
what their findings do. Source: contract §6.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sources.rules import Mode, Rule

ADULT_AGE = 18


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the rules may know of a lead, of its source and of the moment.

    `arrived_on` is the date of first arrival in Pacific/Pago_Pago, the last of all US zones to
    turn the page, so that who is of age there is of age everywhere.
    """

    arrived_on: date
    is_source_approved: bool = True
    allowed_states: frozenset[str] = frozenset()
    allowed_products: frozenset[str] = frozenset()
    allowed_verticals: frozenset[str] = frozenset()
    is_trusted_form_required: bool = False
    state: str = ""
    product: str = ""
    vertical: str = ""
    certificate_url: str = ""
    certificate_id: str = ""
    has_phone: bool = False
    can_phone_exist: bool = True
    birth_date: date | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule found against a lead, and on which evidence.

    `field` is the flat field at fault, "" when it is none of the vendor's.
    """

    rule: Rule
    mode: Mode
    sentence: str
    field: str = ""
    evidence: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def as_row(self) -> dict[str, Any]:
        """Return the finding as it is kept with the lead."""
        return {
            "code": self.rule.value,
            "mode": self.mode.value,
            "sentence": self.sentence,
            "evidence": dict(self.evidence),
        }


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule itself returns: the sentence, the field at fault and the evidence."""

    sentence: str
    field: str = ""
    evidence: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of judging a lead: every finding, in the published order."""

    findings: tuple[Finding, ...]

    @property
    def rejecting(self) -> tuple[Finding, ...]:
        """Return the findings that refuse the post; with one of them, no lead is stored."""
        return tuple(one for one in self.findings if one.mode == Mode.REJECT)

    @property
    def holding(self) -> tuple[Finding, ...]:
        """Return the findings that block the lead."""
        return tuple(one for one in self.findings if one.mode == Mode.HOLD)

    @property
    def reason(self) -> str:
        """Return why the lead is blocked, for the vendor; "" if it is not."""
        return " ".join(one.sentence for one in self.holding)


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
    return Found(
        "The TrustedForm URL is not that of a certificate.",
        "trustedFormUrl",
        {"url": facts.certificate_url},
    )


def phone_invalid(facts: Facts) -> Found | None:
    if not facts.has_phone or facts.can_phone_exist:
        return None
    return Found("No such phone number can exist.", "phone")


def underage(facts: Facts) -> Found | None:
    born, today = facts.birth_date, facts.arrived_on
    # As tuples, so that who was born on 29 February comes of age on 1 March.
    if born is None or (born.year + ADULT_AGE, born.month, born.day) <= (
        today.year,
        today.month,
        today.day,
    ):
        return None
    return Found(
        "The person is under 18.",
        "dateOfBirth",
        {"birth_date": born.isoformat(), "on": today.isoformat()},
    )


RULES: dict[Rule, Callable[[Facts], Found | None]] = {
    Rule.SOURCE_NOT_APPROVED: source_not_approved,
    Rule.STATE_NOT_ALLOWED: state_not_allowed,
    Rule.PRODUCT_NOT_ALLOWED: product_not_allowed,
    Rule.VERTICAL_NOT_ALLOWED: vertical_not_allowed,
    Rule.CONSENT_MISSING: consent_missing,
    Rule.CONSENT_MALFORMED: consent_malformed,
    Rule.PHONE_INVALID: phone_invalid,
    Rule.UNDERAGE: underage,
}


def judge(facts: Facts, modes: Mapping[Rule, Mode]) -> Verdict:
    """Run every rule that is not off and return all findings, in the published order.

    A rule that raises does not let the lead through: it yields `check-unavailable`, which holds.
    """
    findings = []
    broken = []
    for rule, run in RULES.items():
        mode = modes[rule]
        if mode == Mode.OFF:
            continue
        try:
            found = run(facts)
        except Exception as error:
            broken.append({"rule": rule.value, "error": type(error).__name__})
            continue
        if found:
            findings.append(Finding(rule, mode, found.sentence, found.field, found.evidence))
    if broken:
        findings.append(
            Finding(
                Rule.CHECK_UNAVAILABLE,
                Mode.HOLD,
                "A compliance check could not be run.",
                evidence={"rules": broken},
            )
        )
    return Verdict(tuple(findings))
