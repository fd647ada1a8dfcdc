"""`docs/compliance.md`, made from the table of rules, so that page and code cannot differ."""

from dataclasses import dataclass

from leads.compliance import REGISTRY_MAX_AGE_DAYS, RULES
from leads.findings import Overrule
from leads.reviews import ACT_WITHIN_BUSINESS_DAYS, UNDO_MINUTES
from sources.rules import (
    ALLOWED_MODES,
    DEFAULT_MODES,
    NOT_TOLD_APART,
    RULES_VERSION,
    Mode,
    Rule,
    public_code,
)

TSR = "[16 CFR 310.4(b)](https://www.ecfr.gov/current/title-16/part-310/section-310.4)"
TCPA = "[47 CFR 64.1200](https://www.ecfr.gov/current/title-47/part-64/section-64.1200)"
CAN_SPAM = "[16 CFR part 316](https://www.ecfr.gov/current/title-16/part-316)"
AGREEMENT = "No public rule: it keeps what the business has agreed with the vendor."

INTRODUCTION = f"""# Compliance

Made from the table of rules in the code by `make docs`, which is at version {RULES_VERSION}.
Change the table, not this page.

Every lead is judged by all rules below, in this order, on arrival and again when a reviewer
decides on it. What a rule finds is kept with the lead, or with the post that it refuses: its code,
its sentence, the evidence, and the version of the rules and of the source's settings
(`rules_version`). What a finding does, its mode says, which each source sets for each rule:

| Mode | Does |
|---|---|
| `hold` | the lead is stored and `Blocked`, until staff release or reject it |
| `reject` | the post is refused with `422` and kept, no lead is made; one such finding will do |
| `flag` | the finding is recorded and told, and blocks nothing |
| `off` | the rule is not run |

A rule allows only the modes in its table; form, command and database refuse the others.

## What a reviewer may do

A blocked lead is released (`Approved`) or rejected (`Rejected`), with a reason. Each decision is a
row that is only ever added: who, when, why, and what stood against the lead before and after. A
release runs all rules again as of now, under the same locks as intake: what has come since counts.
It is refused while a finding stands that no reviewer may overrule. Of two reviewers at once, the
second is told who decided. The same person may undo a decision within {UNDO_MINUTES} minutes; the
undo is a row too, and names who was shown the lead in between.

## Suppressions

An entry names a phone, an e-mail or both, in their normalised form: no spelling slips past it. It
has a channel (`sms`, `voice`, `email`, `all`) and a kind: opt-out, revocation, complaint, litigator
and internal are of one business, entries of a do-not-call registry are everyone's. It is never
deleted. It ends by a release with a reason; an opt-out or revocation only by the person's new
consent, with what proves it. When `suppress` has returned, no lead of the person becomes approved,
and none is: those that had been let out before are blocked in the same transaction (`suppressed`,
with since when), and stay so until a reviewer releases them after the suppression has ended. Of a
registry's entry, none but by mode `flag` or a reviewer who records written consent.

Each lead that is blocked so leaves a look-back: who was shown the lead until then (pages, reveals,
exports, and vendors by repeats), and the last day to act on it, {ACT_WITHIN_BUSINESS_DAYS} business
days after the person said so ({TCPA}(a)(10)), Monday to Friday, holidays not taken out. Staff
settle it with a note of what they did.

While the newest edition of a registry's list in use is more than {REGISTRY_MAX_AGE_DAYS} days old,
every lead with a phone is held.

While an entry for `sms` or `all` stands, other than of a registry, the lead's `smsConsentStatus` is
`OptedOut`.

## The rules
"""


@dataclass(frozen=True, slots=True)
class Told:
    """What the page says of one rule, in whole sentences."""

    blocks: str
    why: str
    staff_see: str


