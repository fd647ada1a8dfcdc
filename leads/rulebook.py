"""`docs/compliance.md`, made from the table of rules, so that page and code cannot differ."""

from leads.compliance import REGISTRY_MAX_AGE_DAYS, RULES, Overrule
from leads.reviews import UNDO_MINUTES
from sources.rules import (
    ALLOWED_MODES,
    DEFAULT_MODES,
    NOT_TOLD_APART,
    RULES_VERSION,
    Mode,
    Rule,
    public_code,
)

INTRODUCTION = f"""# Compliance

Made from the table of rules in the code by `make docs`, which is at version {RULES_VERSION}.
Change the table, not this page.

Every lead is judged by all rules below, in this order, on arrival and again when a reviewer
releases it. What a rule finds is kept with the lead: its code, its sentence, the evidence, and the
version of the rules and of the source's settings (`rules_version`). What a finding does, its mode
says, which each source sets for each rule:

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
consent, with what proves it. When `suppress` has returned, no lead of the person becomes approved.
While the newest edition of a registry's list is more than {REGISTRY_MAX_AGE_DAYS} days old, every
lead with a phone is held.

While an entry for `sms` or `all` stands, other than of a registry, the lead's `smsConsentStatus` is
`OptedOut`.

## The rules
"""

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
    kind = RULES[rule]
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
        sees += f" It cannot be told from {others}."
    rows = (
        ("Blocks", kind.blocks),
        ("Why", kind.why),
        ("Modes", f"{modes} (the default in bold)" if "," in modes else f"{modes} only"),
        ("The vendor sees", sees),
        ("Staff see", kind.staff_see),
        ("Review", MAY[kind.overrule]),
    )
    cells = "\n".join(f"| {what} | {told} |" for what, told in rows)
    return f"### {rule}\n\n| | |\n|---|---|\n{cells}\n"
