"""The compliance rules, each a pure function from facts to a finding: no ORM, clock or settings.

All rules run, in the published order of `sources.rules.Rule`; the modes of the source then say
what their findings do. `docs/compliance.md` is made from the table of rules at the end.
Source: contract §6.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Any, TypeVar

from leads import geography
from sources.rules import Mode, Rule

T = TypeVar("T")

ADULT_AGE = 18
REGISTRY_MAX_AGE_DAYS = 31
MAY_NOT_BE_CONTACTED = "This person may not be contacted."


class Overrule(Enum):
    """Whether a reviewer may release a lead against a finding."""

    YES = "yes"
    WITH_CONSENT = "with-written-consent"  # of the person, which the reviewer records
    NO = "no"


# --- facts --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Known:
    """An approved lead of the same person, found by its `match`: phone or email."""

    lead: str
    source: str
    received_at: datetime
    match: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A suppression that stands against the person, found by its `match`: phone or email.

    `is_registry`: it is of a do-not-call list.
    """

    id: str
    kind: str
    channel: str
    since: datetime
    match: str
    is_registry: bool = False
    list_name: str = ""


@dataclass(frozen=True, slots=True)
class Edition:
    """The newest edition of a do-not-call list that leads are checked against."""

    name: str
    listed_on: date