TOLD: dict[Rule, Told] = {
    Rule.SOURCE_NOT_APPROVED: Told(
        "Every lead of a source that staff have not approved.",
        (
            f"Consent counts only in the words that the law asks for ({TCPA}(f)(9)), so a "
            "vendor's pages are read before its leads are called."
        ),
        "No evidence; the page of the source says who approved it and when.",
    ),
    Rule.STATE_NOT_ALLOWED: Told(
        (
            "A state that is not on the source's list, or a lead without a state when there is "
            "a list."
        ),
        (
            "States have telemarketing laws of their own, beside the federal ones; a business "
            "buys where it may sell."
        ),
        "The state and the list as it was.",
    ),
    Rule.PRODUCT_NOT_ALLOWED: Told(
        "A product that is not on the source's list, or none when there is a list.",
        AGREEMENT,
        "The product and the list as it was.",
    ),
    Rule.VERTICAL_NOT_ALLOWED: Told(
        "A vertical that is not on the source's list, or none when there is a list.",
        AGREEMENT,
        "The vertical and the list as it was.",
    ),
    Rule.CONSENT_MISSING: Told(
        "A lead without a certificate URL, where the source requires TrustedForm.",
        (
            "Whoever calls or texts for sale by automatic means must be able to prove the "
            f"person's prior express written consent ({TCPA}(a)(2), (f)(9))."
        ),
        "No evidence.",
    ),
    Rule.CONSENT_MALFORMED: Told(
        (
            "A certificate URL, required or not, that is not exactly "
            "`https://cert.trustedform.com/` and 40 hexadecimal digits. `ping.` URLs are no "
            "proof."
        ),
        f"What cannot be opened proves no consent ({TCPA}(a)(2)).",
        "No evidence: the URL is the lead's own.",
    ),
    Rule.CONSENT_REUSED: Told(
        (
            "A certificate that already came in the business with a different phone or a "
            "different e-mail, whatever became of that lead. A missing one is not different; "
            "tests are left out."
        ),
        (f"A certificate records one person's consent, to be called at one number ({TCPA}(f)(9))."),
        "The other lead, and whether phone, e-mail or both differ.",
    ),
    Rule.SUPPRESSED: Told(
        (
            "A phone or e-mail on a suppression of the business that stands: opt-out, "
            "revocation, complaint, litigator or internal. Entries for `sms`, `voice` and `all` "
            "count on the phone, those for `email` and `all` on the e-mail."
        ),
        (
            f"A request not to be called must be kept ({TCPA}(d), {TSR}(1)(iii)(A)), consent may "
            f"be revoked in any reasonable way ({TCPA}(a)(10)), and e-mail has an opt-out of its "
            f"own ({CAN_SPAM}, 15 U.S.C. 7704(a)(3)-(5))."
        ),
        "Each entry: its kind, channel and since when, and whether phone or e-mail matched.",
    ),
    Rule.ON_DNC_REGISTRY: Told(
        (
            "A phone or e-mail on a do-not-call registry in use. When the newest edition of a "
            "list in use is more than 31 days old, counted from its own date, the rule cannot "
            "run on leads with a phone: `check-unavailable`."
        ),
        (
            f"Numbers on a do-not-call registry may not be called for sale ({TCPA}(c)(2), "
            f"{TSR}(1)(iii)(B)) by a copy of it no more than 31 days old ({TSR}(3)(iv)), unless "
            "the person agreed in writing."
        ),
        "The entry and the name of the list.",
    ),
    Rule.DUPLICATE: Told(
        (
            "The same phone or the same e-mail in an approved lead that was received less than "
            "the source's window ago (days of 24 hours, 30 unless set, 0 = off), of this source "
            "or, when so set, of any source of the business. Tests and erased leads are left "
            "out."
        ),
        f"{AGREEMENT} Nobody is paid for, or called about, the same person twice.",
        "The other lead, its source and time, and whether phone or e-mail matched.",
    ),
    Rule.PHONE_INVALID: Told(
        "A phone of the right length that the numbering plan of its country cannot have.",
        (
            "The [North American Numbering Plan](https://www.nanpa.com/) and the plans of other "
            "countries, as the library phonenumbers has them."
        ),
        "No evidence: the phone is the lead's own.",
    ),
    Rule.UNDERAGE: Told(
        (
            "A date of birth by which the person is not yet 18 on the date in Pacific/Pago_Pago "
            "at first arrival, and so not in every zone of the United States. Who was born on "
            "29 February is 18 on 1 March."
        ),
        "A minor may take an agreement back, so there is no consent to call on.",
        "The age in years, and the date that counted.",
    ),
    Rule.STATE_MISMATCH: Told(
        (
            "A ZIP code and a state that are both American, where no post office of the ZIP's "
            "first three digits lies in the state. A prefix that is not in use lies in no "
            "state."
        ),
        (
            "No public rule: one of the two is wrong, and state laws apply by where the person "
            "is. The prefixes are those of the USPS Domestic Mail Manual, list L002."
        ),
        "The state, the three digits and their states.",
    ),
    Rule.OVER_CAP: Told(
        (
            "A lead that would be approved when the source's daily or monthly cap, in its time "
            "zone, is used up. A cap counts leads that became approved, on arrival or on the "
            "day of their release; it never goes down, and tests do not count."
        ),
        AGREEMENT,
        "The cap, its period, its size and how much of it was used.",
    ),
    Rule.CHECK_UNAVAILABLE: Told(
        (
            "A lead for which one of the rules above could not be run: a look-up failed, a list "
            "is too old, or the rule itself broke. It can be released once the rule runs again."
        ),
        "What was not checked is not let through.",
        "The rules that did not run, and why.",
    ),
}

MAY = {
    Overrule.YES: "A reviewer may overrule it.",
    Overrule.WITH_CONSENT: "A reviewer may overrule it who records the person's written consent.",
    Overrule.NO: "No reviewer may overrule it.",
}


def page() -> str:
    """Return the page, as Markdown."""
    return "\n".join([INTRODUCTION, *map(section, RULES)])


def section(rule: Rule) -> str:
    """Return what is said of one rule."""
    kind, told = RULES[rule], TOLD[rule]
    modes = ", ".join(
        f"**{mode}**" if mode == DEFAULT_MODES[rule] else str(mode)
        for mode in Mode
        if mode in ALLOWED_MODES[rule]
    )
    code = public_code(rule)
    sees = f"`{code}` in `Leadping-Findings`; when it blocks, “{kind.sentence}”"
    if Mode.REJECT in ALLOWED_MODES[rule]:
        sees += f" When it rejects, the problem `{code}`."
    if rule in NOT_TOLD_APART:
        others = " and ".join(f"`{one}`" for one in NOT_TOLD_APART if one != rule)
        sees += f" Code and sentence are those of {others} too."
    rows = (
        ("Blocks", told.blocks),
        ("Why", told.why),
        ("Modes", f"{modes} (the default in bold)" if "," in modes else f"{modes} only"),
        ("The vendor sees", sees),
        ("Staff see, by `explain`", told.staff_see),
        ("Review", MAY[kind.overrule]),
    )
    cells = "\n".join(f"| {name} | {text} |" for name, text in rows)
    return f"### {rule}\n\n| | |\n|---|---|\n{cells}\n"