@dataclass(frozen=True, slots=True)
class Reuse:
    """A lead that came with the same certificate and other contact data: phone, email or both."""

    lead: str
    differs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cap:
    """A cap of the source, daily or monthly, and how much of it is used in the present period."""

    word: str
    period: str
    limit: int
    used: int


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the rules may know of a lead, of its source and of the moment.

    `judged_at` is the arrival, or now when a lead is judged again. `arrived_on` is the date of
    first arrival in Pacific/Pago_Pago, the last of all US zones to turn the page, so that who is
    of age there is of age everywhere. What is None could not be looked up: the rules that need
    it cannot run.
    """

    arrived_on: date
    judged_at: datetime
    source: str = ""
    is_source_approved: bool = True
    allowed_states: frozenset[str] = frozenset()
    allowed_products: frozenset[str] = frozenset()
    allowed_verticals: frozenset[str] = frozenset()
    is_trusted_form_required: bool = False
    duplicate_window_days: int = 30
    is_duplicate_in_business: bool = False
    state: str = ""
    postal_code: str = ""
    country: str = ""
    product: str = ""
    vertical: str = ""
    certificate_url: str = ""
    certificate_id: str = ""
    has_phone: bool = False
    can_phone_exist: bool = True
    birth_date: date | None = None
    known: tuple[Known, ...] | None = ()
    entries: tuple[Entry, ...] | None = ()
    editions: tuple[Edition, ...] | None = ()
    reuses: tuple[Reuse, ...] | None = ()
    caps: tuple[Cap, ...] | None = ()

    @property
    def contact_field(self) -> str:
        """Return the field that findings on the person name: it must not tell which one matched."""
        return "phone" if self.has_phone else "email"

    @property
    def opted_out_at(self) -> datetime | None:
        """Return since when the person has opted out of text messages, None if they have not."""
        return opted_out_at(self.entries or ())

    def with_cap_used_up(self, word: str) -> Facts:
        """Return the facts of a moment later, in which others have used this cap up."""
        return dataclasses.replace(
            self,
            caps=tuple(
                dataclasses.replace(one, used=max(one.used, one.limit)) if one.word == word else one
                for one in self.caps or ()
            ),
        )

    def with_one_more_approved(self) -> Facts:
        """Return the facts of a moment later, in which the lead has used one of each cap."""
        more = tuple(dataclasses.replace(one, used=one.used + 1) for one in self.caps or ())
        return dataclasses.replace(self, caps=more)


def opted_out_at(entries: tuple[Entry, ...]) -> datetime | None:
    """Return since when one of these is an opt-out from text messages, None if none is.

    A registry is not the person's word to the business.
    """
    texts = [one.since for one in entries if one.channel in ("sms", "all") and not one.is_registry]
    return min(texts, default=None)


# --- findings -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule found against a lead, on which evidence: never the person's own data.

    `field` is the flat field at fault, "" when it is none of the vendor's.
    """

    rule: Rule
    mode: Mode
    sentence: str
    field: str = ""
    evidence: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    overrule: Overrule = Overrule.YES

    @property
    def is_standing(self) -> bool:
        """Say whether it keeps a lead from being contacted, unless a reviewer overrules it."""
        return self.mode in (Mode.HOLD, Mode.REJECT)

    def as_row(self) -> dict[str, Any]:
        """Return the finding as it is kept with the lead."""
        return {
            "code": self.rule.value,
            "mode": self.mode.value,
            "sentence": self.sentence,
            "overrule": self.overrule.value,
            "evidence": dict(self.evidence),
        }


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule itself returns: the sentence, the field at fault and the evidence."""

    sentence: str
    field: str = ""
    evidence: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class CannotRun(Exception):
    """The rule cannot be run; `why` is a word for the evidence."""

    def __init__(self, why: str, **evidence: str) -> None:
        super().__init__(why)
        self.evidence = {"why": why, **evidence}


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
    def standing(self) -> tuple[Finding, ...]:
        """Return the findings that keep the lead from being approved: it has none."""
        return tuple(one for one in self.findings if one.is_standing)

    @property
    def reason(self) -> str:
        """Return why the lead is blocked, for the vendor; "" if it is not."""
        return joined(self.holding)

    def as_rows(self) -> list[dict[str, Any]]:
        """Return the findings as they are kept."""
        return [one.as_row() for one in self.findings]


def joined(findings: tuple[Finding, ...]) -> str:
    """Return the sentences of findings in one text, each once: two may share a fixed one."""
    return " ".join(dict.fromkeys(one.sentence for one in findings))


# --- rules --------------------------------------------------------------------------------------


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
    if entries:
        return _listed(facts, entries)
    today = facts.judged_at.date()
    for one in looked_up(facts.editions):
        if facts.has_phone and (today - one.listed_on).days > REGISTRY_MAX_AGE_DAYS:
            raise CannotRun("list too old", list=one.name, listed_on=one.listed_on.isoformat())
    return None


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
    """One rule: how it is run, and what is said of it.

    `field` and `sentence`: the flat field and the sentence of a usual finding. `blocks` and `why`
    are whole sentences for `docs/compliance.md`, as is `staff_see`.
    """

    run: Callable[[Facts], Found | None]
    field: str
    sentence: str
    blocks: str
    why: str
    staff_see: str
    overrule: Overrule = Overrule.YES


TSR = "[16 CFR 310.4(b)](https://www.ecfr.gov/current/title-16/part-310/section-310.4)"
TCPA = "[47 CFR 64.1200](https://www.ecfr.gov/current/title-47/part-64/section-64.1200)"
CAN_SPAM = "[16 CFR part 316](https://www.ecfr.gov/current/title-16/part-316)"
AGREEMENT = "No public rule: it keeps what the business has agreed with the vendor."

RULES: dict[Rule, RuleType] = {
    Rule.SOURCE_NOT_APPROVED: RuleType(
        source_not_approved,
        "source",
        "The source has not passed compliance review.",
        "Every lead of a source that staff have not approved.",
        "The seller answers for the calls that its vendors' leads lead to, so their wording and "
        f"pages are read first ({TCPA}(f)(9), prior express written consent).",
        "No evidence; the page of the source says who approved it and when.",
    ),
    Rule.STATE_NOT_ALLOWED: RuleType(
        state_not_allowed,
        "state",
        "The source may not send leads of this state.",
        "A state that is not on the source's list, or a lead without a state when there is a list.",
        "States have telemarketing laws of their own, beside the federal ones; a business buys "
        "where it may sell.",
        "The state and the list as it was.",
    ),
    Rule.PRODUCT_NOT_ALLOWED: RuleType(
        product_not_allowed,
        "product",
        "The source may not send leads of this product.",
        "A product that is not on the source's list, or none when there is a list.",
        AGREEMENT,
        "The product and the list as it was.",
    ),
    Rule.VERTICAL_NOT_ALLOWED: RuleType(
        vertical_not_allowed,
        "vertical",
        "The source may not send leads of this vertical.",
        "A vertical that is not on the source's list, or none when there is a list.",
        AGREEMENT,
        "The vertical and the list as it was.",
    ),
    Rule.CONSENT_MISSING: RuleType(
        consent_missing,
        "trustedFormUrl",
        "The source requires a TrustedForm certificate, and the lead has none.",
        "A lead without a certificate URL, where the source requires TrustedForm.",
        "Whoever calls or texts for sale by automatic means must be able to prove the person's "
        f"prior express written consent ({TCPA}(a)(2), (f)(9)).",
        "No evidence.",
    ),
    Rule.CONSENT_MALFORMED: RuleType(
        consent_malformed,
        "trustedFormUrl",
        "The TrustedForm URL is not that of a certificate.",
        "A certificate URL, required or not, that is not exactly `https://cert.trustedform.com/` "
        "and 40 hexadecimal digits. `ping.` URLs are no proof.",
        f"What cannot be opened proves no consent ({TCPA}(a)(2)).",
        "No evidence: the URL is the lead's own.",
    ),
    Rule.CONSENT_REUSED: RuleType(
        consent_reused,
        "trustedFormUrl",
        "The consent certificate already came with another phone or e-mail.",
        "A certificate that already came in the business with a different phone or a different "
        "e-mail, whatever became of that lead. A missing one is not different; tests are left out.",
        f"A certificate records one person's consent, to be called at one number ({TCPA}(f)(9)).",
        "The other lead, and whether phone, e-mail or both differ.",
    ),
    Rule.SUPPRESSED: RuleType(
        suppressed,
        "phone",
        MAY_NOT_BE_CONTACTED,
        "A phone or e-mail on a suppression of the business that stands: opt-out, revocation, "
        "complaint, litigator or internal. Entries for `sms`, `voice` and `all` count on the "
        "phone, those for `email` and `all` on the e-mail.",
        f"A request not to be called must be kept ({TCPA}(d), {TSR}(1)(iii)(A)), consent may be "
        f"revoked in any reasonable way ({TCPA}(a)(10)), and e-mail has an opt-out of its own "
        f"({CAN_SPAM}).",
        "Each entry: its kind, channel and since when, and whether phone or e-mail matched.",
        Overrule.NO,
    ),
    Rule.ON_DNC_REGISTRY: RuleType(
        on_dnc_registry,
        "phone",
        MAY_NOT_BE_CONTACTED,
        "A phone on an imported do-not-call registry. When the newest edition of a list in use is "
        "more than 31 days old, the rule cannot run: `check-unavailable`.",
        f"Numbers on a do-not-call registry may not be called for sale ({TCPA}(c)(2), "
        f"{TSR}(1)(iii)(B)) by a copy of it no more than 31 days old ({TSR}(3)(iv)), unless the "
        "person agreed in writing.",
        "The entry and the name of the list.",
        Overrule.WITH_CONSENT,
    ),
    Rule.DUPLICATE: RuleType(
        duplicate,
        "phone",
        "This person is already known.",
        "The same phone or the same e-mail in an approved lead that was received less than the "
        "source's window ago (days of 24 hours, 30 unless set, 0 = off), of this source or, when "
        "so set, of any source of the business. Tests and erased leads are left out.",
        f"{AGREEMENT} Nobody is paid for, or called about, the same person twice.",
        "The other lead, its source and time, and whether phone or e-mail matched.",
        Overrule.NO,
    ),
    Rule.PHONE_INVALID: RuleType(
        phone_invalid,
        "phone",
        "No such phone number can exist.",
        "A phone of the right length that the numbering plan of its country cannot have.",
        "The [North American Numbering Plan](https://www.nanpa.com/) and the plans of other "
        "countries, as the library phonenumbers has them.",
        "No evidence: the phone is the lead's own.",
    ),
    Rule.UNDERAGE: RuleType(
        underage,
        "dateOfBirth",
        "The person is under 18.",
        "A date of birth by which the person is not yet 18 on the date in Pacific/Pago_Pago at "
        "first arrival, and so not in every zone of the United States. Who was born on 29 "
        "February is 18 on 1 March.",
        "A minor's agreement does not bind, so there is no consent to call on.",
        "The age in years, and the date that counted.",
        Overrule.NO,
    ),
    Rule.STATE_MISMATCH: RuleType(
        state_mismatch,
        "state",
        "The ZIP does not lie in the state.",
        "A ZIP code and a state that are both American, where no post office of the ZIP's first "
        "three digits lies in the state. A prefix that is not in use lies in no state.",
        "No public rule: one of the two is wrong, and state laws apply by where the person is. "
        "The prefixes are those of the USPS Domestic Mail Manual, list L002.",
        "The state, the three digits and their states.",
    ),
    Rule.OVER_CAP: RuleType(
        over_cap,
        "source",
        "The cap of the source is used up.",
        "A lead that would be approved when the source's daily or monthly cap, in its time zone, "
        "is used up. A cap counts leads that became approved, on arrival or on the day of their "
        "release; it never goes down, and tests do not count.",
        AGREEMENT,
        "The cap, its period, its size and how much of it was used.",
        Overrule.NO,
    ),
    Rule.CHECK_UNAVAILABLE: RuleType(
        check_unavailable,
        "",
        "A compliance check could not be run.",
        "A lead for which one of the rules above could not be run: a look-up failed, a list is too "
        "old, or the rule itself broke. It can be released once the rule runs again.",
        "What was not checked is not let through.",
        "The rules that did not run, and why.",
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
            continue
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
